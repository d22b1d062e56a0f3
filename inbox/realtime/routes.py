"""The stream's addresses: a WebSocket, and for clients without one a long poll and server-sent events.

All three read through the same cursor, the same ``View`` and the same pages; only the wrapping differs.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Final, Literal, TypeAlias
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import Scope

from inbox.agents.principal import Principal
from inbox.kernel.errors import BadRequest, Invalid, Unavailable
from inbox.kernel.payload import faults_of
from inbox.kernel.web import Query, Raw, get
from inbox.realtime.dialogue import CommandHandler, Dialogue, RedeemTicket
from inbox.realtime.hub import Hub, StillValid
from inbox.realtime.protocol import Filter, Heartbeat, encode
from inbox.realtime.reader import Reader, ResetRequired
from inbox.realtime.session import View

LONGEST_WAIT: Final = 30.0
SOCKET_PATH: Final = "/v1/stream"
EVENTS_PATH: Final = "/v1/events"
EVENT_STREAM: Final = "text/event-stream"
SSE_EVENTS: Final = 200
_EVENT_ID: Final = re.compile(r"([0-9a-fA-F-]{36}):(\d{1,18})\Z")

Authenticate: TypeAlias = Callable[[Request], Awaitable[Principal]]


class EventsQuery(BaseModel):
    """A cursor; without one reading begins now. ``wait`` is in seconds."""

    model_config = ConfigDict(extra="forbid")

    epoch: UUID | None = None
    after: int | None = Field(default=None, ge=0, le=2**63 - 1)
    wait: float = Field(default=0, ge=0, le=LONGEST_WAIT)
    limit: int = Field(default=200, ge=1, le=500)
    kind: list[str] | None = Field(default=None, max_length=200)
    conversation_id: list[UUID] | None = Field(default=None, max_length=1000)

    def view(self, principal: Principal) -> View:
        kinds = frozenset(self.kind) if self.kind is not None else None
        conversation_ids = frozenset(self.conversation_id) if self.conversation_id is not None else None
        return View.of(principal, Filter(kinds=kinds, conversation_ids=conversation_ids))


class StreamEvent(BaseModel):
    """One event, as on the socket. Nothing the caller may see lies between ``previous`` and ``position``."""

    type: Literal["event"]
    position: int
    previous: int
    kind: str
    at: str
    conversation_id: UUID | None
    data: dict[str, object]


class EventsPage(BaseModel):
    """``position`` is the cursor for the next call; it moves on also when no event was for the caller to see."""

    epoch: UUID
    position: int
    events: list[StreamEvent]


class StreamRoutes:
    """The event log as a stream. The cursor is the client's: it may stop and come back with it at any time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @get(EVENTS_PATH, errors=[BadRequest, ResetRequired])
    async def read_events(self, principal: Principal, query: Annotated[EventsQuery, Query()]) -> Raw[EventsPage]:
        """Read events behind a cursor, waiting for the first one.

        With `Accept: text/event-stream` the same address answers with server-sent events that go on for ever.
        """
        principal.require("stream")
        reader = await Reader.begin(self._hub, principal, query.epoch, query.after, query.view(principal))
        documents = await reader.read(query.limit)
        if not documents and query.wait:
            await reader.wait(query.wait)
            documents = await reader.read(query.limit)
        head = orjson.dumps({"epoch": str(reader.epoch), "position": reader.position})
        return Raw(b'%b,"events":[%b]}' % (head[:-1], b",".join([document for _, document in documents])))


class EventStream:
    """Server-sent events. The id of each is `epoch:position`, so a browser resumes with `Last-Event-ID` by itself."""

    def __init__(self, hub: Hub, authenticate: Authenticate, still_valid: StillValid, *, heartbeat: float) -> None:
        self._hub = hub
        self._authenticate = authenticate
        self._still_valid = still_valid
        self._heartbeat = heartbeat

    async def answer(self, request: Request) -> StreamingResponse:
        principal = await self._authenticate(request)
        principal.require("stream")
        query = _events_query(request)
        epoch, after = _last_event_id(request) or (query.epoch, query.after)
        reader = await Reader.begin(self._hub, principal, epoch, after, query.view(principal))
        return StreamingResponse(
            self._events(reader, principal),
            media_type=EVENT_STREAM,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _events(self, reader: Reader, principal: Principal) -> AsyncIterator[bytes]:
        yield b": one id per event\n\n"
        try:
            while not self._hub.stopping:
                documents = await reader.read(SSE_EVENTS)
                if documents:
                    yield b"".join([_sse(reader.epoch, position, document) for position, document in documents])
                    continue
                yield _sse(reader.epoch, reader.position, encode(Heartbeat(reader.position)))
                await reader.wait(self._heartbeat)
                if not await self._still_valid(principal):
                    return
        except ResetRequired as error:
            yield _sse(None, 0, encode(error.reset))
        except Unavailable:
            return  # the client comes back with its last id


class _AcceptRoute(Route):
    """Matches only requests for one media type, so that the ordinary operation of the same path gets the rest."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.FULL:
            return Match.NONE, {}
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
        return (match, child) if EVENT_STREAM.encode() in accepted else (Match.NONE, {})


def stream_routes(
    hub: Hub,
    *,
    redeem_ticket: RedeemTicket,
    authenticate: Authenticate,
    still_valid: StillValid,
    commands: Mapping[str, CommandHandler],
    heartbeat: float = 15.0,
) -> list[BaseRoute]:
    """What the typed router cannot describe. List them before its routes: one path is shared, by media type."""
    dialogue = Dialogue(hub, redeem_ticket, commands)
    events = EventStream(hub, authenticate, still_valid, heartbeat=heartbeat)
    return [
        WebSocketRoute(SOCKET_PATH, dialogue.serve),
        _AcceptRoute(EVENTS_PATH, events.answer, methods=["GET"]),
    ]


def _events_query(request: Request) -> EventsQuery:
    """The query of the long poll; ``wait`` and ``limit`` mean nothing here. Raises ``Invalid``."""
    lists = {name: request.query_params.getlist(name) for name in ("kind", "conversation_id")}
    sent: dict[str, object] = {**request.query_params, **{name: values for name, values in lists.items() if values}}
    try:
        return EventsQuery.model_validate(sent)
    except ValidationError as error:
        raise Invalid(faults_of(error, "/query", sent)) from None


def _last_event_id(request: Request) -> tuple[UUID, int] | None:
    given = request.headers.get("last-event-id")
    if not given:
        return None
    if (parts := _EVENT_ID.match(given)) is None:
        raise BadRequest("Last-Event-ID is not one of ours")
    try:
        return UUID(parts[1]), int(parts[2])
    except ValueError:
        raise BadRequest("Last-Event-ID is not one of ours") from None


def _sse(epoch: UUID | None, position: int, document: bytes) -> bytes:
    # JSON holds line breaks only between its tokens, where a space is as good.
    line = document.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"id: %b:%d\ndata: %b\n\n" % (str(epoch).encode(), position, line) if epoch else b"data: %b\n\n" % line
