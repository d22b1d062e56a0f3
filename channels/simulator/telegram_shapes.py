"""People, chats, files and origins as the Bot API writes them (facts, 4.2)."""

from __future__ import annotations

import re

from channels.simulator.telegram_state import Connection
from channels.simulator.telegram_wishes import Origin
from channels.simulator.world import Account, Customer, Media
from channels.types import JsonObject, JsonValue

SMALL = "-small"
"""Behind the id of a picture: its small size."""
_FOUND = re.compile(
    r"(?P<email>[\w.+-]+@[\w-]+\.[\w.]+)|(?P<url>https?://[^\s<>]+|\b(?:www\.)[^\s<>]+)"
    r"|(?P<bot_command>(?<!\S)/[A-Za-z]\w{0,31}(?:@\w+)?)|(?P<mention>(?<!\w)@[A-Za-z]\w{4,31})"
    r"|(?P<hashtag>(?<!\w)#\w+)"
)


def user_object(customer: Customer) -> JsonObject:
    user: JsonObject = {"id": int(customer.id), "is_bot": False, "first_name": customer.first_name}
    if customer.last_name:
        user["last_name"] = customer.last_name
    if customer.username:
        user["username"] = customer.username
    user["language_code"] = customer.language
    return user


def bot_object(account: Account) -> JsonObject:
    return {"id": int(account.account_id), "is_bot": True, "first_name": account.name, "username": account.username}


def owner_object(connection: Connection) -> JsonObject:
    return {"id": connection.owner_id, "is_bot": False, "first_name": connection.owner_name}


def chat_object(room: Customer) -> JsonObject:
    if room.is_group:
        kind = "supergroup" if room.id.startswith("-100") else "group"
        chat: JsonObject = {"id": int(room.id), "type": kind, "title": room.name}
        return {**chat, "is_forum": True} if room.chat.is_forum else chat
    chat = {"id": int(room.id), "type": "private", "first_name": room.first_name}
    if room.last_name:
        chat["last_name"] = room.last_name
    if room.username:
        chat["username"] = room.username
    return chat


def connection_object(connection: Connection) -> JsonObject:
    rights: JsonObject = dict.fromkeys(sorted(connection.rights), True)
    return {
        "id": connection.id,
        "user": owner_object(connection),
        "user_chat_id": connection.owner_id,
        "date": int(connection.made_at),
        "is_enabled": connection.enabled,
        **({"rights": rights} if connection.enabled else {}),
    }


def standing_object(account: Account, standing: str) -> JsonObject:
    """The bot as a member of a chat."""
    member: JsonObject = {"user": bot_object(account), "status": standing}
    match standing:
        case "kicked":
            return {**member, "until_date": 0}
        case "administrator":
            rights = (
                "is_anonymous can_manage_chat can_delete_messages can_manage_video_chats can_restrict_members "
                "can_promote_members can_change_info can_invite_users can_post_stories can_edit_stories "
                "can_delete_stories can_send_welcome_messages"
            )
            return {**member, "can_be_edited": False, **dict.fromkeys(rights.split(), False), "can_manage_chat": True}
        case "restricted":
            permissions = (
                "can_send_messages can_send_audios can_send_documents can_send_photos can_send_videos "
                "can_send_video_notes can_send_voice_notes can_send_polls can_send_other_messages "
                "can_add_web_page_previews can_react_to_messages can_edit_tag can_change_info can_invite_users "
                "can_pin_messages can_manage_topics"
            )
            return {**member, "is_member": True, "until_date": 0, **dict.fromkeys(permissions.split(), False)}
    return member


