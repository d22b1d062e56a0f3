"""What ends by itself: a bot that does not answer in its time, and everything that a disabled bot still holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from inbox.audit import service as audit
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.kernel.database import Contended, Database, UnitOfWork
from inbox.kernel.jobs import Job
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.timers import Timer
from inbox.kernel.timers_firing import TimerFiring
from scheduler.workflows import bot_rows
from scheduler.workflows import repository as rows
from scheduler.workflows.following import RELEASE
from scheduler.workflows.moves import ANSWER_TIMER, Cause, Moves
from scheduler.workflows.repository import Run

AT_A_TIME: Final = 50
SECONDS: Final = 60.0
MOST_EXTENSIONS: Final = 3
"""A customer does not wait for ever for a bot that we cannot tell."""


class Firing:
    def __init__(self, database: Database, moves: Moves) -> None:
        self._database = database
        self._moves = moves

    def register(self, firing: TimerFiring, worker: Worker) -> None:
        firing.register(ANSWER_TIMER, self.times_out)
        worker.register(RELEASE, self.release, concurrency=1, time_limit=SECONDS)

    async def times_out(self, unit: UnitOfWork, timers: Sequence[Timer]) -> None:
        """Hand to people what was not answered. A timer that counts no longer does nothing.

        A bot that we have not told by then gets its time once more, ``MOST_EXTENSIONS`` times at most.
        """
        for workspace_id in sorted({timer.workspace_id for timer in timers}):
            due = [timer for timer in timers if timer.workspace_id == workspace_id]
            by_key = {timer.key: timer for timer in due}
            for thread, run in await lock_runs(
                unit, workspace_id, sorted({UUID(str(timer.payload["run_id"])) for timer in due})
            ):
                timer = by_key.get(str(run.waiting_id))
                if run.state != "active" or timer is None:
                    continue
                extended = int(str(timer.payload.get("extended", 0)))
                untold = extended < MOST_EXTENSIONS and await bot_rows.is_untold(
                    unit, workspace_id, run.bot_id, run.conversation_id
                )
                if untold:
                    await self._moves.wait_longer(unit, run, extended + 1)
                else:
                    await self._moves.leave(unit, thread, run, "handed_off", Cause("timed_out"))
                    await audit.record(unit, workspace_id, None, "workflow.timed_out", "workflow", run.id)

    async def release(self, job: Job) -> None:
        """Whoever made this job has committed that the bot may not act: it gets no new conversations meanwhile."""
        bot_id = UUID(str(job.payload["bot_id"]))
        while await self._database.retrying(lambda unit: self._release_some(unit, job.workspace_id, bot_id)):
            pass

    async def _release_some(self, unit: UnitOfWork, workspace_id: UUID, bot_id: UUID) -> bool:
        """Whether there may be more."""
        bot = await bot_rows.find(unit.connection, workspace_id, bot_id)
        if bot is not None and bot.enabled and bot.delivery == "enabled":
            return False  # enabled again meanwhile
        found = await rows.held_by(unit, workspace_id, bot_id, limit=AT_A_TIME)
        for thread, run in await lock_runs(unit, workspace_id, [run.id for run in found]):
            if run.current:
                await self._moves.leave(unit, thread, run, "ended", Cause("bot_disabled"))
                await audit.record(unit, workspace_id, None, "workflow.ended", "workflow", run.id)
        return len(found) == AT_A_TIME


async def lock_runs(unit: UnitOfWork, workspace_id: UUID, run_ids: Sequence[UUID]) -> list[tuple[Thread, Run]]:
    """Runs with their conversations, both locked, in the order of the conversations. Unknown ids are left out.

    Raises ``Contended`` when a run moved to another conversation meanwhile.
    """
    found = await rows.find_many(unit, workspace_id, run_ids)
    threads = {
        thread.id: thread
        for thread in await thread_rows.lock_many(unit, workspace_id, [], [run.conversation_id for run in found])
    }
    runs = await rows.lock(unit, workspace_id, [run.id for run in found])
    if any(run.conversation_id not in threads for run in runs):
        raise Contended("a conversation was joined by another transaction")
    return sorted(((threads[run.conversation_id], run) for run in runs), key=lambda pair: pair[0].id)
