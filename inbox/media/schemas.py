"""How files look to clients. No view shows where the provider keeps a file: such links carry tokens and signatures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from channels.content import MediaKind

MediaState = Literal["pending", "stored", "failed", "expired", "deleted", "not_kept"]


@dataclass(frozen=True, slots=True)
class MediaFault:
    """Why there is no file: a stable code and a sentence for a person. ``retryable``: asking again may help."""

    code: str
    reason: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class MediaView:
    """A file as a part of a message shows it.

    ``stored``: there is a copy, ask ``GET /v1/media/{id}`` for a link. ``pending``: it is being fetched. ``failed``:
    see ``fault``. ``expired``: the time that its channel keeps files is over. ``deleted``: the message was unsent.
    ``not_kept``: the provider forbids a copy. Type, size and dimensions are what the sender claims until it is stored.
    """

    id: UUID
    kind: MediaKind
    state: MediaState
    mime_type: str | None
    size: int | None
    width: int | None
    height: int | None
    duration: float | None
    filename: str | None
    fault: MediaFault | None = None


@dataclass(frozen=True, slots=True)
class MediaOut:
    """``url`` serves the file to whoever has it, without further log-in, until ``url_expires_at``."""

    media: MediaView
    url: str | None
    url_expires_at: datetime | None


class UploadQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: MediaKind | None = Field(default=None, description="Left out: what the content is, else `document`.")
    filename: str | None = Field(default=None, max_length=240, description="Of a raw body.")


class RetentionIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    days: int | None = Field(ge=1, le=36_500, description="Null: for ever.")


@dataclass(frozen=True, slots=True)
class RetentionView:
    """How long a channel keeps files. ``inherited``: the channel says nothing, the installation does."""

    channel_id: UUID
    days: int | None
    inherited: bool
