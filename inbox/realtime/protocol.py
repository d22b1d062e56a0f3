"""What travels on the stream, without any I/O: frames to the client, messages from it, and whether it may resume.

``position`` orders events; ``previous`` says that nothing this reader may see lies between the two. So a client at
cursor *c* that gets an event drops it when ``position <= c``, has lost something when ``previous > c``, and otherwise
moves to ``position``. Heartbeats move the cursor as well.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self, TypeAlias
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from inbox.kernel.errors import InboxError
from inbox.kernel.eventlog import LogState, StoredEvent

VERSION: Final = 1
MOST_BEHIND: Final = 50_000
"""Events that are replayed to one client; further behind, a snapshot is cheaper for everybody."""

JsonObject: TypeAlias = dict[str, object]
_TEXT_AND_FINAL: Final = 0x81


def text_frame(payload: bytes) -> bytes:
    """One unmasked, uncompressed, final text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT_AND_FINAL, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", _TEXT_AND_FINAL, 126, size) + payload
    return struct.pack("!BBQ", _TEXT_AND_FINAL, 127, size) + payload


def payloads_of(frames: bytes) -> list[bytes]:
    """The payloads of frames made by ``text_frame``, for servers that frame by themselves."""
    payloads: list[bytes] = []
    at = 0
    while at < len(frames):
        size = frames[at + 1]
        at += 2
        if size == 126:
            (size,) = struct.unpack_from("!H", frames, at)
            at += 2
        elif size == 127:
            (size,) = struct.unpack_from("!Q", frames, at)
            at += 8
        payloads.append(frames[at : at + size])
        at += size
    return payloads


class EncodedEvent:
    """An event serialised and framed once. ``frame`` suits every reader that was sent the position before it."""

    __slots__ = ("_memo", "_rest", "audience", "conversation_id", "frame", "holder_id", "kind", "position")

    def __init__(self, event: StoredEvent) -> None:
        self.position = event.position
        self.kind = event.kind
        self.conversation_id = event.conversation_id
        self.audience = event.audience
        self.holder_id = event.holder_id
        self._rest = b',"kind":%b,"at":%b,"conversation_id":%b,"data":%b}' % (
            orjson.dumps(event.kind),
            orjson.dumps(event.created_at, option=orjson.OPT_UTC_Z),  # as text, too, what REST answers
            b'"%b"' % str(event.conversation_id).encode() if event.conversation_id else b"null",
            event.payload.encode(),
        )
        self.frame = text_frame(self.document(event.position - 1))
        self._memo = (event.position - 1, self.frame)

    def document(self, previous: int) -> bytes:
        return b'{"type":"event","position":%d,"previous":%d%b' % (self.position, previous, self._rest)

    def frame_after(self, previous: int) -> bytes:
        """The frame for readers whose last position is ``previous``; those of one role mostly share it."""
        if self._memo[0] != previous:
            self._memo = (previous, text_frame(self.document(previous)))
        return self._memo[1]

    @property
    def size(self) -> int:
        """Bytes that it holds in memory, about."""
        return len(self.frame) + len(self._rest)


# --- frames to the client ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame: who the server takes the client for, and where the log stands."""

    session: UUID
    agent_id: UUID
    epoch: UUID
    position: int
    heartbeat_seconds: float
    protocol: int = VERSION
    type: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True)
class Resumed:
    """Accepted: what follows ``after`` comes next; the first heartbeat tells that the reader is live."""

    epoch: UUID
    after: int
    head: int
    type: Literal["resumed"] = "resumed"


@dataclass(frozen=True, slots=True)
class Filtered:
    """Events after ``position`` follow the new filter."""

    position: int
    type: Literal["filtered"] = "filtered"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Everything up to ``position`` that this reader may see was sent before this frame."""

    position: int
    type: Literal["heartbeat"] = "heartbeat"


ResetReason = Literal["unknown_epoch", "future", "beyond_retention", "too_far_behind", "log_rebuilt"]


@dataclass(frozen=True, slots=True)
class Reset:
    """The cursor is of no use: fetch a snapshot, then resume from its position."""

    epoch: UUID
    position: int
    reason: ResetReason
    type: Literal["reset"] = "reset"


@dataclass(frozen=True, slots=True)
class TypingNotice:
    agent_id: UUID
    conversation_id: UUID
    on: bool
    kind: Literal["typing"] = "typing"
    type: Literal["ephemeral"] = "ephemeral"


@dataclass(frozen=True, slots=True)
class Present:
    """One agent, and all that they look at, on whatever number of screens."""

    agent_id: UUID
    online: bool
    viewing: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class PresenceNotice:
    """Agents whose state changed; ``full``: all who are online, so that everybody else is not."""

    agents: Sequence[Present]
    full: bool
    kind: Literal["presence"] = "presence"
    type: Literal["ephemeral"] = "ephemeral"


@dataclass(frozen=True, slots=True)
class Pong:
    id: str | None
    type: Literal["pong"] = "pong"


Ephemeral: TypeAlias = TypingNotice | PresenceNotice
ServerFrame: TypeAlias = Hello | Resumed | Filtered | Heartbeat | Reset | Ephemeral | Pong


def encode(frame: ServerFrame) -> bytes:
    """The JSON document. ``type`` is a member like the others."""
    return orjson.dumps(frame, default=_plain)


def framed(frame: ServerFrame) -> bytes:
    return text_frame(encode(frame))


def _plain(value: object) -> object:
    """For orjson, which knows ``UUID`` but not the subclass that asyncpg answers with."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, frozenset | set):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place on the stream")


