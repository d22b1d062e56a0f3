"""What a message is made of, in either direction.

Text offsets count Unicode code points (Python's ``len``), whatever the provider counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from channels.types import Address, JsonObject

EntityKind = Literal[
    "bold", "italic", "underline", "strikethrough", "spoiler", "code", "pre", "quote", "link", "mention", "hashtag",
    "command", "email", "phone", "custom_emoji", "other",
]  # fmt: skip


MediaKind = Literal["image", "video", "audio", "voice", "document", "sticker", "animation", "video_note"]


ChoiceKind = Literal["button", "list", "quick_reply", "postback", "callback", "flow"]


@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch of text with a meaning. ``offset`` and ``length`` in code points; ``url`` for links."""

    kind: EntityKind
    offset: int
    length: int
    url: str | None = None


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str
    entities: tuple[Entity, ...] = ()
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class MediaRef:
    """Where the provider keeps a file. Exactly one of ``id`` (fetched through the API) and ``url`` is the way to it.

    ``storable`` is false where the provider forbids keeping a copy (Instagram story mentions, section 3.2).
    """

    id: str | None = None
    url: str | None = field(default=None, repr=False)
    mime_type: str | None = None
    size: int | None = None
    """Bytes, as the provider claims."""
    sha256: str | None = None
    """Lower-case hex."""
    filename: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    """Seconds."""
    storable: bool = True


@dataclass(frozen=True, slots=True)
class MediaPart:
    type: MediaKind
    media: MediaRef | None
    """``None`` where the provider sends no way to the file at all (view-once, content that could not be fetched)."""
    caption: str | None = None
    entities: tuple[Entity, ...] = ()
    emoji: str | None = None
    """The emoji of a sticker."""


@dataclass(frozen=True, slots=True)
class LocationPart:
    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None
    url: str | None = None
    live_seconds: int | None = None
    type: Literal["location"] = "location"


@dataclass(frozen=True, slots=True)
class ContactCard:
    name: str | None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    organisation: str | None = None
    vcard: str | None = None
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactsPart:
    cards: tuple[ContactCard, ...]
    type: Literal["contacts"] = "contacts"


@dataclass(frozen=True, slots=True)
class ChoicePart:
    """The person tapped something that was offered: a button, a list row, a quick reply, a menu entry, a flow."""

    kind: ChoiceKind
    payload: str | None
    title: str | None = None
    description: str | None = None
    data: JsonObject | None = None
    """The answer of a flow, parsed."""
    acknowledge: str | None = None
    """Token with which the adapter tells the provider that the tap was seen (Telegram callback query id)."""
    type: Literal["choice"] = "choice"


@dataclass(frozen=True, slots=True)
class OrderItem:
    product_id: str
    quantity: float
    price: float | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class OrderPart:
    items: tuple[OrderItem, ...]
    catalog_id: str | None = None
    text: str | None = None
    type: Literal["order"] = "order"


@dataclass(frozen=True, slots=True)
class StoryPart:
    """A reply to, or a mention in, a story. The media must not be stored; the link dies after 24 h."""

    kind: Literal["reply", "mention"]
    url: str | None = None
    id: str | None = None
    type: Literal["story"] = "story"


@dataclass(frozen=True, slots=True)
class SharePart:
    """A shared post, reel, product, template or link."""

    kind: str
    url: str | None = None
    title: str | None = None
    id: str | None = None
    type: Literal["share"] = "share"


@dataclass(frozen=True, slots=True)
class SystemPart:
    """A notice of the provider inside the thread: number changed, member joined, poll, invoice, …"""

    kind: str
    text: str | None = None
    data: JsonObject | None = None
    type: Literal["system"] = "system"


@dataclass(frozen=True, slots=True)
class UnsupportedPart:
    """Content nobody taught us yet: kept as it came and shown as ``unsupported``, never dropped."""

    what: str
    """The provider's own name for it, for example ``poll`` or ``view_once``."""
    reason: str | None = None
    data: JsonObject | None = None
    type: Literal["unsupported"] = "unsupported"


Part: TypeAlias = (
    TextPart
    | MediaPart
    | LocationPart
    | ContactsPart
    | ChoicePart
    | OrderPart
    | StoryPart
    | SharePart
    | SystemPart
    | UnsupportedPart
)