def found_entities(text: str) -> list[JsonValue]:
    """What the server finds in a text by itself; offsets count UTF-16 units."""
    entities: list[JsonValue] = []
    for match in _FOUND.finditer(text):
        offset, length = _units(text[: match.start()]), _units(match[0])
        entities.append({"type": match.lastgroup, "offset": offset, "length": length})
    return entities


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def origin_object(origin: Origin, at: float) -> JsonObject:
    """Where a forwarded message or an external reply comes from."""
    body: JsonObject = {"type": origin, "date": int(at) - 600}
    match origin:
        case "user":
            sender: JsonObject = {"id": 7001, "is_bot": False, "first_name": "Bo", "last_name": "Berg"}
            return {**body, "sender_user": sender}
        case "hidden_user":
            return {**body, "sender_user_name": "Somebody"}
        case "chat":
            group: JsonObject = {"id": -1007001, "type": "supergroup", "title": "Neighbours"}
            return {**body, "sender_chat": group, "author_signature": "Bo"}
        case "channel":
            return {**body, "chat": _CHANNEL, "message_id": 31, "author_signature": "Bo"}


_CHANNEL: JsonObject = {"id": -1007002, "type": "channel", "title": "News", "username": "simulated_news"}


def channel_object() -> JsonObject:
    return {**_CHANNEL}


# --- Files ------------------------------------------------------------------------------------------------------------


def live_photo_object(moving: Media, still: Media) -> JsonObject:
    """The photo is set beside it (facts, 4.2)."""
    shape: JsonObject = {"width": 160, "height": 100, "duration": 3, "mime_type": moving.mime_type}
    live: JsonObject = {**file_object(moving), **shape, "file_size": len(moving.data), "photo": photo_sizes(still)}
    return {"live_photo": live, "photo": photo_sizes(still)}


def media_object(kind: str, media: Media, sticker: str = "static") -> JsonObject:
    """A file inside a message. Photos come in sizes; an animation is a document too (facts, 4.2)."""
    file: JsonObject = {**file_object(media), "file_size": len(media.data)}
    match kind:
        case "image":
            return {"photo": photo_sizes(media)}
        case "video":
            return {"video": {**file, "width": 320, "height": 240, "duration": 3, "mime_type": media.mime_type}}
        case "animation":
            about = {**file, "width": 320, "height": 240, "duration": 3, "mime_type": media.mime_type}
            return {"animation": about, "document": {**file, "mime_type": media.mime_type}}
        case "audio":
            return {"audio": {**file, "duration": 12, "mime_type": media.mime_type, "file_name": media.filename}}
        case "voice":
            return {"voice": {**file, "duration": 4, "mime_type": media.mime_type.split(";")[0]}}
        case "video_note":
            return {"video_note": {**file, "length": 240, "duration": 3}}
        case "sticker":
            shape: JsonObject = {"type": "regular", "width": 512, "height": 512, "emoji": "🙂"}
            moves: JsonObject = {"is_animated": sticker == "animated", "is_video": sticker == "video"}
            return {"sticker": {**file, **shape, **moves}}
        case _:
            return {"document": {**file, "mime_type": media.mime_type, "file_name": media.filename}}


def file_object(media: Media) -> JsonObject:
    return {"file_id": media.id, "file_unique_id": "AQAD" + media.ticket[:12]}


def photo_sizes(media: Media) -> list[JsonValue]:
    """Smallest first."""
    small: JsonObject = {
        "file_id": media.id + SMALL,
        "file_unique_id": "AQAE" + media.ticket[:12],
        "width": 90,
        "height": 56,
        "file_size": min(1000, len(media.data)),
    }
    return [small, {**file_object(media), "width": 160, "height": 100, "file_size": len(media.data)}]


def poll_object(poll_id: str, question: str, options: list[str], *, multiple: bool = False) -> JsonObject:
    shown: list[JsonValue] = [
        {"persistent_id": str(number), "text": option, "voter_count": 0} for number, option in enumerate(options, 1)
    ]
    return {
        "id": poll_id,
        "question": question,
        "options": shown,
        "total_voter_count": 0,
        "is_closed": False,
        "is_anonymous": True,
        "type": "regular",
        "allows_multiple_answers": multiple,
        "allows_revoting": False,
        "members_only": False,
    }
