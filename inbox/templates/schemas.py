"""How templates look to clients, in answers and in events alike, and the values that fill their gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from channels.outbound import OutboundLocation, OutboundMedia, TemplateValues
from channels.templates import TemplateStatus
from inbox.kernel.pages import decode_cursor

Value: TypeAlias = Annotated[str, StringConstraints(max_length=2048)]
Values: TypeAlias = Annotated[dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], Value], Field()]


@dataclass(frozen=True, slots=True)
class HeaderView:
    kind: Literal["text", "image", "video", "document", "location"]
    text: str | None


@dataclass(frozen=True, slots=True)
class ButtonView:
    """``variable``: it takes a value, under its place in ``buttons``."""

    kind: Literal["quick_reply", "url", "phone", "copy_code", "flow", "other"]
    title: str
    url: str | None
    phone: str | None
    variable: bool


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A definition as the provider has it. ``owner``: the account it belongs to there; channels may share one.

    ``body_variables`` and ``header_variables`` name the gaps, in order. ``reason``: why it was rejected or paused.
    ``removed_at``: the provider lists it no more.
    """

    id: UUID
    kind: str
    owner: str
    name: str
    language: str
    status: TemplateStatus
    category: str
    quality: str | None
    reason: str | None
    header: HeaderView | None
    body: str
    footer: str | None
    buttons: list[ButtonView]
    header_variables: list[str]
    body_variables: list[str]
    removed_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UsableTemplate:
    """What may be sent outside of the messaging window."""

    id: UUID
    name: str
    language: str
    category: str


@dataclass(frozen=True, slots=True)
class SyncOut:
    """What a sync found. ``superseded``: a later one was stored meanwhile, and this one changed nothing."""

    listed: int
    created: int
    updated: int
    removed: int
    superseded: bool
    synced_at: datetime


@dataclass(frozen=True, slots=True)
class PreviewOut:
    """How the template reads to the customer."""

    header: str | None
    body: str
    footer: str | None
    buttons: list[str]


class TemplateQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: list[TemplateStatus] = Field(default_factory=list, description="Any of these; none given: all.")
    name: str | None = Field(default=None, max_length=512, description="A part of the name.")
    language: str | None = Field(default=None, max_length=16)
    category: str | None = Field(default=None, max_length=64)
    removed: bool = Field(default=False, description="Those that the provider lists no more, instead.")
    after: str | None = Field(default=None, max_length=1000, description="The `next` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)

    def last(self) -> tuple[str, str] | None:
        return None if self.after is None else decode_cursor(self.after, tuple[str, str])


# --- values -----------------------------------------------------------------------------------------------------------


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TemplateFileIn(_Values):
    """The file of a header: an uploaded one by ``media_id``, or one that the provider fetches from its address."""

    kind: Literal["image", "video", "document"]
    url: str | None = Field(default=None, max_length=2048, pattern=r"^https?://[^\s]+$")
    media_id: UUID | None = None
    filename: str | None = Field(default=None, max_length=240)

    @model_validator(mode="after")
    def one_source(self) -> TemplateFileIn:
        if (self.url is None) == (self.media_id is None):
            raise ValueError("give either url or media_id")
        return self

    def media(self) -> OutboundMedia:
        media_id = None if self.media_id is None else str(self.media_id)
        return OutboundMedia(self.kind, url=self.url, media_id=media_id, filename=self.filename)


class TemplatePlaceIn(_Values):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    name: str | None = Field(default=None, max_length=256)
    address: str | None = Field(default=None, max_length=512)


class TemplateHeaderIn(_Values):
    values: Values = Field(default_factory=dict)
    file: TemplateFileIn | None = None
    location: TemplatePlaceIn | None = None


class TemplateValuesIn(_Values):
    """What fills the gaps, by their names; those of positional gaps are "1", "2", …"""

    header: TemplateHeaderIn | None = None
    body: Values | None = Field(default=None, examples=[{"1": "Ada"}])
    buttons: dict[Annotated[int, Field(ge=0, le=20)], Value] | None = Field(
        default=None,
        description="By place of the button, from 0: the rest of a link, a quick reply's payload, a coupon's code.",
    )

    @property
    def any_given(self) -> bool:
        return not (self.header is None and self.body is None and self.buttons is None)

    @property
    def file(self) -> TemplateFileIn | None:
        return None if self.header is None else self.header.file

    def values(self, media: OutboundMedia | None = None) -> TemplateValues:
        """``media``: the file of the header with what is known about it, in place of what was given."""
        header = self.header or TemplateHeaderIn()
        place = header.location
        given: Mapping[int, str] = self.buttons or {}
        return TemplateValues(
            header=dict(header.values),
            header_media=media or (None if header.file is None else header.file.media()),
            header_location=None
            if place is None
            else OutboundLocation(place.latitude, place.longitude, place.name, place.address),
            body=dict(self.body or {}),
            buttons=dict(given),
        )
