"""Looking at what is stuck, and deciding about it.

Invariant: only what stands as failed or dead is touched, under the lock of its row; of two who decide, the second one
is told that nothing is stuck there. The decision and its entry in the audit trail are one commit.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from inbox.agents.principal import Principal
from inbox.audit import service as audit
from inbox.kernel import timers as timer_rows
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.jobs import DeadJob, Jobs, count_dead
from inbox.kernel.timers import Timer
from inbox.operations.schemas import (
    JobRef,
    SettledStuck,
    SettledStuckOut,
    Settlement,
    StuckJobView,
    StuckOut,
    StuckRef,
    StuckTimerView,
    TimerRef,
)

SHOWN: Final = 200
"""Of each type."""


class Operations:
    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs

    async def stuck(self, caller: Principal) -> StuckOut:
        """Raises ``Forbidden``."""
        caller.require("operations.manage")
        workspace_id = caller.workspace_id
        async with self._database.snapshot() as unit:
            timers = await timer_rows.find_failed(unit, workspace_id, limit=SHOWN)
            jobs = await self._jobs.find_dead(unit, workspace_id, limit=SHOWN)
            return StuckOut(
                [*map(_timer, timers), *map(_job, jobs)],
                await timer_rows.count_failed(unit, workspace_id),
                await count_dead(unit, workspace_id),
            )

    async def retry(self, caller: Principal, refs: list[StuckRef]) -> SettledStuckOut:
        """From its first attempt, at once. Raises ``Forbidden``."""
        return await self._settle(caller, refs, retry=True)

    async def discard(self, caller: Principal, refs: list[StuckRef]) -> SettledStuckOut:
        """For good; what waited for it stays as it is. Raises ``Forbidden``."""
        return await self._settle(caller, refs, retry=False)

    async def _settle(self, caller: Principal, refs: list[StuckRef], *, retry: bool) -> SettledStuckOut:
        caller.require("operations.manage")
        timers = sorted({(ref.kind, ref.key) for ref in refs if isinstance(ref, TimerRef)})
        jobs = sorted({ref.id for ref in refs if isinstance(ref, JobRef)})

        async def work(unit: UnitOfWork) -> list[SettledStuck]:
            settled = [await self._settle_timer(unit, caller, kind, key, retry=retry) for kind, key in timers]
            return settled + [await self._settle_job(unit, caller, job_id, retry=retry) for job_id in jobs]

        return SettledStuckOut(await self._database.retrying(work))

    async def _settle_timer(
        self, unit: UnitOfWork, caller: Principal, kind: str, key: str, *, retry: bool
    ) -> SettledStuck:
        change = timer_rows.revive_timer if retry else timer_rows.discard_timer
        done = await change(unit, caller.workspace_id, kind, key)
        if done:
            subject_id = uuid5(caller.workspace_id, f"{kind} {key}")  # a timer has no id of its own
            await _note(unit, caller, "timer", subject_id, {"kind": kind, "key": key}, retry=retry)
        return SettledStuck("timer", kind, key, None, _outcome(done, retry))

    async def _settle_job(self, unit: UnitOfWork, caller: Principal, job_id: UUID, *, retry: bool) -> SettledStuck:
        change = self._jobs.revive if retry else self._jobs.discard
        found = await self._jobs.find_dead_one(unit, caller.workspace_id, job_id)
        done = found is not None and await change(unit, caller.workspace_id, job_id)
        if found is not None and done:
            await _note(unit, caller, "job", job_id, {"queue": found.queue, "key": found.key}, retry=retry)
        outcome = "waits_already" if found is not None and not done else _outcome(done, retry)
        return SettledStuck("job", None, None, job_id, outcome)


async def _note(
    unit: UnitOfWork, caller: Principal, subject: str, subject_id: UUID, detail: dict[str, object], *, retry: bool
) -> None:
    action = f"{subject}.{'retried' if retry else 'discarded'}"
    await audit.record(unit, caller.workspace_id, caller, action, subject, subject_id, detail)


def _outcome(done: bool, retry: bool) -> Settlement:
    if not done:
        return "not_stuck"
    return "retried" if retry else "discarded"


def _timer(one: Timer) -> StuckTimerView:
    return StuckTimerView("timer", one.kind, one.key, one.due_at, one.attempts, one.last_error)


def _job(one: DeadJob) -> StuckJobView:
    return StuckJobView("job", one.id, one.queue, one.key, one.created_at, one.attempts, one.last_error)
