"""What only Telegram's users can add to an act: the field ``telegram`` of a ``SayWish``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Origin = Literal["user", "hidden_user", "chat", "channel"]
Standing = Literal["member", "administrator", "restricted", "left", "kicked"]
Right = Literal["can_reply", "can_read_messages", "can_delete_sent_messages", "can_delete_all_messages"]


class TelegramDetails(BaseModel):
    model_config = ConfigDict(extra="forbid")

    business: str | None = Field(default=None, min_length=1, max_length=64)
    """Id of a business connection: the act happens in that account's chat with the customer."""
    rights: list[Right] = ["can_reply", "can_read_messages", "can_delete_sent_messages"]
    """Of kind ``connect``."""
    forwarded_from: Origin | None = None
    reply_from: Origin | None = None
    """The reply quotes a message of another chat (``external_reply``)."""
    quote: str | None = None
    """The stretch of the quoted text that was chosen."""
    story: int | None = None
    """Replies to this story of the bot's owner."""
    topic: int | None = None
    """``message_thread_id`` of a forum topic."""
    ephemeral: bool = False
    anonymous: bool = False
    """Of a group's administrator, who writes as the group."""
    offline: bool = False
    spoiler: bool = False
    entities: list[dict[str, JsonValue]] | None = None
    """Of the text or caption. Without them: what a client finds by itself (commands, links, mentions)."""
    sticker: Literal["static", "animated", "video"] = "static"
    live_period: int | None = Field(default=None, ge=60)
    options: list[str] = ["Yes", "No"]
    value: int = Field(default=4, ge=0, le=64)
    """Of a dice, or stars of paid media."""
    custom_emoji: str | None = None
    """A reaction by custom emoji instead."""
    paid_reaction: bool = False
    inline_message_id: str | None = None
    """The tapped message was sent through the bot inline: there is no ``message``."""
    standing: Standing = "member"
    """Of kind ``membership``: what the bot becomes in the group."""
    moved_to: str | None = Field(default=None, pattern=r"^-100\d{1,12}$")
    """Of kind ``migrate``: the id of the supergroup."""
    service: dict[str, JsonValue] | None = None
    """Of kind ``service``: the field and its value, as in ``{"new_chat_title": "Team"}``."""
    update: str | None = None
    """Of kind ``update``: which kind of update."""
