"""How a conversation goes over to a bot and back, inside the transaction of whoever has locked it.

Invariant: a run is active exactly while its conversation names it, is pending, and has the run's epoch. Every move
changes both and says so in the log, and gives a new epoch, so that whatever was written under an earlier lease is
refused, when it arrives and at the last gate (P9). Only a bot that lets go by itself leaves the epoch as it is: its
last words are meant to go out, and that it is not its turn any more is told by the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations import events as thread_events
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, touch
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.ids import new_id
from inbox.kernel.timers import set_timer
from inbox.messages.schemas import AuthorView
from scheduler.ties import Ties
from scheduler.workflows import events
from scheduler.workflows import repository as rows
from scheduler.workflows.bot_rows import Bot
from scheduler.workflows.repository import Run
from scheduler.workflows.schemas import RunReason, RunState

ANSWER_TIMER: Final = "workflow.answer"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a run changes, through whom, and what was said with it."""

    reason: RunReason
    by: AuthorView | None = None
    note: str | None = None


def author(caller: Principal) -> AuthorView:
    return AuthorView("bot" if caller.confined else "agent", caller.agent_id, caller.name)


class Moves:
    def __init__(self, conversations: Conversations, ties: Ties) -> None:
        self._conversations = conversations
        self._ties = ties
        ties.add(rows.is_tied)

    # --- to a bot -----------------------------------------------------------------------------------------------------

    async def begin(self, unit: UnitOfWork, thread: Thread, bot: Bot, cause: Cause, *, willingly: bool = False) -> Run:
        """A new run. The conversation has no current one, and ``bot`` is held. Raises ``Contended`` if it has one.

        ``willingly``: it was handed over by another bot, whose last words are still to go out.
        """
        if not willingly:
            thread.epoch += 1
        run = await self._insert(unit, thread, bot, cause)
        await self._expect_answer(unit, thread, run)
        await self._tell(unit, thread, run, new=True)
        return run

    async def begin_quietly(self, unit: UnitOfWork, thread: Thread, bot: Bot, cause: Cause) -> None:
        """The same, of a thread that the caller writes and whose next event shows it."""
        thread.epoch += 1
        run = await self._insert(unit, thread, bot, cause)
        conversation = await self._conversations.view(run.workspace_id, thread)
        unit.record(events.created(run.workspace_id, rows.view(run), conversation))

    async def _insert(self, unit: UnitOfWork, thread: Thread, bot: Bot, cause: Cause) -> Run:
        now = datetime.now(UTC)
        run = Run(
            workspace_id=bot.workspace_id,
            id=new_id(),
            conversation_id=thread.id,
            bot_id=bot.id,
            state="active",
            reason=cause.reason,
            note=cause.note,
            epoch=thread.epoch,
            former_assignee_id=thread.assignee_id,
            by_kind=None if cause.by is None else cause.by.kind,
            by_id=None if cause.by is None else cause.by.id,
            by_name=None if cause.by is None else cause.by.name,
            waiting_since=None,
            waiting_id=None,
            version=1,
            created_at=now,
            updated_at=now,
            bot_name=bot.name,
            answer_within=bot.answer_within,
        )
        if not await rows.insert(unit, run):
            raise Contended("another bot was given this conversation")
        _hold(thread, run, now)
        return run

    async def take_up(self, unit: UnitOfWork, thread: Thread, run: Run, cause: Cause) -> None:
        """A paused, handed over or ended run goes on, under a new lease. Nobody else's is current."""
        now = datetime.now(UTC)
        thread.epoch += 1
        run.epoch = thread.epoch
        run.former_assignee_id = thread.assignee_id
        _change(run, "active", cause, now)
        _hold(thread, run, now)
        await self._expect_answer(unit, thread, run)
        await self._tell(unit, thread, run)

    async def renew(self, unit: UnitOfWork, thread: Thread, run: Run, cause: Cause) -> None:
        """The epoch of the conversation has moved on for another reason than that somebody took over."""
        run.epoch = thread.epoch
        _change(run, run.state, cause, datetime.now(UTC))
        thread.bot_id, thread.run_id, thread.run_paused = run.bot_id, run.id, run.state == "paused"
        if run.state == "active":
            thread.status = "pending"
        touch(thread, run.updated_at)
        await self._tell(unit, thread, run)

    # --- from a bot ---------------------------------------------------------------------------------------------------

    async def leave(
        self,
        unit: UnitOfWork,
        thread: Thread,
        run: Run,
        state: Literal["paused", "handed_off", "ended"],
        cause: Cause,
    ) -> None:
        """The bot answers no longer. What it has queued is refused by the gate, unless it lets go itself."""
        now = datetime.now(UTC)
        if thread.epoch == run.epoch and cause.reason != "by_bot":
            thread.epoch += 1
        was_active = run.state == "active"
        _change(run, state, cause, now)
        if state == "paused":
            thread.run_paused = True
        else:
            thread.bot_id, thread.run_id, thread.run_paused = None, None, False
        if was_active:
            if thread.status == "pending":
                thread.status = "open"
            if thread.assignee_id is None and run.former_assignee_id is not None:
                await self._return(unit, run.workspace_id, thread, run.former_assignee_id)
        touch(thread, now)
        await self._tell(unit, thread, run)

    async def _return(self, unit: UnitOfWork, workspace_id: UUID, thread: Thread, assignee_id: UUID) -> None:
        """To whom it belonged before."""
        if await thread_rows.is_agent(unit, workspace_id, assignee_id):
            thread.assignee_id = assignee_id

    async def lose(self, unit: UnitOfWork, thread: Thread, run: Run, cause: Cause) -> None:
        """Its own thread is gone, and became part of ``thread``, where another bot answers: the run has ended."""
        _change(run, "ended", cause, datetime.now(UTC))
        await rows.save(unit, run)
        run.conversation_id = thread.id
        conversation = await self._conversations.view(run.workspace_id, thread)
        unit.record(events.updated(run.workspace_id, rows.view(run), conversation))

    # --- answers ------------------------------------------------------------------------------------------------------

    async def expect_answer(self, unit: UnitOfWork, run: Run) -> None:
        """The customer wrote: from the first message that is not answered the time of the bot runs."""
        if run.waiting_id is None:
            await self._wait(unit, run)
            await rows.save(unit, run)

    async def answered(self, unit: UnitOfWork, run: Run) -> None:
        """The timer that stands for it finds that it counts no longer."""
        if run.waiting_id is not None:
            run.waiting_since = run.waiting_id = None
            await rows.save(unit, run)

    async def _expect_answer(self, unit: UnitOfWork, thread: Thread, run: Run) -> None:
        """Who gets a conversation in which the customer spoke last, owes the answer."""
        if thread.last_message_direction == "in":
            await self._wait(unit, run)

    async def wait_longer(self, unit: UnitOfWork, run: Run, extended: int) -> None:
        """The same wait, for the ``extended``-th time: it was not the bot that was late."""
        await self._set_answer_timer(unit, run, await unit.time(), extended)
        await rows.save(unit, run)

    async def _wait(self, unit: UnitOfWork, run: Run) -> None:
        run.waiting_since = await unit.time()
        await self._set_answer_timer(unit, run, run.waiting_since, 0)

    @staticmethod
    async def _set_answer_timer(unit: UnitOfWork, run: Run, since: datetime, extended: int) -> None:
        run.waiting_id = new_id()
        due_at = since + timedelta(seconds=run.answer_within)
        payload = {"run_id": str(run.id), "extended": extended}
        # A key that never was: no timer that stands is touched while conversations are locked.
        await set_timer(unit, run.workspace_id, ANSWER_TIMER, str(run.waiting_id), due_at, payload)

    async def _tell(self, unit: UnitOfWork, thread: Thread, run: Run, *, new: bool = False) -> None:
        await rows.save(unit, run)
        await self._conversations.save(unit, run.workspace_id, [thread])
        conversation = await self._conversations.view(run.workspace_id, thread)
        unit.record(thread_events.updated(run.workspace_id, conversation))
        await self._ties.settle(unit, run.workspace_id, thread)
        tell = events.created if new else events.updated
        unit.record(tell(run.workspace_id, rows.view(run), await self._conversations.view(run.workspace_id, thread)))


def _hold(thread: Thread, run: Run, at: datetime) -> None:
    thread.bot_id, thread.run_id, thread.run_paused = run.bot_id, run.id, False
    thread.status = "pending"
    thread.assignee_id = None
    thread.automated = True
    touch(thread, at)


def _change(run: Run, state: RunState, cause: Cause, at: datetime) -> None:
    run.state, run.reason = state, cause.reason
    run.note = cause.note
    run.by_kind, run.by_id, run.by_name = (
        (None, None, None) if cause.by is None else (cause.by.kind, cause.by.id, cause.by.name)
    )
    run.version += 1
    run.updated_at = at
    if state != "active":
        run.waiting_since = run.waiting_id = None
