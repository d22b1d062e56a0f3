"""What a bot has beside its customers and messages: business connections, open button taps, its webhook's health.

Chats differ in more than their members: a group has the bot in it or not, a business account's chat is another chat
than the bot's own with the same person. ``Customer`` and ``Account`` hold one of these each, empty at other providers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

UPDATE_KINDS = (
    "message", "edited_message", "channel_post", "edited_channel_post", "business_connection", "business_message",
    "edited_business_message", "deleted_business_messages", "guest_message", "message_reaction",
    "message_reaction_count", "inline_query", "chosen_inline_result", "callback_query", "shipping_query",
    "pre_checkout_query", "purchased_paid_media", "poll", "poll_answer", "my_chat_member", "chat_member",
    "chat_join_request", "chat_boost", "removed_chat_boost", "managed_bot", "subscription",
    "stopped_message_generation",
)  # fmt: skip
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
DEFAULT_UPDATES = frozenset(UPDATE_KINDS) - NOT_BY_DEFAULT
"""What an empty ``allowed_updates`` means (facts, 4.1)."""

Standing = Literal["member", "administrator", "restricted", "left", "kicked"]
"""Of the bot in a group."""


@dataclass(slots=True, eq=False)
class Connection:
    """A business account that has connected the bot. Its chats are private chats of its owner."""

    id: str
    owner_id: int
    owner_name: str
    made_at: float
    enabled: bool = True
    rights: frozenset[str] = frozenset({"can_reply", "can_read_messages", "can_delete_sent_messages"})
    last_number: int = 100
    """Message ids count over all private chats of the owner."""
    heard_at: dict[str, float] = field(default_factory=dict)
    """Customer id → when they last wrote to the owner: the bot may answer for 24 hours (facts, 4.5)."""
    read: dict[str, int] = field(default_factory=dict)
    """Customer id → up to which message the owner's chat was marked as read."""

    def room(self, customer_id: str) -> str:
        """The chat as a part of message keys: apart from the bot's own chat with the same person."""
        return f"{self.id}:{customer_id}"


@dataclass(slots=True, eq=False)
class BotState:
    max_connections: int = 40
    privacy_mode: bool = False
    """Ordinary group messages stay hidden; off, as for a bot that is an administrator."""
    flood_limits: bool = False
    """Sends above Telegram's rates are refused."""
    sent_at: deque[float] = field(default_factory=deque)
    """Times of the latest sends."""
    connections: dict[str, Connection] = field(default_factory=dict)
    queries: dict[str, float] = field(default_factory=dict)
    """Button taps that wait for their answer → when they were made."""
    last_error: tuple[float, str] | None = None
    gone_since: float | None = None
    """Since when the webhook has answered nothing but 410."""
    poll: int = 0
    """Counts ``getUpdates`` calls: a newer one ends those before it."""


@dataclass(slots=True, eq=False)
class ChatState:
    bio: str | None = None
    photo: str | None = None
    """File id of the profile picture."""
    standing: Standing = "member"
    moved_to: str | None = None
    """Id of the supergroup that this group became."""
    is_forum: bool = False
    sent_at: deque[float] = field(default_factory=deque)
    """Times of the bot's latest sends."""
