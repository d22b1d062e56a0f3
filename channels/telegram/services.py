"""Service messages: what Telegram itself says inside a thread. Their whole content is kept as data."""

from __future__ import annotations

from typing import Final

from channels.content import SystemPart
from channels.telegram.people import display_name
from channels.types import JsonObject, JsonValue
from channels.wire import LONG, as_object, as_text, kept_object, objects

SERVICES: Final = frozenset(
    {
        "new_chat_members", "left_chat_member", "chat_owner_left", "chat_owner_changed", "new_chat_title",
        "new_chat_photo", "delete_chat_photo", "group_chat_created", "supergroup_chat_created",
        "channel_chat_created", "message_auto_delete_timer_changed", "pinned_message", "refunded_payment",
        "users_shared", "chat_shared", "user_shared", "gift", "unique_gift", "gift_upgrade_sent", "connected_website",
        "write_access_allowed", "passport_data", "proximity_alert_triggered", "boost_added", "chat_background_set",
        "checklist_tasks_done", "checklist_tasks_added", "direct_message_price_changed", "forum_topic_created",
        "forum_topic_edited", "forum_topic_closed", "forum_topic_reopened", "general_forum_topic_hidden",
        "general_forum_topic_unhidden", "giveaway_created", "giveaway", "giveaway_winners", "giveaway_completed",
        "managed_bot_created", "paid_message_price_changed", "poll_option_added", "poll_option_deleted",
        "suggested_post_approved", "suggested_post_approval_failed", "suggested_post_declined", "suggested_post_paid",
        "suggested_post_refunded", "video_chat_scheduled", "video_chat_started", "video_chat_ended",
        "video_chat_participants_invited", "community_chat_added", "community_chat_removed", "community_chat_joined",
    }
)  # fmt: skip

ENVELOPE: Final = frozenset(
    {
        "message_id", "date", "chat", "from", "message_thread_id", "direct_messages_topic", "sender_chat",
        "sender_boost_count", "sender_business_bot", "sender_tag", "guest_query_id", "business_connection_id",
        "forward_origin", "is_topic_message", "is_automatic_forward", "reply_to_message", "external_reply", "quote",
        "reply_to_story", "reply_to_checklist_task_id", "reply_to_poll_option_id", "via_bot", "guest_bot_caller_user",
        "guest_bot_caller_chat", "edit_date", "has_protected_content", "is_from_offline", "is_paid_post",
        "media_group_id", "author_signature", "paid_star_count", "text", "entities", "link_preview_options",
        "suggested_post_info", "effect_id", "caption", "caption_entities", "show_caption_above_media",
        "has_media_spoiler", "migrate_to_chat_id", "migrate_from_chat_id", "reply_markup", "receiver_user",
        "ephemeral_message_id", "forward_date", "forward_from", "forward_from_chat", "forward_from_message_id",
        "forward_sender_name", "forward_signature",
    }
)  # fmt: skip
"""Fields around the content. A field that is in none of the tables is content nobody taught us."""


def read_service(key: str, value: JsonValue) -> SystemPart:
    return SystemPart(
        key, _summary(key, value), kept_object({"value": value} if not isinstance(value, dict) else value)
    )


def _summary(key: str, value: JsonValue) -> str | None:
    if key == "new_chat_members":
        names = [name for user in objects(value) if (name := display_name(user))]
        return ", ".join(names)[:LONG] or None
    if key == "left_chat_member":
        return display_name(as_object(value))
    if isinstance(value, str):
        return as_text(value, LONG)
    source: JsonObject = as_object(value)
    for name in ("text", "caption", "name", "title"):
        words = as_text(source.get(name), LONG)
        if words:
            return words
    return None
