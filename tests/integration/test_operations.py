"""What is stuck is shown to admins of its workspace, retried or discarded once, and the trail says by whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from builders import Node, make_workspace, start_node

from inbox.agents.principal import PERMISSIONS, Principal, Role
from inbox.kernel.backoff import BackOff
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import Forbidden
from inbox.kernel.jobs import Job, Jobs, dead_by_queue
from inbox.kernel.jobs_worker import GiveUp, Worker
from inbox.kernel.timers import Timer, failed_by_kind, set_timer
from inbox.kernel.timers_firing import TimerFiring
from inbox.kernel.wakeup import Wakeup
from inbox.operations.schemas import StuckIn
from inbox.operations.service import Operations


class House:
    """A clock and a worker whose handlers fail until ``works`` is set."""

    def __init__(self, node: Node, workspace_id: UUID) -> None:
        self.node = node
        self.caller = Principal(workspace_id, uuid4(), "Ada", "admin", uuid4())
        self.jobs = Jobs(Wakeup())
        self.operations = Operations(node.database, self.jobs)
        self.firing = TimerFiring(node.database, max_attempts=1, back_off=BackOff(first=0.01))
        self.firing.register("k", self.fire)
        self.works = False
        self.done: list[str] = []

    async def fire(self, unit: UnitOfWork, timers: list[Timer]) -> None:
        if not self.works:
            raise ValueError
        unit.after_commit(lambda: self.done.extend(one.key for one in timers))

    async def run(self, job: Job) -> None:
        if not self.works:
            raise GiveUp("the provider knows nothing of it")
        self.done.append(str(job.key))

    async def work(self) -> None:
        """Until no job is queued or running."""
        worker = Worker(self.node.database, Wakeup(), poll_seconds=0.02)
        worker.register("q", self.run)
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(20):
            while await self.node.fetchval("SELECT EXISTS (SELECT FROM jobs WHERE state <> 'dead')"):
                await asyncio.sleep(0.02)
        worker.stop()
        await task

    async def break_one_of_each(self, workspace_id: UUID | None = None) -> None:
        workspace_id = workspace_id or self.caller.workspace_id
        async with self.node.database.transaction() as unit:
            await set_timer(unit, workspace_id, "k", "a/1", await unit.fetchval("SELECT now()"))
            await self.jobs.enqueue(unit, workspace_id, "q", {"secret": "of the payload"}, key="b")
        await self.firing.fire_due()
        await self.work()

    async def refs(self) -> StuckIn:
        shown = (await self.operations.stuck(self.caller)).items
        timers = [{"type": "timer", "kind": one.kind, "key": one.key} for one in shown if one.type == "timer"]
        return StuckIn.model_validate(
            {"items": [*timers, *({"type": "job", "id": one.id} for one in shown if one.type == "job")]}
        )

    async def trail(self) -> list[tuple[str, dict[str, Any]]]:
        return [tuple(row) for row in await self.node.fetch("SELECT action, detail FROM audit_entries ORDER BY id")]


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    node = await start_node(database_url)
    yield House(node, await make_workspace(node))
    await node.database.stop()


async def test_what_was_given_up_is_shown_without_what_it_held(house: House) -> None:
    await house.break_one_of_each()
    stuck = await house.operations.stuck(house.caller)
    assert (stuck.timers, stuck.jobs) == (1, 1)
    timer, job = stuck.items
    assert timer.type == "timer"
    assert (timer.kind, timer.key, timer.attempts, timer.last_error) == ("k", "a/1", 1, "ValueError")
    assert job.type == "job"
    assert (job.queue, job.key, job.attempts, job.last_error) == ("q", "b", 1, "the provider knows nothing of it")
    assert "secret" not in repr(stuck)
    async with house.node.database.session() as connection:
        assert await failed_by_kind(connection) == {"k": 1}
        assert await dead_by_queue(connection) == {"q": 1}


async def test_a_retry_has_them_done(house: House) -> None:
    await house.break_one_of_each()
    house.works = True
    refs = (await house.refs()).items
    settled = await house.operations.retry(house.caller, refs)
    assert [one.outcome for one in settled.items] == ["retried", "retried"]
    await house.firing.fire_due()
    await house.work()
    assert sorted(house.done) == ["a/1", "b"]
    assert (await house.operations.stuck(house.caller)).items == []
    assert await house.trail() == [
        ("timer.retried", {"kind": "k", "key": "a/1"}),
        ("job.retried", {"queue": "q", "key": "b"}),
    ]
    again = await house.operations.retry(house.caller, refs)
    assert [one.outcome for one in again.items] == ["not_stuck", "not_stuck"]
    assert len(await house.trail()) == 2


async def test_what_is_discarded_is_gone_and_never_done(house: House) -> None:
    await house.break_one_of_each()
    house.works = True
    settled = await house.operations.discard(house.caller, (await house.refs()).items)
    assert [one.outcome for one in settled.items] == ["discarded", "discarded"]
    await house.firing.fire_due()
    await house.work()
    assert house.done == []
    assert [action for action, _ in await house.trail()] == ["timer.discarded", "job.discarded"]


async def test_what_waits_for_its_time_is_not_stuck_and_stays(house: House) -> None:
    async with house.node.database.transaction() as unit:
        await set_timer(
            unit, house.caller.workspace_id, "k", "a/1", await unit.fetchval("SELECT now() + interval '1 h'")
        )
    refs = StuckIn.model_validate({"items": [{"type": "timer", "kind": "k", "key": "a/1"}]}).items
    for decide in (house.operations.retry, house.operations.discard):
        assert [one.outcome for one in (await decide(house.caller, refs)).items] == ["not_stuck"]
    assert await house.node.fetchval("SELECT count(*) FROM timers WHERE state = 'pending' AND attempts = 0") == 1


async def test_a_job_of_which_a_newer_one_waits_is_not_queued_twice(house: House) -> None:
    await house.break_one_of_each()
    async with house.node.database.transaction() as unit:
        await house.jobs.enqueue(unit, house.caller.workspace_id, "q", {}, key="b")
    refs = (await house.refs()).items[1:]
    assert [one.outcome for one in (await house.operations.retry(house.caller, refs)).items] == ["waits_already"]
    assert [one.outcome for one in (await house.operations.discard(house.caller, refs)).items] == ["discarded"]
    assert await house.node.fetchval("SELECT array_agg(state) FROM jobs") == ["queued"]


async def test_of_two_who_decide_one_is_first(house: House) -> None:
    for _ in range(15):
        await house.break_one_of_each()
        refs = (await house.refs()).items
        one, other = await asyncio.gather(
            house.operations.retry(house.caller, refs), house.operations.discard(house.caller, refs)
        )
        for a, b in zip(one.items, other.items, strict=True):
            assert sorted([a.outcome, b.outcome]) in (["discarded", "not_stuck"], ["not_stuck", "retried"])
        house.works = True
        await house.firing.fire_due()
        await house.work()
        expected = sorted({"timer": "a/1", "job": "b"}[a.type] for a in one.items if a.outcome == "retried")
        assert sorted(house.done) == expected
        house.works, house.done = False, []


@pytest.mark.parametrize("role", [role for role in PERMISSIONS if role != "admin"])
async def test_only_admins_may_look_and_decide(house: House, role: Role) -> None:
    await house.break_one_of_each()
    refs = (await house.refs()).items
    caller = Principal(house.caller.workspace_id, uuid4(), "Eve", role, uuid4())
    for attempt in (
        house.operations.stuck(caller),
        house.operations.retry(caller, refs),
        house.operations.discard(caller, refs),
    ):
        with pytest.raises(Forbidden):
            await attempt


async def test_another_workspace_is_neither_shown_nor_touched(house: House) -> None:
    other = await make_workspace(house.node)
    await house.break_one_of_each(other)
    assert (await house.operations.stuck(house.caller)).items == []
    job_id = await house.node.fetchval("SELECT id FROM jobs")
    given = [{"type": "timer", "kind": "k", "key": "a/1"}, {"type": "job", "id": job_id}]
    refs = StuckIn.model_validate({"items": given}).items
    for decide in (house.operations.retry, house.operations.discard):
        assert {one.outcome for one in (await decide(house.caller, refs)).items} == {"not_stuck"}
    assert await house.node.fetchval("SELECT count(*) FROM jobs WHERE state = 'dead'") == 1
    assert await house.node.fetchval("SELECT count(*) FROM timers WHERE state = 'failed'") == 1
