"""Side tasks: started again when they die, whatever killed them, and ended when they are told to."""

from __future__ import annotations

import asyncio

import pytest

from inbox.kernel import supervisor as module
from inbox.kernel.supervisor import Supervisor


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)


@pytest.mark.parametrize("death", [ValueError("a bug"), asyncio.CancelledError()], ids=["error", "stray cancellation"])
async def test_a_loop_that_dies_is_started_again(death: BaseException) -> None:
    supervisor, runs, again = Supervisor(), [], asyncio.Event()

    async def loop() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise death
        again.set()

    supervisor.run("loop", loop)
    await asyncio.wait_for(again.wait(), 5)
    assert supervisor.deaths == {"loop": 1}


async def test_a_loop_that_does_not_end_is_cancelled() -> None:
    supervisor, cancelled = Supervisor(), asyncio.Event()

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    supervisor.run("loop", loop)
    await asyncio.sleep(0)
    await supervisor.finish("loop", within=0.01)
    assert cancelled.is_set()
    assert supervisor.deaths == {}