def answer(command_id: str, result: Mapping[str, object]) -> bytes:
    return text_frame(orjson.dumps({"type": "answer", "id": command_id, "result": result}, default=_plain))


def refusal(command_id: str, error: InboxError) -> bytes:
    """The answer to a refused command: the problem document that REST would have sent."""
    return text_frame(orjson.dumps({"type": "answer", "id": command_id, "error": error.problem()}, default=str))


# --- messages from the client -----------------------------------------------------------------------------------------

Identifier = Annotated[str, Field(min_length=1, max_length=100)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Filter(_Message):
    """What a reader wants of what it may see; None is everything. Narrower than everything costs the server more."""

    kinds: frozenset[Annotated[str, Field(min_length=1, max_length=100)]] | None = Field(default=None, max_length=200)
    conversation_ids: frozenset[UUID] | None = Field(default=None, max_length=1000)


class TicketMessage(_Message):
    type: Literal["ticket"]
    ticket: str = Field(min_length=1, max_length=500)


class Resume(_Message):
    """Without a cursor: from now on."""

    type: Literal["resume"] = "resume"
    epoch: UUID | None = None
    after: int | None = Field(default=None, ge=0, le=2**63 - 1)
    filter: Filter | None = None

    @model_validator(mode="after")
    def _cursor_is_whole(self) -> Self:
        if (self.epoch is None) != (self.after is None):
            raise ValueError("a cursor is an epoch and a position")
        return self


class ChangeFilter(_Message):
    type: Literal["filter"]
    filter: Filter | None = None


class Typing(_Message):
    type: Literal["typing"]
    conversation_id: UUID
    on: bool = True


class Viewing(_Message):
    """None: nothing any more."""

    type: Literal["viewing"]
    conversation_id: UUID | None = None


class Ping(_Message):
    type: Literal["ping"]
    id: Identifier | None = None


class Command(_Message):
    """A call of one of the injected handlers, answered under the same ``id``."""

    type: Identifier
    id: Identifier
    args: JsonObject = Field(default_factory=dict)


ClientMessage: TypeAlias = TicketMessage | Resume | ChangeFilter | Typing | Viewing | Ping | Command

_OWN: Final[dict[str, TypeAdapter[ClientMessage]]] = {
    "ticket": TypeAdapter(TicketMessage),
    "resume": TypeAdapter(Resume),
    "filter": TypeAdapter(ChangeFilter),
    "typing": TypeAdapter(Typing),
    "viewing": TypeAdapter(Viewing),
    "ping": TypeAdapter(Ping),
}
_COMMAND: Final = TypeAdapter(Command)


class BadFrame(ValueError):
    """The client does not speak this protocol: its socket is closed with ``CloseCode.BAD_FRAME``."""


class UnknownCommand(InboxError):
    status, code, title = 404, "unknown_command", "There is no such command"


def decode(text: str | bytes) -> ClientMessage:
    """Raises ``BadFrame``. Any other type with an id is a command, known or not: it can be answered."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFrame("not JSON") from None
    if not isinstance(document, dict):
        raise BadFrame("not a JSON object")
    kind = document.get("type")
    if not isinstance(kind, str):
        raise BadFrame("no type")
    try:
        return _OWN.get(kind, _COMMAND).validate_python(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False, include_input=False)[0]["loc"])
        raise BadFrame(f"{kind[:40]}: {where or 'message'} is not valid") from None


# --- may it resume? ---------------------------------------------------------------------------------------------------


def start_of(epoch: UUID | None, after: int | None, log: LogState, *, most_behind: int = MOST_BEHIND) -> int | Reset:
    """The position to go on after, or why that cannot be. ``log`` must be no older than the client's cursor."""
    if epoch is None or after is None:
        return log.head
    reason = _unusable(epoch, after, log, most_behind)
    return after if reason is None else Reset(log.epoch, log.head, reason)


def _unusable(epoch: UUID, after: int, log: LogState, most_behind: int) -> ResetReason | None:
    if epoch != log.epoch:
        return "unknown_epoch"
    if after > log.head:
        return "future"
    if after < log.floor:
        return "beyond_retention"
    if log.head - after > most_behind:
        return "too_far_behind"
    return None
