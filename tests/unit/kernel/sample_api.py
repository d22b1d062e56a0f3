"""A small API that uses every feature of the router, for its tests: notes with tags, behind a bearer token."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from inbox.kernel.errors import Conflict, NotFound, PreconditionFailed, Unauthenticated
from inbox.kernel.pages import Page, decode_cursor, encode_cursor
from inbox.kernel.web import (
    Answer,
    Header,
    Query,
    Raw,
    RequestBoundary,
    build_routes,
    delete,
    exception_handlers,
    get,
    patch,
    post,
    put,
)

TOKEN = "let-me-in"
FIRST = UUID("0198f3a0-0000-7000-8000-000000000001")
HELLO: dict[str, JsonValue] = {"parts": [{"type": "text", "text": "hello"}]}


@dataclass(frozen=True, slots=True)
class Caller:
    name: str


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Text(BaseModel):
    type: Literal["text"]
    text: str = Field(min_length=1, max_length=100)


class Place(BaseModel):
    type: Literal["place"]
    latitude: float = Field(ge=-90, le=90)


class NoteIn(BaseModel):
    """A note as the caller writes it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [dict(HELLO)]})

    parts: list[Annotated[Text | Place, Field(discriminator="type")]] = Field(min_length=1, max_length=3)
    weight: int = 0
    ratio: float = 0.0
    extra: JsonValue = None


class NoteOut(BaseModel):
    id: UUID
    by: str
    parts: list[Text | Place]
    weight: int
    extra: JsonValue = None
    kind_: str = Field(default="note", alias="kind", serialization_alias="kind")


class NoteChange(BaseModel):
    weight: int | None = None


class NoteQuery(BaseModel):
    """What to list."""

    limit: int = Field(default=20, ge=1, le=100, description="How many.")
    after: str | None = None
    colour: list[Colour] = Field(default_factory=list)
    urgent: bool | None = None
    least: float | None = None
    from_: str | None = Field(default=None, alias="from")


class Snapshot(Page[NoteOut]):
    epoch: str
    position: int


class NoteSaved(BaseModel):
    """An event that no operation answers with."""

    note: NoteOut


class NoteLocked(Conflict):
    code, title = "note_locked", "The note is locked"


class NoteStale(Conflict):
    code, title = "note_stale", "The note has moved on"


class NoteRoutes:
    """Notes of the workspace."""

    def __init__(self) -> None:
        self.notes: dict[UUID, NoteOut] = {}
        self.calls = 0

    @get("/v1/notes")
    async def list(self, caller: Caller, query: Annotated[NoteQuery, Query()]) -> Page[NoteOut]:
        """List notes. Oldest first."""
        after = str(decode_cursor(query.after, tuple[UUID])[0]) if query.after else ""
        found = [note for key, note in sorted(self.notes.items()) if str(key) > after]
        page = found[: query.limit]
        return Page(items=page, next=encode_cursor(page[-1].id) if len(found) > query.limit else None)

    @post("/v1/notes", status=201, also={200: "It was there already."}, headers={"Location": "Where the note is."})
    async def create(
        self,
        caller: Caller,
        body: NoteIn,
        idempotency_key: Annotated[str | None, Header(max_length=20, description="Makes a retry safe.")] = None,
    ) -> Answer[NoteOut]:
        """Write a note.

        Sent again with the same key, it answers what is there.
        """
        self.calls += 1
        key = uuid5(FIRST, idempotency_key or str(len(self.notes)))
        status = 200 if key in self.notes else 201
        note = NoteOut(id=key, by=caller.name, parts=body.parts, weight=body.weight, extra=body.extra)
        note = self.notes.setdefault(key, note)
        return Answer(note, status, {"Location": f"/v1/notes/{key}"})

    @get("/v1/notes/newest", errors=(NotFound,))
    async def newest(self, caller: Caller) -> NoteOut:
        """Read the newest note."""
        if not self.notes:
            raise NotFound("there are no notes")
        return list(self.notes.values())[-1]

    @get("/v1/notes/{note_id}", errors=(NotFound,))
    async def read(self, caller: Caller, note_id: UUID) -> NoteOut:
        """Read one note."""
        return self._get(note_id)

    @patch("/v1/notes/{note_id}", errors=(NotFound, NoteLocked, NoteStale, PreconditionFailed))
    async def change(
        self, caller: Caller, note_id: UUID, body: NoteChange | None = None, if_match: Annotated[str, Header()] = "*"
    ) -> NoteOut:
        """Change a note."""
        note = self._get(note_id)
        if if_match != "*":
            raise PreconditionFailed
        weight = note.weight if body is None or body.weight is None else body.weight
        self.notes[note_id] = note.model_copy(update={"weight": weight})
        return self.notes[note_id]

    @delete("/v1/notes/{note_id}", errors=(NotFound,))
    async def remove(self, caller: Caller, note_id: UUID) -> None:
        """Remove a note."""
        del self.notes[self._get(note_id).id]

    @put("/v1/notes/{note_id}/labels/{name}/{number}", errors=(NotFound,))
    async def label(
        self,
        caller: Caller,
        note_id: UUID,
        name: Colour,
        number: int,
        body: Sequence[str],
        x_reason: Annotated[int, Header()],
    ) -> Sequence[str]:
        """Label a note."""
        self._get(note_id)
        return [name, str(number), *body, str(x_reason)]

    @get("/v1/snapshot")
    async def snapshot(self, caller: Caller) -> Raw[Snapshot]:
        """Everything, already encoded."""
        page = Snapshot(items=[*self.notes.values()], epoch="e1", position=len(self.notes))
        return Raw(page.model_dump_json(by_alias=True).encode())

    def _get(self, note_id: UUID) -> NoteOut:
        if note_id not in self.notes:
            raise NotFound("no such note")
        return self.notes[note_id]


class OpenRoutes:
    """What needs no caller."""

    @get("/healthz", tag="health")
    async def health(self) -> dict[str, str]:
        """Say that this process answers."""
        return {"status": "ok"}

    @get("/v1/words/{word}", produces="text/plain")
    async def word(self, word: str, request: Request) -> PlainTextResponse:
        """Answer a word as text."""
        return PlainTextResponse(word)

    @get("/v1/maybe", also={304: "The caller has it."}, headers={"ETag": "Names this state."})
    async def maybe(self, if_none_match: Annotated[str | None, Header()] = None) -> Answer[dict[str, int] | None]:
        """Answer 304 when the caller has it."""
        if if_none_match == '"1"':
            return Answer(None, 304, {"ETag": '"1"'})
        return Answer({"one": 1}, headers={"ETag": '"1"'})


class SmallRoutes:
    @post("/v1/small", limit=64)
    async def small(self, body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Answer what was sent, when it is small."""
        return body


class BrokenRoutes:
    @get("/broken")
    async def broken(self) -> None:
        raise RuntimeError("the secret is hunter2")


async def authenticate(request: Request) -> Caller:
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        raise Unauthenticated
    return Caller("ada")


async def refuse_socket(socket: WebSocket) -> None:
    raise Unauthenticated("a ticket is needed")


def make_app(*groups: object) -> Starlette:
    return Starlette(
        routes=[*build_routes(groups, inject={Caller: authenticate}), WebSocketRoute("/socket", refuse_socket)],
        middleware=[Middleware(RequestBoundary)],
        exception_handlers=exception_handlers,
    )
