"""What a block holds up in the rooms above, as those rooms show it and let people decide about it.

Invariant: nothing that a block paused goes on by itself. A person resumes it, item by item or all, and what is resumed
gets a time of its own from ``Slots``: however many are resumed, by however many calls, a contact never gets a burst.

The pausing itself is a reaction of each room to ``contact.blocked`` (``kernel.reactions``), in the transaction of the
block. That event comes before the ``conversation.updated`` that close the conversations: a block pauses what a mere
closing would have stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.database import UnitOfWork

PausedKind: TypeAlias = Literal["scheduled_message", "enrollment", "workflow"]

APART: Final = timedelta(seconds=60)
"""Between two things that go on for one contact, and from the decision to the first."""


@dataclass(frozen=True, slots=True)
class PausedItem:
    """Something that would be going on if the contact had not been blocked.

    ``title``: what a person knows it by: the first words of a message, the name of a sequence or a bot. ``state``: as
    its own room calls it now. ``due_at``: when its next deed was due, past or future; null where it waits for nothing.
    """

    kind: PausedKind
    id: UUID
    conversation_id: UUID | None
    title: str
    state: str
    due_at: datetime | None
    paused_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one item. ``refused``: it changed meanwhile, and ``detail`` says how. ``state``: as it is now."""

    kind: PausedKind
    id: UUID
    outcome: Literal["resumed", "cancelled", "refused"]
    state: str
    due_at: datetime | None = None
    detail: str | None = None


class Slots:
    """Due times for what is overdue, ``APART`` from each other. Reserved durably: another call gets later ones."""

    def __init__(self, first: datetime) -> None:
        self._next = first

    def take(self) -> datetime:
        taken = self._next
        self._next += APART
        return taken


class Pausable(Protocol):
    """One room above. The contact is given as the contact that it has become, where it was merged."""

    @property
    def kind(self) -> PausedKind: ...

    async def list(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> Sequence[PausedItem]:
        """What a block paused and nobody has decided about yet, oldest first. Reads only."""
        ...

    async def resume(
        self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None, slots: Slots
    ) -> Sequence[Settled]:
        """Let these go on, or (``None``) all that the block paused, in a transaction of its own.

        What is overdue takes its time from ``slots`` (one ``take`` for each item, in the order of due times); what is
        due later keeps its time; a waiting step of a sequence waits anew. Under the lock of the conversation the room
        looks again whether the contact is blocked (``refused``). Ids that are not paused are ``refused`` too, unknown
        ones are left out. Raises ``Forbidden``.
        """
        ...

    async def cancel(self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None) -> Sequence[Settled]:
        """End these, or (``None``) all that the block paused; also while the block lasts. Raises ``Forbidden``."""
        ...
