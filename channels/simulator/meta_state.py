"""What Meta keeps about a connected account beside its conversations: token, subscriptions, standing, strictness.

Events of the provider change it; the Graph API shows it and obeys it. Times are seconds by the world's clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

CallbackLevel = Literal["whatsapp_business_account", "phone_number"]

TOKEN_LIFE = 60 * 86400.0
"""Of an Instagram Login token (facts, 3.1)."""
LINK_SECONDS = 300
"""Life of a WhatsApp media link (facts, 1.3)."""
PAIR_BURST = 45
PAIR_SECONDS = 6.0
"""One WhatsApp message to one person in this time, beyond the burst (facts, 1.5)."""


@dataclass(slots=True, eq=False)
class Token:
    issued_at: float = 0.0
    expires_at: float | None = None
    trouble: int | None = None
    """Subcode of error 190 with which every call is refused: 460 password changed, 458 app removed, …"""
    former: dict[str, float | None] = field(default_factory=dict, repr=False)
    """Refreshed tokens go on working until their own end."""
    scopes: frozenset[str] | None = None
    """``None`` is everything that messaging needs."""

    def expired(self, now: float, token: str) -> bool:
        ends = self.former.get(token, self.expires_at)
        return ends is not None and now >= ends


@dataclass(slots=True, eq=False)
class MetaState:
    token: Token = field(default_factory=Token)
    subscribed_fields: frozenset[str] | None = None
    """Webhook fields of a Page or Instagram account; ``None`` is every one."""
    callbacks: dict[CallbackLevel, str] = field(default_factory=dict)
    """WhatsApp overrides of the app's callback; the most specific wins (facts, 1.1)."""

    quality_rating: str = "GREEN"
    number_status: str = "CONNECTED"
    name_status: str = "APPROVED"
    messaging_limit: str = "TIER_1K"
    throughput: str = "STANDARD"
    review_status: str = "APPROVED"
    block_list: dict[str, None] = field(default_factory=dict)
    """Customers whom a WhatsApp number has blocked, in order."""
    block_limit: int = 64_000

    messaging_access: bool = True
    """Instagram: the owner lets apps read and answer messages."""
    restricted: bool = False
    """The Page or account may not send, for policy."""
    profile_access: bool = True
    """Without it a profile is an empty object (facts, 2.6)."""

    pair_rate: bool = False
    """Refuse what goes too fast to one person."""
    link_seconds: int = LINK_SECONDS
    media_per_second: float | None = None
    media_sent: deque[float] = field(default_factory=deque)
    """When sound and film went out, within the last second."""
    legacy_stickers: bool = False
    """Messenger before 2026-08-30: a sticker comes as an image with ``sticker_id``."""
    string_numbers: bool = False
    """Instagram writes ``timestamp`` and ``num_edit`` as text at times."""


@dataclass(slots=True, eq=False)
class Comment:
    """Under a post of the business: it may be answered once in private, within seven days (facts, 2.3, 3.3)."""

    id: str
    customer_id: str
    text: str
    at: float
    answered: bool = False
