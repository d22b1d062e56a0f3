"""One reader of the stream: who it is, what it may see and wants to, and the way to its socket.

Invariant: what a reader gets is decided by its ``View`` alone, on replay as on the live stream (P10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.eventlog import EVERYONE, SUPERVISORS
from inbox.realtime.closing import CloseCode
from inbox.realtime.protocol import EncodedEvent, Filter

if TYPE_CHECKING:
    from inbox.realtime.room import Lane, Room

_AUDIENCES = (EVERYONE, SUPERVISORS)
LITTLE: Final = 4
"""The part of a limit that still counts as next to nothing waiting."""


@dataclass(frozen=True, slots=True)
class View:
    """What a reader sees. Readers with equal views share their frames. An audience nobody knows is seen by no one.

    ``holder_id``: a program, which sees what it holds, and nothing of what people type and look at.
    """

    audiences: frozenset[int]
    kinds: frozenset[str] | None = None
    conversation_ids: frozenset[UUID] | None = None
    holder_id: UUID | None = None

    @classmethod
    def of(cls, principal: Principal, wanted: Filter | None) -> View:
        holder_id = principal.agent_id if principal.confined else None
        audiences = frozenset(audience for audience in _AUDIENCES if principal.sees(audience, holder_id))
        if wanted is None:
            return cls(audiences, holder_id=holder_id)
        return cls(audiences, wanted.kinds, wanted.conversation_ids, holder_id)

    def shows(self, event: EncodedEvent) -> bool:
        return (
            event.audience in self.audiences
            and (self.holder_id is None or event.holder_id == self.holder_id)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.conversation_ids is None or event.conversation_id in self.conversation_ids)
        )

    def concerns(self, conversation_id: UUID | None) -> bool:
        if self.holder_id is not None:
            return False
        return self.conversation_ids is None or conversation_id in self.conversation_ids


class Quota:
    """How much may wait for one socket, which is about what its client did not read, not about how much comes at once.

    A client that reads gets a frame of any size: one that had to fit the limit would lock its readers out for ever.
    """

    __slots__ = ("_large",)

    def __init__(self) -> None:
        self._large = 0

    def admits(self, waiting: int, size: int, limit: int) -> bool:
        """Whether ``size`` more bytes may wait. A large write to a free socket does not count until it was read."""
        little = limit // LITTLE
        if waiting <= little:
            self._large = size if size > little else 0
            return True
        return waiting + size <= limit + self._large


class Outlet(Protocol):
    """The way out to one socket. Nothing here waits, but ``drained``."""

    def offer(self, frames: bytes, limit: int) -> bool:
        """Send ready frames; False, and nothing sent, when too much waits already: see ``Quota``.

        A socket that is closing takes everything and sends nothing.
        """
        ...

    def backlog(self) -> int:
        """Bytes that the socket did not take yet."""
        ...

    async def drained(self) -> None:
        """Wait until little is waiting, or the socket is gone."""
        ...

    def hang_up(self, code: CloseCode, detail: str = "") -> None:
        """Send a close frame behind all the rest; cut the connection when the client does not answer it in time."""
        ...


class Session:
    """One socket after its ticket was redeemed. Live while it stands in a lane of its room."""

    __slots__ = (
        "allowance",
        "allowed_at",
        "id",
        "lane",
        "outlet",
        "principal",
        "replay",
        "replaying",
        "room",
        "view",
        "viewing",
    )

    def __init__(self, session_id: UUID, principal: Principal, outlet: Outlet, room: Room) -> None:
        self.id = session_id
        self.principal = principal
        self.outlet = outlet
        self.room = room
        self.view = View.of(principal, None)
        self.lane: Lane | None = None
        self.replay: Replay | None = None
        self.replaying: asyncio.Task[None] | None = None
        self.viewing: UUID | None = None
        self.allowance = 20.0
        self.allowed_at = 0.0


class Replay:
    """A reader on its way from a cursor to the head, as the pure half of catching up.

    The log is the buffer: nothing that is committed meanwhile has to be kept for this reader, because it goes live in
    the same step in which its cursor equals the head of its room.
    """

    __slots__ = ("cursor", "sent", "view")

    def __init__(self, after: int, view: View, sent: int | None = None) -> None:
        """``sent``: the last position that the client was told of, when that is not ``after``."""
        self.cursor = after
        self.sent = after if sent is None else sent
        self.view = view

    def take(
        self, events: Iterable[EncodedEvent], most_bytes: int, most: int | None = None
    ) -> list[tuple[EncodedEvent, int]]:
        """Moves over the next of these events; answers those to send, each with the position sent before it.

        At least one event is handled if there is any. Raises ``HoleInLog`` when they do not go on behind the cursor.
        """
        taken: list[tuple[EncodedEvent, int]] = []
        size = 0
        shows = self.view.shows
        for event in events:
            position = event.position
            if position != self.cursor + 1:
                raise HoleInLog(f"expected position {self.cursor + 1}, found {position}")
            self.cursor = position
            if shows(event):
                taken.append((event, self.sent))
                self.sent = position
                size += len(event.frame)
                if size >= most_bytes or len(taken) == most:
                    break
        return taken


class HoleInLog(Exception):
    """Events that should be there are not: retention took them while they were being read."""
