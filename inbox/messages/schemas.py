"""How messages look to clients, in answers and in events alike, and what a client sends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from channels.content import ContactCard, Entity, EntityKind, MediaKind
from channels.outbound import (
    Choice,
    ChoiceSection,
    OutboundChoices,
    OutboundContacts,
    OutboundLocation,
    OutboundMedia,
    OutboundPart,
    OutboundText,
)
from channels.wire import SCHEMES
from inbox.templates.schemas import TemplateValuesIn

MessageStatus = Literal[
    "queued", "sending", "uncertain", "sent", "failed", "delivered", "read", "played", "cancelled"
]  # fmt: skip
AuthorKind = Literal["contact", "agent", "bot", "native_app", "system"]
OriginKind = Literal["scheduled", "sequence", "bot", "broadcast", "rule"]

StoredPart = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"type": "string", "examples": ["text", "image", "location", "unsupported"]},
                "media": {
                    "type": ["object", "null"],
                    "description": "Of a part with a file: its `MediaView`. Null where there is no way to it.",
                },
            },
            "description": "A typed part; `type` says which. Show a type you do not know as unsupported.",
            "examples": [{"type": "text", "text": "Hello", "entities": []}],
        }
    ),
]


@dataclass(frozen=True, slots=True)
class AuthorView:
    kind: AuthorKind
    id: UUID | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class OriginView:
    """What had a message sent, where nobody did it by hand: a scheduled message, an enrollment in a sequence, …"""

    kind: OriginKind
    id: UUID


@dataclass(frozen=True, slots=True)
class FaultView:
    """Why a message failed: a stable code and a sentence for a person."""

    code: str
    reason: str
    provider_code: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class ReactionView:
    actor: str
    emoji: str


@dataclass(frozen=True, slots=True)
class MessageView:
    """``number`` places it in its thread. ``status`` is null for what came in.

    ``occurred_at`` is the provider's time, ``created_at`` when we accepted it. ``origin`` is null for what a person or
    a program sent by hand.
    """

    id: UUID
    conversation_id: UUID
    channel_id: UUID
    number: int
    direction: Literal["in", "out"]
    author: AuthorView
    parts: list[StoredPart]
    status: MessageStatus | None
    status_at: datetime | None
    fault: FaultView | None
    reply_to_id: UUID | None
    forwarded: bool
    referral: dict[str, Any] | None
    album: str | None
    reactions: list[ReactionView]
    client_token: str | None
    versions: int
    occurred_at: datetime
    created_at: datetime
    edited_at: datetime | None
    unsent_at: datetime | None
    origin: OriginView | None


@dataclass(frozen=True, slots=True)
class MessageVersion:
    """What a message said until ``replaced_at``. ``version`` 1 is what was said first."""

    version: int
    parts: list[StoredPart]
    replaced_at: datetime


@dataclass(frozen=True, slots=True)
class MessageVersions:
    """Oldest first. The present words stand on the message itself; an unsent message has none."""

    items: list[MessageVersion]


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages of a thread, oldest first, valid at ``position`` of ``epoch``."""

    epoch: UUID
    position: int
    items: list[MessageView]
    earlier: int | None
    """Number to pass as ``before`` for the page before this one; null: this is the beginning of the thread."""


class MessageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    before: int | None = Field(default=None, ge=1, description="Only messages with a lower number.")
    after: int | None = Field(default=None, ge=0, description="Only messages with a higher number.")
    limit: int = Field(default=50, ge=1, le=200)

    @model_validator(mode="after")
    def one_direction(self) -> MessageQuery:
        if self.before is not None and self.after is not None:
            raise ValueError("give either before or after")
        return self


# --- What a client sends ----------------------------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


_ADDRESS: Final = re.compile(rf"(?:{'|'.join(SCHEMES)}):[^\s\x00-\x1f\x7f]+", re.IGNORECASE)


class EntityIn(_Part):
    """A stretch of the text or caption beside it. A ``link`` has a ``url``."""

    kind: EntityKind
    offset: int = Field(ge=0, description="In Unicode code points.")
    length: int = Field(ge=1, description="It ends within the text.")
    url: str | None = Field(
        default=None,
        max_length=2048,
        validate_default=True,
        description=f"With a scheme: one of {', '.join(sorted(SCHEMES))}.",
    )

    @field_validator("url")
    @classmethod
    def opens(cls, url: str | None, given: ValidationInfo) -> str | None:
        """Whoever gets the message taps it: what would run as a script is no link."""
        if url is None:
            if given.data.get("kind") == "link":
                raise ValueError("a link needs its url")
        elif not _ADDRESS.fullmatch(url):
            raise ValueError(f"a url begins with one of {', '.join(sorted(SCHEMES))}, and has no spaces")
        return url

    def entity(self) -> Entity:
        return Entity(self.kind, self.offset, self.length, self.url)


def _within(entities: list[EntityIn], text: str | None) -> list[EntityIn]:
    length = len(text or "")
    if any(entity.offset + entity.length > length for entity in entities):
        raise ValueError(f"an entity ends behind the text, which has {length} code points")
    return entities


class TextIn(_Part):
    type: Literal["text"] = "text"
    text: str = Field(min_length=1, max_length=40_000)
    entities: list[EntityIn] = Field(default_factory=list, max_length=100)
    preview_links: bool = True

    @field_validator("entities")
    @classmethod
    def within(cls, entities: list[EntityIn], given: ValidationInfo) -> list[EntityIn]:
        return _within(entities, given.data["text"]) if "text" in given.data else entities

    def part(self) -> OutboundPart:
        return OutboundText(self.text, tuple(entity.entity() for entity in self.entities), self.preview_links)


