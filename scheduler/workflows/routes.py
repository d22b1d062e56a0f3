"""REST of bots and of their runs in conversations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations.service import ConversationUnknown
from inbox.kernel.errors import Fault, Forbidden, Invalid
from inbox.kernel.pages import ListQuery, Page
from inbox.kernel.web import Query, delete, get, patch, post
from inbox.subscriptions.registry import OwnerDisabled, TooManySubscriptions
from inbox.subscriptions.schemas import RotateIn, SecretRotated
from scheduler.workflows.bots import Bots
from scheduler.workflows.handing import BotRefused, BotUnknown, RunConflict
from scheduler.workflows.schemas import (
    BotCreated,
    BotIn,
    BotPatch,
    BotView,
    EndIn,
    HandOffIn,
    NoteIn,
    RunQuery,
    RunView,
    StartIn,
)
from scheduler.workflows.service import RunUnknown, Workflows

RUN = "/v1/workflows/{run_id}"
MOVES = (Forbidden, RunUnknown, RunConflict)
GIVES = (*MOVES, BotUnknown, BotRefused)


class BotRoutes:
    """Programs that answer. ``kinds`` are those of the event log, so that a filter that never matches is refused."""

    def __init__(self, bots: Bots, kinds: Collection[str]) -> None:
        self._bots = bots
        self._kinds = {*kinds, *(f"{kind.partition('.')[0]}.*" for kind in kinds)}

    @get("/v1/bots", tag="bots", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[ListQuery, Query()]) -> Page[BotView]:
        """List bots, oldest first."""
        return query.page(await self._bots.list(caller, after=query.last_id(), limit=query.limit + 1))

    @post("/v1/bots", tag="bots", status=201, errors=(Forbidden, TooManySubscriptions))
    async def create(self, caller: Principal, body: BotIn) -> BotCreated:
        """Register a bot. The secret of its webhook and its API token are shown this one time."""
        caller.require("bots.write")
        self._check_kinds(body.kinds)
        return await self._bots.create(caller, body)

    @get("/v1/bots/{bot_id}", tag="bots", errors=(Forbidden, BotUnknown))
    async def read(self, caller: Principal, bot_id: UUID) -> BotView:
        """Read one bot."""
        return await self._bots.get(caller, bot_id)

    @patch("/v1/bots/{bot_id}", tag="bots", errors=(Forbidden, BotUnknown, OwnerDisabled))
    async def change(self, caller: Principal, bot_id: UUID, body: BotPatch) -> BotView:
        """Change it, disable or enable it. What a disabled bot holds goes to people within seconds."""
        caller.require("bots.write")
        self._check_kinds(body.kinds)
        return await self._bots.change(caller, bot_id, body)

    @delete("/v1/bots/{bot_id}", tag="bots", errors=(Forbidden, BotUnknown))
    async def remove(self, caller: Principal, bot_id: UUID) -> None:
        """Delete a bot; what it wrote stays. What it holds goes to people within seconds."""
        await self._bots.delete(caller, bot_id)

    @post("/v1/bots/{bot_id}/rotate-secret", tag="bots", status=200, errors=(Forbidden, BotUnknown))
    async def rotate(self, caller: Principal, bot_id: UUID, body: RotateIn) -> SecretRotated:
        """Make a new secret. Until the overlap ends, events are signed with the previous one as well."""
        return await self._bots.rotate(caller, bot_id, body)

    def _check_kinds(self, kinds: Collection[str] | None) -> None:
        unknown = [n for n, kind in enumerate(kinds or ()) if kind not in self._kinds]
        if unknown:
            raise Invalid(
                [Fault(f"/body/kinds/{n}", "there is no such kind of event", "unknown_kind") for n in unknown]
            )


class WorkflowRoutes:
    """Which bot has a conversation, and how it goes over to people and back."""

    def __init__(self, workflows: Workflows) -> None:
        self._workflows = workflows

    @get("/v1/conversations/{conversation_id}/workflows", tag="workflows", errors=(Forbidden, ConversationUnknown))
    async def list(
        self, caller: Principal, conversation_id: UUID, query: Annotated[RunQuery, Query()]
    ) -> Page[RunView]:
        """The runs of bots in a conversation, newest first. At most one is active or paused."""
        found = await self._workflows.list(caller, conversation_id, before=query.last_id(), limit=query.limit + 1)
        return query.page(found)

    @post(
        "/v1/conversations/{conversation_id}/workflows",
        tag="workflows",
        status=201,
        errors=(Forbidden, ConversationUnknown, BotUnknown, BotRefused, RunConflict),
    )
    async def start(self, caller: Principal, conversation_id: UUID, body: StartIn) -> RunView:
        """Give the conversation to a bot: it is `pending` from then on, and the bot is told."""
        return await self._workflows.start(caller, conversation_id, body)

    @get(RUN, tag="workflows", errors=(Forbidden, RunUnknown))
    async def read(self, caller: Principal, run_id: UUID) -> RunView:
        """One run."""
        return await self._workflows.get(caller, run_id)

    @post(f"{RUN}/change", tag="workflows", status=200, errors=GIVES)
    async def change(self, caller: Principal, run_id: UUID, body: StartIn) -> RunView:
        """Another bot instead of this one. Answers with the run of that one."""
        return await self._workflows.change(caller, run_id, body)

    @post(f"{RUN}/pause", tag="workflows", status=200, errors=MOVES)
    async def pause(self, caller: Principal, run_id: UUID, body: NoteIn) -> RunView:
        """The bot answers no longer, until the run is resumed. What it has queued does not go out."""
        return await self._workflows.pause(caller, run_id, body)

    @post(f"{RUN}/resume", tag="workflows", status=200, errors=GIVES)
    async def resume(self, caller: Principal, run_id: UUID, body: NoteIn) -> RunView:
        """Let a paused run go on."""
        return await self._workflows.resume(caller, run_id, body)

    @post(f"{RUN}/end", tag="workflows", status=200, errors=MOVES)
    async def end(self, caller: Principal, run_id: UUID, body: EndIn) -> RunView:
        """End a run; people go on, or the conversation is closed with it."""
        return await self._workflows.end(caller, run_id, body)

    @post(f"{RUN}/hand-off", tag="workflows", status=200, errors=GIVES)
    async def hand_off(self, caller: Principal, run_id: UUID, body: HandOffIn) -> RunView:
        """From the bot to people, with a note for them, or to a bot of the mode `on_hand_off`."""
        return await self._workflows.hand_off(caller, run_id, body)

    @post(f"{RUN}/hand-back", tag="workflows", status=200, errors=GIVES)
    async def hand_back(self, caller: Principal, run_id: UUID, body: NoteIn) -> RunView:
        """From people back to the bot of a run that was handed off or has ended."""
        return await self._workflows.hand_back(caller, run_id, body)
