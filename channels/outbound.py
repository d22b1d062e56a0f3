"""What shall go out: neutral parts, and the ``Piece``s an adapter plans from them, one per provider message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from channels.content import ContactCard, Entity, MediaKind
from channels.types import Address, JsonObject


@dataclass(frozen=True, slots=True)
class OutboundText:
    text: str
    entities: tuple[Entity, ...] = ()
    preview_links: bool = True
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class OutboundMedia:
    """A file by public ``url``, or by ``media_id`` of our own store (then the adapter uploads it)."""

    kind: MediaKind
    url: str | None = None
    media_id: str | None = None
    mime_type: str | None = None
    size: int | None = None
    filename: str | None = None
    caption: str | None = None
    entities: tuple[Entity, ...] = ()
    """Of the caption."""
    width: int | None = None
    height: int | None = None
    """Pixels, where our own file tells."""
    type: Literal["media"] = "media"

    @property
    def stored(self) -> tuple[str, ...]:
        """Our own file, as ``Piece.media_ids`` wants it."""
        return () if self.media_id is None else (self.media_id,)


@dataclass(frozen=True, slots=True)
class OutboundAlbum:
    """Files shown as one. Where a channel has no albums (``capabilities.album`` 1) they go one by one, in order."""

    items: tuple[OutboundMedia, ...]
    caption: str | None = None
    type: Literal["album"] = "album"


@dataclass(frozen=True, slots=True)
class OutboundLocation:
    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None
    type: Literal["location"] = "location"


@dataclass(frozen=True, slots=True)
class OutboundContacts:
    cards: tuple[ContactCard, ...]
    type: Literal["contacts"] = "contacts"


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to tap. ``payload`` comes back in a ``ChoicePart``; ``url`` makes it a link instead."""

    title: str
    payload: str | None = None
    url: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ChoiceSection:
    choices: tuple[Choice, ...]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class OutboundChoices:
    """Text with choices: ``buttons`` below the message, ``quick_replies`` above the keyboard, or a ``list``."""

    style: Literal["buttons", "quick_replies", "list"]
    text: str
    sections: tuple[ChoiceSection, ...]
    header: str | None = None
    footer: str | None = None
    label: str | None = None
    """The button that opens a list."""
    type: Literal["choices"] = "choices"


@dataclass(frozen=True, slots=True)
class TemplateValues:
    """What fills the gaps of a template. Positional gaps are called ``"1"``, ``"2"``, …"""

    header: Mapping[str, str] = field(default_factory=dict)
    header_media: OutboundMedia | None = None
    header_location: OutboundLocation | None = None
    body: Mapping[str, str] = field(default_factory=dict)
    buttons: Mapping[int, str] = field(default_factory=dict)
    """By place of the button, from 0: the rest of a link, the payload of a quick reply, the code of a coupon."""


@dataclass(frozen=True, slots=True)
class OutboundTemplate:
    """A template approved by the provider, with its components as the provider wants them.

    Who sends names values; ``channels.abilities.HasTemplates.fill`` makes the components from them and the definition.
    ``media`` are our stored files that the components refer to, uploaded before the send.
    """

    name: str
    language: str
    components: tuple[JsonObject, ...] = ()
    media: tuple[OutboundMedia, ...] = ()
    text: str | None = None
    """How it reads to the customer, filled in."""
    type: Literal["template"] = "template"


@dataclass(frozen=True, slots=True)
class OutboundReaction:
    """A reaction to ``target`` (external id); ``emoji`` None takes it back."""

    target: str
    emoji: str | None
    type: Literal["reaction"] = "reaction"


OutboundPart: TypeAlias = (
    OutboundText
    | OutboundMedia
    | OutboundAlbum
    | OutboundLocation
    | OutboundContacts
    | OutboundChoices
    | OutboundTemplate
    | OutboundReaction
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One provider message, ready but for recipient, quote and correlation. ``payload`` is the adapter's own JSON.

    It is stored between planning and sending, so an adapter must stay able to send the payloads of its former versions.
    """

    payload: JsonObject
    text: str | None = None
    """The words of this piece: an echo without correlation is recognised by them (Instagram)."""
    media_ids: tuple[str, ...] = ()
    """Our stored files that have to be uploaded with it, in the order in which the payload wants them."""
    lane: Literal["message", "media"] = "message"
    """Which of the channel's rates it counts against."""
    patience: float | None = None
    """Seconds that the provider may take over it by its own account, where it first fetches a file by a link."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One send: the piece, to whom, quoting what, and the value the provider shall give back."""

    piece: Piece
    recipient: tuple[Address, ...]
    correlation: str
    """At most 64 ASCII characters; unique per delivery."""
    reply_to: str | None = None
    purpose: Literal["reply", "human_agent", "template", "bulk"] = "reply"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message. ``external_ids`` has one id, or several for an album; empty where none is told."""

    external_ids: tuple[str, ...]
    addresses: tuple[Address, ...] = ()
    """Addresses of the recipient that the answer revealed (WhatsApp ``wa_id``, ``user_id``)."""
    note: str | None = None
    """For example ``held_for_quality_assessment``, or that an error code means success."""