class MediaIn(_Part):
    """A file: an uploaded one by ``media_id``, or one that the provider fetches from a public address."""

    type: Literal["media"]
    kind: MediaKind
    url: str | None = Field(default=None, max_length=2048, pattern=r"^https?://[^\s]+$")
    media_id: UUID | None = Field(default=None, description="Of `POST /v1/media`, or of a message you can see.")
    mime_type: str | None = Field(default=None, max_length=127)
    filename: str | None = Field(default=None, max_length=240)
    caption: str | None = Field(default=None, max_length=4096)
    entities: list[EntityIn] = Field(default_factory=list, max_length=100, description="Of the caption.")

    @field_validator("entities")
    @classmethod
    def within(cls, entities: list[EntityIn], given: ValidationInfo) -> list[EntityIn]:
        return _within(entities, given.data["caption"]) if "caption" in given.data else entities

    @model_validator(mode="after")
    def one_source(self) -> MediaIn:
        if (self.url is None) == (self.media_id is None):
            raise ValueError("give either url or media_id")
        return self

    def media(self) -> OutboundMedia:
        return OutboundMedia(
            self.kind,
            url=self.url,
            media_id=None if self.media_id is None else str(self.media_id),
            mime_type=self.mime_type,
            filename=self.filename,
            caption=self.caption,
            entities=tuple(entity.entity() for entity in self.entities),
        )


class AlbumIn(_Part):
    """Files shown as one, where the channel has albums; elsewhere they go one by one, in order."""

    type: Literal["album"]
    items: list[MediaIn] = Field(min_length=1, max_length=30)
    caption: str | None = Field(default=None, max_length=4096)


class LocationIn(_Part):
    type: Literal["location"]
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    name: str | None = Field(default=None, max_length=256)
    address: str | None = Field(default=None, max_length=512)

    def part(self) -> OutboundPart:
        return OutboundLocation(self.latitude, self.longitude, self.name, self.address)


class CardIn(_Part):
    name: str = Field(min_length=1, max_length=256)
    phones: list[str] = Field(default_factory=list, max_length=10)
    emails: list[str] = Field(default_factory=list, max_length=10)
    organisation: str | None = Field(default=None, max_length=256)


class ContactsIn(_Part):
    type: Literal["contacts"]
    cards: list[CardIn] = Field(min_length=1, max_length=10)

    def part(self) -> OutboundPart:
        return OutboundContacts(
            tuple(ContactCard(c.name, tuple(c.phones), tuple(c.emails), c.organisation) for c in self.cards)
        )


class ChoiceIn(_Part):
    title: str = Field(min_length=1, max_length=256)
    payload: str | None = Field(default=None, max_length=1000)
    url: str | None = Field(default=None, max_length=2048)
    description: str | None = Field(default=None, max_length=256)


class SectionIn(_Part):
    title: str | None = Field(default=None, max_length=256)
    choices: list[ChoiceIn] = Field(min_length=1, max_length=50)


class ChoicesIn(_Part):
    type: Literal["choices"]
    style: Literal["buttons", "quick_replies", "list"]
    text: str = Field(min_length=1, max_length=4096)
    sections: list[SectionIn] = Field(min_length=1, max_length=20)
    header: str | None = Field(default=None, max_length=256)
    footer: str | None = Field(default=None, max_length=256)
    label: str | None = Field(default=None, max_length=64)

    def part(self) -> OutboundPart:
        sections = tuple(
            ChoiceSection(tuple(Choice(c.title, c.payload, c.url, c.description) for c in s.choices), s.title)
            for s in self.sections
        )
        return OutboundChoices(self.style, self.text, sections, self.header, self.footer, self.label)


class TemplateIn(TemplateValuesIn):
    """A template, with the values of its gaps; or with ``components`` as the provider wants them."""

    type: Literal["template"]
    name: str = Field(min_length=1, max_length=512)
    language: str = Field(min_length=2, max_length=16)
    components: list[dict[str, Any]] = Field(default_factory=list, max_length=20)

    @model_validator(mode="after")
    def one_way(self) -> TemplateIn:
        if self.components and self.any_given:
            raise ValueError("give either components, or header, body and buttons")
        return self


class ReactionIn(_Part):
    """Put or, with ``emoji: null``, take back our reaction to a message of this thread."""

    type: Literal["reaction"]
    message_id: UUID
    emoji: str | None = Field(max_length=32)


PartIn = Annotated[
    TextIn | MediaIn | AlbumIn | LocationIn | ContactsIn | ChoicesIn | TemplateIn | ReactionIn,
    Field(discriminator="type"),
]


class SendIn(BaseModel):
    """A message to send: parts in order, each of which may become one or more provider messages."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"parts": [{"type": "text", "text": "Hello, how can we help?"}]}]},
    )

    parts: list[PartIn] = Field(min_length=1, max_length=10)
    reply_to_id: UUID | None = Field(default=None, description="A message of this conversation to quote.")
    client_token: str | None = Field(
        default=None, min_length=1, max_length=128, description="Same as the header Idempotency-Key."
    )
    purpose: Literal["reply", "human_agent", "marketing"] = Field(
        default="reply",
        description="`human_agent`: a person answers within 7 days (Messenger, Instagram). "
        "`marketing`: refused where the person has stopped marketing messages.",
    )
    epoch: int | None = Field(default=None, description="Of a bot's lease; a late answer is refused.")
