"""What follows from an event inside the very transaction that records it, without the recorder knowing who listens.

Invariant: a reaction sees every event of its kinds that will be committed with it, in the order of recording, and what
it does is committed or rolled back with them. It runs after all else and before the events are numbered, so nobody
holds the log's counter while it works; of what a savepoint undid it hears nothing.

A reaction holds whatever locks the transaction already has. It may take those that come later in the order of locks,
and no timers: they come first (docs/scheduler.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from inbox.kernel.database import UnitOfWork
from inbox.kernel.eventlog import Event

Reaction: TypeAlias = Callable[[UnitOfWork, Sequence[Event]], Awaitable[None]]
"""Gets the events of the kinds it was registered for. It may record more, and is shown those in the next round."""

ROUNDS: Final = 8
"""Events that follow from events that follow from events … end before this, or somebody made a circle."""


class EndlessReactions(RuntimeError):
    """Reactions still answer each other after ``ROUNDS`` rounds. The transaction is rolled back."""


class Reactions:
    """Register before the first transaction. Reactions run one after the other, in the order of registration."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[Reaction]] = {}
        self._order: dict[Reaction, None] = {}

    def on(self, kind: str, reaction: Reaction) -> None:
        """One reaction may listen to several kinds: it gets their events together, in order."""
        self._kinds.setdefault(kind, []).append(reaction)
        self._order.setdefault(reaction)

    async def follow(self, unit: UnitOfWork) -> None:
        """Called by ``Database`` once the work of a transaction is done. Raises what a reaction raises."""
        if not self._kinds:
            return
        shown = 0
        for _ in range(ROUNDS):
            fresh = unit.recorded(since=shown)
            heard = self._heard(fresh)
            if not heard:
                return
            shown += len(fresh)
            for reaction, events in heard.items():
                await reaction(unit, events)
        left = self._heard(unit.recorded(since=shown))
        if left:
            kinds = sorted({event.kind for events in left.values() for event in events})
            raise EndlessReactions(f"reactions to {', '.join(kinds)} do not come to an end")

    def _heard(self, events: Sequence[Event]) -> dict[Reaction, list[Event]]:
        heard: dict[Reaction, list[Event]] = {}
        for event in events:
            for reaction in self._kinds.get(event.kind, ()):
                heard.setdefault(reaction, []).append(event)
        if len(heard) < 2:
            return heard
        return {reaction: heard[reaction] for reaction in self._order if reaction in heard}
