"""Why the server ends a socket: every code it ever sends stands in this table, and says what the client does next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

Next = Literal["resume", "new_ticket", "stop"]
"""``resume``: connect again with the same cursor. ``new_ticket``: the same, but mind why the ticket was refused.
``stop``: connecting again would end the same way."""


class CloseCode(IntEnum):
    """From the range 4000-4999, which RFC 6455 (section 7.4.2) leaves to applications."""

    GOING_AWAY = 4000
    BAD_FRAME = 4400
    UNAUTHENTICATED = 4401
    TICKET_INVALID = 4402
    FORBIDDEN = 4403
    SLOW_CONSUMER = 4408
    REVOKED = 4410
    INTERNAL = 4500


@dataclass(frozen=True, slots=True)
class Closing:
    """``reason`` travels in the close frame (at most 123 bytes)."""

    name: str
    reason: str
    next: Next


CLOSINGS: Final[dict[CloseCode, Closing]] = {
    CloseCode.GOING_AWAY: Closing("going_away", "this node stops; resume on another", "resume"),
    CloseCode.BAD_FRAME: Closing("bad_frame", "a frame was not understood", "stop"),
    CloseCode.UNAUTHENTICATED: Closing("unauthenticated", "no ticket was sent in time", "stop"),
    CloseCode.TICKET_INVALID: Closing("ticket_invalid", "the ticket is unknown, used or too old", "new_ticket"),
    CloseCode.FORBIDDEN: Closing("forbidden", "this caller may not read the stream", "stop"),
    CloseCode.SLOW_CONSUMER: Closing("slow_consumer", "too much was waiting to be read; resume", "resume"),
    CloseCode.REVOKED: Closing("revoked", "the session or token was revoked", "stop"),
    CloseCode.INTERNAL: Closing("internal", "the server failed; resume", "resume"),
}
"""The one table: see ``docs`` of the stream for clients, ``client.py`` for one that obeys it."""
