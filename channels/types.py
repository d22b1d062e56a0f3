"""The neutral vocabulary between adapters and the product: what came in, and what shall go out.

Everything here is immutable and free of I/O. An adapter turns a provider's body into a list of ``Inbound`` items and a
neutral ``OutboundContent`` into ``Piece``s, one per provider message. Shapes and traps: channel facts, sections 1-5.

Times are aware UTC datetimes. Text offsets count Unicode code points (Python's ``len``), whatever the provider counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]


# --- People -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Address:
    """One way in which a provider names a person or a group.

    ``kind`` is one of: ``whatsapp_phone`` (E.164 digits without ``+``), ``whatsapp_user`` (BSUID),
    ``whatsapp_username`` (lower case, no ``@``), ``whatsapp_group``, ``messenger_user`` (PSID),
    ``messenger_ref`` (user_ref), ``instagram_user`` (IGSID), ``telegram_user``, ``telegram_chat`` (groups);
    a new adapter brings its own.
    ``scope`` is the provider account within which ``value`` is unique (the Page id of a PSID), or ``""`` where it is
    unique everywhere.
    """

    kind: str
    scope: str
    value: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person (or group) as one webhook describes them. Unknown fields are ``None``: they say nothing, not "empty"."""

    addresses: tuple[Address, ...]
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    language: str | None = None
    phone: str | None = None
    """E.164 with ``+``."""
    avatar_url: str | None = field(default=None, repr=False)
    is_group: bool = False


# --- Parts of a message -----------------------------------------------------------------------------------------------

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


# --- What comes in ----------------------------------------------------------------------------------------------------

DeliveryStatus = Literal["sent", "delivered", "read", "played", "failed"]


@dataclass(frozen=True, slots=True)
class Referral:
    """How the person came: an ad, a short link, a product, a deep-link payload."""

    source: str
    id: str | None = None
    ref: str | None = None
    url: str | None = None
    headline: str | None = None
    body: str | None = None
    data: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Echo:
    """Set on a message that the business itself sent: by us (then ``correlation`` is ours) or in the provider's app."""

    correlation: str | None = None
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class MessageReceived:
    account_id: str
    external_id: str
    """The provider's id, unique within the account. Telegram: ``<chat id>:<message id>``."""
    peer: Person
    """The other side of the conversation: the customer, or the group."""
    parts: tuple[Part, ...]
    occurred_at: datetime
    author: Person | None = None
    """Who wrote, where it is not the peer (groups)."""
    reply_to: str | None = None
    """External id of the quoted message."""
    forwarded: bool = False
    referral: Referral | None = None
    album: str | None = None
    """Messages that share it were sent as one album."""
    echo: Echo | None = None
    standby: bool = False
    """Another app owns the thread: shown, never answered by a bot."""
    opens_window: bool = True
    """Whether it (re)starts the provider's messaging window. Always false for echoes."""


@dataclass(frozen=True, slots=True)
class MessageEdited:
    account_id: str
    external_id: str
    """Of the original message."""
    peer: Person | None
    parts: tuple[Part, ...]
    occurred_at: datetime
    by_business: bool = False


@dataclass(frozen=True, slots=True)
class MessageUnsent:
    account_id: str
    external_id: str
    peer: Person | None
    occurred_at: datetime
    by_business: bool = False


@dataclass(frozen=True, slots=True)
class ReactionChanged:
    account_id: str
    external_id: str
    """Of the message reacted to."""
    peer: Person
    emoji: str | None
    """``None``: the reaction was taken back."""
    occurred_at: datetime
    author: Person | None = None
    by_business: bool = False
    opens_window: bool = False


@dataclass(frozen=True, slots=True)
class StatusReported:
    """A receipt for one message. ``correlation`` is the value we sent along, where the provider gives it back."""

    account_id: str
    external_id: str
    status: DeliveryStatus
    occurred_at: datetime
    fault: Fault | None = None
    correlation: str | None = None
    peer: Person | None = None


@dataclass(frozen=True, slots=True)
class StatusUpTo:
    """A watermark receipt: every message to ``peer`` sent at or before ``watermark`` has (at least) this status."""

    account_id: str
    peer: Person
    status: Literal["delivered", "read"]
    watermark: datetime
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class ReachabilityChanged:
    """The person blocked or unblocked us, stopped or restarted the bot."""

    account_id: str
    peer: Person
    reachable: bool
    reason: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class PreferenceChanged:
    """The person stopped or resumed a category of messages (marketing)."""

    account_id: str
    peer: Person
    category: str
    wanted: bool
    occurred_at: datetime
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """The provider says that two sets of addresses are one person: new number, new id, group upgraded."""

    account_id: str
    old: tuple[Address, ...]
    new: tuple[Address, ...]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelNotice:
    """Something about the channel itself: quality, template status, account review, policy enforcement."""

    account_id: str
    topic: str
    data: JsonObject
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class UnsupportedEvent:
    """An event that is not a message and that nobody taught us yet: kept, visible, harmless."""

    account_id: str | None
    what: str
    data: JsonValue
    occurred_at: datetime | None = None


Inbound: TypeAlias = (
    MessageReceived
    | MessageEdited
    | MessageUnsent
    | ReactionChanged
    | StatusReported
    | StatusUpTo
    | ReachabilityChanged
    | PreferenceChanged
    | IdentityChanged
    | ChannelNotice
    | UnsupportedEvent
)


# --- Facts about failures ---------------------------------------------------------------------------------------------

ContactEnd = Literal["blocked_us", "opted_out", "unreachable"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a provider refused, as facts to switch on (channel facts, error tables). Never carries a secret."""

    code: str
    """Ours, stable: ``window_closed``, ``rate_limited``, ``recipient_unavailable``, ``token_invalid``, …"""
    reason: str
    """One sentence that a person understands."""
    provider_code: str | None = None
    """For example ``131047`` or ``10/2018278`` or ``403``."""
    retryable: bool = False
    retry_after: float | None = None
    """Seconds."""
    pauses: Literal["channel", "recipient"] | None = None
    """The bucket that has to wait for ``retry_after``."""
    ends_contact: ContactEnd | None = None
    closes_window: bool = False
    reauthorise: bool = False
    ours: bool = False
    """Our own mistake (bad parameter): alert the operator."""
    moved_to: str | None = None
    """The provider names another address to use from now on (Telegram group upgrade)."""


# --- What goes out ----------------------------------------------------------------------------------------------------


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
    type: Literal["media"] = "media"


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
class OutboundTemplate:
    """A provider-approved template, with its components as the provider wants them."""

    name: str
    language: str
    components: tuple[JsonObject, ...] = ()
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
    media_id: str | None = None
    """Our stored file that has to be uploaded with it."""
    lane: Literal["message", "media"] = "message"
    """Which of the channel's rates it counts against."""


@dataclass(frozen=True, slots=True)
class Account:
    """A connected account with what its API calls need. ``token`` never appears in a repr.

    ``account_id``: WhatsApp phone number id, Page id, Instagram professional account id, Telegram bot id.
    ``api_base`` replaces the provider's host (simulator), without a trailing slash.
    ``options``: facts of the kind, for example WhatsApp ``waba_id``, Instagram ``stack`` = ``login`` | ``page`` and
    ``page_id``.
    """

    kind: str
    account_id: str
    token: str = field(repr=False)
    api_base: str | None = None
    api_version: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


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
