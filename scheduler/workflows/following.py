"""What runs make of what happens in their conversations, in the very transaction in which it happens.

Invariant: a person who answers, takes the conversation or closes it ends the lease in that same commit. A reaction
touches no timer that stands; it trusts the rows, which are written and locked by then, and not the order of the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from contacts.events import ContactBlocked
from contacts.schemas import ContactView
from inbox.agents import repository as agent_rows
from inbox.agents.events import AgentUpdated
from inbox.conversations import repository as thread_rows
from inbox.conversations.events import ConversationMerged, ConversationUpdated
from inbox.conversations.repository import Thread
from inbox.conversations.schemas import ConversationView
from inbox.kernel.database import UnitOfWork
from inbox.kernel.eventlog import Event
from inbox.kernel.jobs import Jobs
from inbox.kernel.reactions import Reaction
from inbox.messages.events import MessageCreated
from inbox.messages.schemas import AuthorView, MessageView
from inbox.subscriptions.events import SubscriptionDisabled, SubscriptionUpdated
from scheduler.workflows import bot_rows
from scheduler.workflows import events as workflow_events
from scheduler.workflows import repository as rows
from scheduler.workflows.moves import Cause, Moves
from scheduler.workflows.repository import Run
from scheduler.workflows.schemas import RunReason

RELEASE: Final = "workflow.release"
"""The queue of bots that may not hold conversations any more."""


class Reactions(Protocol):
    def on(self, kind: str, reaction: Reaction) -> None: ...


class Following:
    def __init__(self, moves: Moves, jobs: Jobs) -> None:
        self._moves = moves
        self._jobs = jobs

    def register(self, reactions: Reactions) -> None:
        for kind in ("contact.blocked", "message.created", "conversation.updated", "conversation.merged"):
            reactions.on(kind, self.follow)
        for kind in ("agent.updated", "subscription.updated", "subscription.disabled"):
            reactions.on(kind, self.bot_changed)

    async def follow(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        for event in events:
            match event.data:
                case MessageCreated(message, conversation) if conversation.responder is not None:
                    await self._message(unit, event.workspace_id, message)
                case ConversationUpdated(conversation) if conversation.responder is not None:
                    await self._changed(unit, event.workspace_id, conversation)
                case ConversationMerged(conversation, merged) if conversation.automated:
                    await self._merged(unit, event.workspace_id, merged, conversation.id)
                case ContactBlocked(contact):
                    await self._blocked(unit, event.workspace_id, contact)

    # --- messages -----------------------------------------------------------------------------------------------------

    async def _message(self, unit: UnitOfWork, workspace_id: UUID, message: MessageView) -> None:
        run = (await rows.lock_current(unit, workspace_id, [message.conversation_id])).get(message.conversation_id)
        if run is None or run.state != "active":
            return
        if message.direction == "in":
            await self._moves.expect_answer(unit, run)
        elif message.author.kind == "bot" and message.origin is not None and message.origin.id == run.id:
            await self._moves.answered(unit, run)
        elif message.origin is None and message.author.kind in ("agent", "native_app"):
            thread = await _locked(unit, workspace_id, run.conversation_id)
            reason: RunReason = "native_app" if message.author.kind == "native_app" else "human_reply"
            await self._moves.leave(unit, thread, run, "ended", Cause(reason, message.author))

    # --- the conversation ---------------------------------------------------------------------------------------------

    async def _changed(self, unit: UnitOfWork, workspace_id: UUID, conversation: ConversationView) -> None:
        run = (await rows.lock_current(unit, workspace_id, [conversation.id])).get(conversation.id)
        if run is None:
            return
        thread = await _locked(unit, workspace_id, conversation.id)
        if thread.run_id != run.id:
            return
        cause = taken_away(thread, run)
        if cause is not None:
            await self._moves.leave(unit, thread, run, "ended", cause)

    async def _merged(self, unit: UnitOfWork, workspace_id: UUID, source: UUID, target: UUID) -> None:
        """The thread that is left keeps its own bot, or gets that of the other; the lease is a new one."""
        current = await rows.lock_current(unit, workspace_id, [source, target])
        thread = await _locked(unit, workspace_id, target)
        kept, lost = current.get(target), current.get(source)
        if kept is not None and lost is not None:
            await self._moves.lose(unit, thread, lost, Cause("merged"))
        await rows.follow_thread(unit, workspace_id, source, target)
        run = kept or lost
        if run is not None:
            run.conversation_id = target
            await self._moves.renew(unit, thread, run, Cause("merged"))

    # --- who may not be written to, and who may not write -------------------------------------------------------------

    async def _blocked(self, unit: UnitOfWork, workspace_id: UUID, contact: ContactView) -> None:
        """Paused with its state: what a mere closing would have ended."""
        held = await rows.of_contact(unit, workspace_id, contact.id)
        by = await self._who_blocked(unit, workspace_id, contact) if held else None
        for found in held:
            thread = await _locked(unit, workspace_id, found.conversation_id)
            (run,) = await rows.lock(unit, workspace_id, [found.id])
            if run.current and run.reason != "blocked":
                await self._moves.leave(unit, thread, run, "paused", Cause("blocked", by, note=run.note))

    @staticmethod
    async def _who_blocked(unit: UnitOfWork, workspace_id: UUID, contact: ContactView) -> AuthorView | None:
        if contact.blocked is None or contact.blocked.by is None:
            return None
        agent = await agent_rows.find(unit.connection, workspace_id, contact.blocked.by)
        return AuthorView("agent", contact.blocked.by, None if agent is None else agent.name)

    async def bot_changed(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        """What a bot shows is in part its agent's and its subscription's. One that may not act, or that nothing reaches
        any more, lets go of what it holds: people need not wait for its time to run out."""
        changed: dict[tuple[UUID, UUID], bool] = {}
        for event in events:
            match event.data:
                case AgentUpdated(agent) if agent.role == "bot":
                    changed[event.workspace_id, agent.id] = agent.disabled
                case SubscriptionUpdated(subscription):
                    changed.setdefault((event.workspace_id, subscription.agent_id), False)
                case SubscriptionDisabled(subscription):
                    changed[event.workspace_id, subscription.agent_id] = True
        for (workspace_id, bot_id), ended in sorted(changed.items()):
            bot = await bot_rows.find(unit.connection, workspace_id, bot_id)
            if bot is not None:
                unit.record(workflow_events.bot_updated(workspace_id, bot_rows.view(bot)))
            if ended:
                await self._jobs.enqueue(unit, workspace_id, RELEASE, {"bot_id": str(bot_id)}, key=str(bot_id))


def taken_away(thread: Thread, run: Run) -> Cause | None:
    """Whether a change of its conversation ends a run, and why. Pure."""
    if run.state == "paused":
        return Cause("closed") if thread.status == "closed" and run.reason != "blocked" else None
    if thread.assignee_id is not None:
        return Cause("assigned", AuthorView("agent", thread.assignee_id))
    if thread.status in ("closed", "snoozed"):
        return Cause("closed")
    if thread.status == "open":
        return Cause("reopened")
    return None


async def _locked(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> Thread:
    """Its lock is held already by whoever recorded the event; this reads what was written."""
    (thread,) = await thread_rows.lock_many(unit, workspace_id, [], [conversation_id])
    return thread
