"""Whether a bot may write here now; and if not, what happened (P9)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations.repository import Thread
from inbox.conversations.service import ConversationUnknown
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import Fact
from inbox.messages.schemas import OriginView
from inbox.messages.sending import ComposerRefused
from scheduler.workflows import repository as rows
from scheduler.workflows.repository import Run
from scheduler.workflows.schemas import RunReason

WORDS: Final[dict[RunReason, str]] = {
    "requested": "the conversation was given to it anew",
    "first_contact": "the customer began anew",
    "handed_back": "the conversation was handed back to it anew",
    "resumed": "it was paused and resumed",
    "by_hand": "a person paused or ended it",
    "by_bot": "the bot itself let it go",
    "timed_out": "it did not answer in time",
    "human_reply": "a person has answered",
    "native_app": "a person has answered in the provider's own app",
    "assigned": "it was assigned to a person",
    "closed": "the conversation was closed or put off",
    "reopened": "a person took it over",
    "blocked": "the contact was blocked",
    "changed": "another bot was given the conversation",
    "bot_disabled": "the bot was disabled",
    "merged": "the conversation became part of another one",
}


async def lease_of(unit: UnitOfWork, caller: Principal, thread: Thread, epoch: int | None) -> OriginView:
    """What a message of this bot comes from, if it holds ``thread`` (locked), under ``epoch`` if it names one.

    Raises ``ComposerRefused`` with what happened; ``ConversationUnknown`` where it never held the conversation.
    """
    holds = thread.holder_id == caller.agent_id
    if holds and thread.run_id is not None and epoch in (None, thread.epoch):
        return OriginView("bot", thread.run_id)
    run = await rows.last_of_bot(unit, caller.workspace_id, thread.id, caller.agent_id)
    if run is None:
        raise ConversationUnknown("there is no such conversation")
    raise superseded(run, thread.epoch, epoch if holds else None)


def superseded(run: Run, epoch: int, named: int | None = None) -> ComposerRefused:
    """``epoch``: what counts now. ``named``: by an answer of the bot that holds the conversation, under another one."""
    by: Fact = None if run.by_kind is None else {"kind": run.by_kind, "id": _plain(run.by_id), "name": run.by_name}
    detail = f"this answer comes too late: {explained(run)}"
    if named is not None:
        since = f": {explained(run)}" if named < epoch else ""
        detail = f"this answer names epoch {named}; the bot holds the conversation under {epoch}{since}"
    return ComposerRefused(
        detail,
        reason="superseded",
        epoch=epoch,
        run_id=_plain(run.id),
        state=run.state,
        what_happened=run.reason if named is None else "wrong_epoch",
        by=by,
        at=run.updated_at,
    )


def explained(run: Run) -> str:
    return "it is not this run's turn" if run.reason is None else WORDS[run.reason]


def _plain(value: UUID | None) -> UUID | None:
    """Ids that come from rows are of the driver's own class, which not everybody can encode."""
    return None if value is None else UUID(str(value))
