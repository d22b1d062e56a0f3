"""What a receiver's own answer may carry, where its subscription belongs to a program: see ``scheduler.workflows``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from inbox.kernel.eventlog import StoredEvent


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in JSON to an event. ``epoch`` is the log's. ``body`` None: it was larger than what is read."""

    subscription_id: UUID
    owner_id: UUID
    event: StoredEvent
    epoch: UUID
    body: bytes | None = field(repr=False)


class Answers(Protocol):
    async def take(self, answer: Answer) -> str | None:
        """Do what it says, once for each event. Returns what was wrong with it, for the delivery log.

        Raises ``Unavailable``: nothing was done, and it has to be taken again before the event counts as delivered.
        """
        ...
