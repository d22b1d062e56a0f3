"""Who may have a conversation next: hand-offs, ends, changes and starts of runs, inside the caller's transaction.

Every refusal is a conflict that says how the run or the bot stands now.
"""

from __future__ import annotations

from uuid import UUID

from inbox.agents.principal import Principal
from inbox.audit import service as audit
from inbox.connections.directory import Directory
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import Conflict, NotFound
from scheduler.workflows import bot_rows
from scheduler.workflows import repository as rows
from scheduler.workflows.bot_rows import Bot
from scheduler.workflows.moves import Cause, Moves, author
from scheduler.workflows.repository import Run
from scheduler.workflows.schemas import EndIn, HandOffIn, RunReason, RunState, StartIn


class BotUnknown(NotFound):
    code = "bot_not_found"


class BotRefused(Conflict):
    """This bot cannot be given this conversation; ``reason`` says why."""

    code, title = "bot_refused", "The bot cannot take this conversation"


class RunConflict(Conflict):
    """The run is not in a state that allows it; ``state`` and ``what_happened`` say how it stands."""

    code, title = "workflow_state", "The state of the run does not allow this now"


class Handing:
    def __init__(self, directory: Directory, conversations: Conversations, moves: Moves) -> None:
        self._directory = directory
        self._conversations = conversations
        self._moves = moves

    async def start(self, unit: UnitOfWork, caller: Principal, thread: Thread, fields: StartIn) -> Run:
        current = (await rows.lock_current(unit, caller.workspace_id, [thread.id])).get(thread.id)
        if current is not None:
            raise RunConflict(
                f"{current.bot_name} has this conversation: change that run", **_facts(current), run_id=current.id
            )
        bot = await self._usable(unit, thread, caller.workspace_id, fields.bot_id)
        run = await self._moves.begin(unit, thread, bot, Cause("requested", author(caller), fields.note))
        await self._note(unit, caller, "workflow.started", run)
        return run

    async def change(self, unit: UnitOfWork, caller: Principal, thread: Thread, run: Run, fields: StartIn) -> Run:
        """Another bot instead. Returns the run of that one."""
        require(run, "active", "paused")
        bot = await self._usable(unit, thread, caller.workspace_id, fields.bot_id)
        await self._moves.leave(unit, thread, run, "ended", Cause("changed", author(caller), fields.note))
        following = await self._moves.begin(unit, thread, bot, Cause("requested", author(caller), fields.note))
        await self._note(unit, caller, "workflow.changed", run, to_bot_id=str(bot.id))
        return following

    async def hand_off(self, unit: UnitOfWork, caller: Principal, thread: Thread, run: Run, fields: HandOffIn) -> None:
        """To people, or to another bot that takes such."""
        require(run, "active", "paused")
        bot = None
        if fields.bot_id is not None:
            bot = await self._usable(unit, thread, caller.workspace_id, fields.bot_id)
            if caller.confined and bot.mode != "on_hand_off":
                raise BotRefused("this bot takes nothing from other bots", reason="mode")
        cause = Cause(_reason(caller), author(caller), fields.note)
        await self._moves.leave(unit, thread, run, "handed_off", cause)
        if bot is not None:
            following = Cause("requested", author(caller), fields.note)
            await self._moves.begin(unit, thread, bot, following, willingly=caller.confined)
        await self._note(unit, caller, "workflow.handed_off", run)

    async def end(self, unit: UnitOfWork, caller: Principal, thread: Thread, run: Run, fields: EndIn) -> None:
        require(run, "active", "paused")
        if fields.close:
            thread.status = "closed"
        await self._moves.leave(unit, thread, run, "ended", Cause(_reason(caller), author(caller), fields.note))
        await self._note(unit, caller, "workflow.ended", run)

    async def pause(self, unit: UnitOfWork, caller: Principal, thread: Thread, run: Run, note: str | None) -> None:
        require(run, "active")
        await self._moves.leave(unit, thread, run, "paused", Cause("by_hand", author(caller), note))
        await self._note(unit, caller, "workflow.paused", run)

    async def resume(self, unit: UnitOfWork, caller: Principal, thread: Thread, run: Run, note: str | None) -> None:
        require(run, "paused")
        await self._usable(unit, thread, run.workspace_id, run.bot_id)
        await self._moves.take_up(unit, thread, run, Cause("resumed", author(caller), note))
        await self._note(unit, caller, "workflow.resumed", run)

    async def hand_back(self, unit: UnitOfWork, caller: Principal, thread: Thread, run: Run, note: str | None) -> None:
        """To the bot that had it before, in the same run."""
        require(run, "handed_off", "ended")
        other = (await rows.lock_current(unit, run.workspace_id, [thread.id])).get(thread.id)
        if other is not None:
            raise RunConflict(f"{other.bot_name} has this conversation", **_facts(other), run_id=other.id)
        await self._usable(unit, thread, run.workspace_id, run.bot_id)
        await self._moves.take_up(unit, thread, run, Cause("handed_back", author(caller), note))
        await self._note(unit, caller, "workflow.handed_back", run)

    async def _usable(self, unit: UnitOfWork, thread: Thread, workspace_id: UUID, bot_id: UUID) -> Bot:
        """Held until the commit: whoever disables it meanwhile waits, and finds what it was given."""
        bot = await bot_rows.hold(unit, workspace_id, bot_id)
        if bot is None:
            raise BotUnknown("there is no such bot")
        if not bot.enabled:
            raise BotRefused("the bot is disabled", reason="disabled")
        if bot.delivery != "enabled":
            raise BotRefused("no events reach the bot: its subscription is disabled", reason="unreachable")
        if not bot.serves(thread.channel_id):
            raise BotRefused("the bot does not serve this channel", reason="channel")
        channel = await self._directory.get(workspace_id, thread.channel_id)
        standing = await self._conversations.standing(unit, channel, thread)
        if standing.reach.blocked:
            raise BotRefused("this contact is blocked", reason="contact_blocked")
        return bot

    async def _note(self, unit: UnitOfWork, caller: Principal, action: str, run: Run, **more: object) -> None:
        detail = {"conversation_id": str(run.conversation_id), "bot_id": str(run.bot_id), **more}
        await audit.record(unit, run.workspace_id, caller, action, "workflow", run.id, detail)


def require(run: Run, *states: RunState) -> None:
    """Raises ``RunConflict``."""
    if run.state not in states:
        raise RunConflict(f"the run is {run.state.replace('_', ' ')}", **_facts(run))


def _facts(run: Run) -> dict[str, str | None]:
    return {"state": run.state, "what_happened": run.reason}


def _reason(caller: Principal) -> RunReason:
    return "by_bot" if caller.confined else "by_hand"
