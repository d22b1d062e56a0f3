"""Words that everything about channels shares: people, accounts, and why a provider refused.

Everything in the neutral vocabulary (``content``, ``inbound``, ``outbound`` and here) is immutable and free of I/O.
Shapes and traps: channel facts, sections 1-5. Times are aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


JsonObject: TypeAlias = dict[str, JsonValue]


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
    troubles: Literal["billing", "restriction"] | None = None
    """The account itself is in trouble, not only this message: the aspect of the channel's health that says so."""
    ours: bool = False
    """Our own mistake (bad parameter): alert the operator."""
    moved_to: str | None = None
    """The provider names another address to use from now on (Telegram group upgrade)."""


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
