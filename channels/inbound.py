"""What came in: an adapter turns a provider's body into a list of ``Inbound`` items."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from channels.content import Part
from channels.templates import TemplateStatus
from channels.types import Address, Fault, JsonObject, JsonValue, Person

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
    edited_at: datetime | None = None
    """Set where only a later wording is known, because the original never came."""


@dataclass(frozen=True, slots=True)
class MessageEdited:
    account_id: str
    external_id: str
    """Of the original message."""
    peer: Person | None
    parts: tuple[Part, ...]
    occurred_at: datetime
    by_business: bool = False
    author: Person | None = None
    """Who wrote, where it is not the peer (groups)."""


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
    phone: str | None = None
    """The number from now on, E.164 with ``+``, where it is the number that changed."""


@dataclass(frozen=True, slots=True)
class PersonNamed:
    """The provider says what somebody, usually a group, is called, without a message of theirs."""

    account_id: str
    peer: Person
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class TemplateChanged:
    """The provider judged, paused or changed a template. What is ``None`` stays as it was.

    ``account_id`` may name the owner of several accounts (a WABA): it concerns all channels of that owner.
    """

    account_id: str
    name: str
    language: str
    occurred_at: datetime
    external_id: str | None = None
    status: TemplateStatus | None = None
    category: str | None = None
    quality: str | None = None
    reason: str | None = None
    changed: bool = False
    """The definition itself is another one now: fetch it."""


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """The provider says how the account stands: quality, restrictions, reviews, bans, capabilities.

    ``health`` is what it means for sending: ``paused`` nothing goes out, ``degraded`` it goes out with a reason to
    look, ``ok`` a former trouble of this ``aspect`` is over, ``None`` worth knowing only.
    ``account_id`` may name the owner of several accounts, as for templates.
    """

    account_id: str
    aspect: str
    """What it is about, ours and stable: ``quality``, ``restriction``, ``review``, ``name``, ``limit``, ``policy``,
    ``security``."""
    occurred_at: datetime
    health: Literal["ok", "degraded", "paused"] | None = None
    reason: str | None = None
    """One sentence for a person."""
    data: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelNotice:
    """Something about the channel that changes no state of ours: kept, and shown to who looks after channels."""

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
    harmless: bool = False
    """Known to say nothing: no notice of it is kept."""


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
    | PersonNamed
    | TemplateChanged
    | AccountChanged
    | ChannelNotice
    | UnsupportedEvent
)
