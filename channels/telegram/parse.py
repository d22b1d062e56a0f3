"""One update of a bot as neutral items. Pure and total: what cannot be understood comes out as ``UnsupportedEvent`` or
``UnsupportedPart`` with what it held, and never costs what stands beside it.

Deliberately ``UnsupportedEvent``: posts of broadcast channels (an answer would be a public post), guest messages (they
belong to a chat the bot is not in), and every kind of update that is neither a message nor a change to one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from channels.content import ChoicePart
from channels.inbound import (
    ChannelNotice,
    Echo,
    IdentityChanged,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    ReachabilityChanged,
    ReactionChanged,
    Referral,
    UnsupportedEvent,
)
from channels.telegram.content import read_parts
from channels.telegram.message_key import MessageKey, callback_id, passing_id
from channels.telegram.people import GROUP, is_private, read_chat, read_group, read_phone, read_user
from channels.types import Address, JsonObject, JsonValue, Person
from channels.wire import (
    LONG,
    SHORT,
    UNKNOWN_TIME,
    Undecodable,
    as_integer,
    as_list,
    as_object,
    as_text,
    as_time,
    decode,
    kept,
    kept_object,
    objects,
    undecodable,
)

PAID_REACTION: Final = "⭐"
AUTOMATIC: Final = "automatic"
"""``Echo.app_id`` of the greetings, away and scheduled messages of a business account: nobody wrote them just now."""
_START: Final = re.compile(r"/start(?:@\w{1,64})?[ \n]([A-Za-z0-9_-]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Update:
    account_id: str
    id: int


_Reader = Callable[[_Update, JsonObject], list[Inbound]]
"""Answers an empty list where the update cannot be understood."""


def parse_update(body: bytes, account_id: str | None) -> list[Inbound]:
    try:
        payload = decode(body)
    except Undecodable:
        return [UnsupportedEvent(account_id, "body_not_json", undecodable(body))]
    if not isinstance(payload, dict):
        return [UnsupportedEvent(account_id, "body_not_an_object", kept(payload))]
    update_id = as_integer(payload.get("update_id"))
    items: list[Inbound] = []
    for kind, content in payload.items():
        if kind == "update_id":
            continue
        reader = _READERS.get(kind)
        found: list[Inbound] = []
        if reader is not None and account_id is not None and isinstance(content, dict):
            found = reader(_Update(account_id, update_id or 0), content)
        items += found or [_unsupported(account_id, kind, content)]
    return items or [_unsupported(account_id, "empty_update", payload)]


def _unsupported(account_id: str | None, kind: str, content: JsonValue) -> UnsupportedEvent:
    time = as_time(content.get("date")) if isinstance(content, dict) else None
    return UnsupportedEvent(account_id, kind[:SHORT], kept(content), time)


# --- Messages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a message stands and who wrote it."""

    key: MessageKey
    external_id: str
    peer: Person
    author: Person | None
    echo: Echo | None


def _read_frame(update: _Update, message: JsonObject) -> _Frame | None:
    chat = as_object(message.get("chat"))
    chat_id = as_integer(chat.get("id"))
    if chat_id is None or chat.get("type") == "channel":
        return None
    connection = as_text(message.get("business_connection_id"), SHORT)
    key = MessageKey(chat_id, as_integer(message.get("message_id")) or 0, connection)
    lasting = key.message > 0 and "ephemeral_message_id" not in message
    external_id = str(key) if lasting else passing_id(update.id, chat_id)
    sender = as_object(message.get("from"))
    if not is_private(chat):
        group = read_group(chat)
        sender_chat = as_object(message.get("sender_chat"))
        # Anonymous admins and channels write through a stand-in user; the chat is who they are.
        author = read_group(sender_chat) if sender_chat else read_user(sender)
        own = str(as_integer(sender.get("id"))) == update.account_id
        return None if group is None else _Frame(key, external_id, group, author, Echo() if own else None)
    from_peer = as_integer(sender.get("id")) == chat_id
    peer = read_user(
        sender if from_peer else chat, connection=connection, phone=_own_phone(message, chat_id) if from_peer else None
    )
    echo = None if from_peer else _read_echo(update, message, sender, connection)
    return None if peer is None else _Frame(key, external_id, peer, None, echo)


def _read_echo(update: _Update, message: JsonObject, sender: JsonObject, connection: str | None) -> Echo | None:
    """In a business account's chat, what is not from the person is from the business: owner, bot, automaton."""
    robot = as_integer(as_object(message.get("sender_business_bot")).get("id"))
    sender_id = as_integer(sender.get("id"))
    if robot is not None:
        return Echo(app_id=str(robot))
    if message.get("is_from_offline") is True:
        return Echo(app_id=AUTOMATIC)
    if connection is not None or str(sender_id) == update.account_id:
        return Echo()
    return None


def _own_phone(message: JsonObject, user_id: int) -> str | None:
    """The person's number, if they shared their own contact and not somebody else's."""
    contact = message.get("contact")
    if not isinstance(contact, dict) or as_integer(contact.get("user_id")) != user_id:
        return None
    return read_phone(as_text(contact.get("phone_number")))


def _read_message(update: _Update, message: JsonObject) -> list[Inbound]:
    frame = _read_frame(update, message)
    if frame is None:
        return []
    occurred_at = as_time(message.get("date")) or UNKNOWN_TIME
    moved = _read_migration(update, message, frame.key.chat, occurred_at)
    if moved is not None:
        return [moved]
    return [
        MessageReceived(
            account_id=update.account_id,
            external_id=frame.external_id,
            peer=frame.peer,
            parts=read_parts(message),
            occurred_at=occurred_at,
            author=frame.author,
            reply_to=_read_reply(message, frame.key),
            forwarded="forward_origin" in message or message.get("is_automatic_forward") is True,
            referral=_read_referral(message),
            album=as_text(message.get("media_group_id"), SHORT),
            echo=frame.echo,
            opens_window=frame.echo is None,
        )
    ]


def _read_migration(update: _Update, message: JsonObject, chat: int, at: datetime) -> IdentityChanged | None:
    """The old and the new chat both tell of a group's upgrade; nothing else is in these messages."""
    to, origin = as_integer(message.get("migrate_to_chat_id")), as_integer(message.get("migrate_from_chat_id"))
    if to is not None:
        old, new = chat, to
    elif origin is not None:
        old, new = origin, chat
    else:
        return None
    return IdentityChanged(
        update.account_id, (Address(GROUP, "", str(old)),), (Address(GROUP, "", str(new)),), occurred_at=at
    )


def _read_reply(message: JsonObject, key: MessageKey) -> str | None:
    replied = message.get("reply_to_message")
    if isinstance(replied, dict):
        number = as_integer(replied.get("message_id"))
        # Every message in a topic "replies" to the one that opened it.
        opens_topic = message.get("is_topic_message") is True and number == as_integer(message.get("message_thread_id"))
        return str(MessageKey(key.chat, number, key.connection)) if number and not opens_topic else None
    external = message.get("external_reply")
    if isinstance(external, dict):
        chat, number = as_integer(as_object(external.get("chat")).get("id")), as_integer(external.get("message_id"))
        return str(MessageKey(chat, number)) if chat is not None and number else None
    return None


def _read_referral(message: JsonObject) -> Referral | None:
    text = message.get("text")
    if not isinstance(text, str) or not text.startswith("/start"):
        return None
    match = _START.fullmatch(text)
    return Referral(source="deep_link", ref=match.group(1)) if match else None


def _read_edit(update: _Update, message: JsonObject) -> list[Inbound]:
    frame = _read_frame(update, message)
    if frame is None or frame.external_id != str(frame.key):
        return []
    at = as_time(message.get("edit_date")) or as_time(message.get("date")) or UNKNOWN_TIME
    parts = read_parts(message)
    business = frame.echo is not None
    return [MessageEdited(update.account_id, frame.external_id, frame.peer, parts, at, business, frame.author)]


def _read_deletions(update: _Update, deleted: JsonObject) -> list[Inbound]:
    chat = as_object(deleted.get("chat"))
    chat_id, connection = as_integer(chat.get("id")), as_text(deleted.get("business_connection_id"), SHORT)
    if chat_id is None or connection is None:
        return []
    peer = read_user(chat, connection=connection)
    numbers = [number for item in as_list(deleted.get("message_ids")) if (number := as_integer(item))]
    # Neither the time nor who deleted is told.
    return [
        MessageUnsent(update.account_id, str(MessageKey(chat_id, number, connection)), peer, UNKNOWN_TIME)
        for number in numbers
    ]


# --- Taps, reactions, membership --------------------------------------------------------------------------------------


def _read_callback(update: _Update, query: JsonObject) -> list[Inbound]:
    """The message with the button may be out of reach (``date`` 0) or absent; the tap has no time of its own."""
    query_id, sender = as_text(query.get("id"), SHORT), as_object(query.get("from"))
    person = read_user(sender)
    if query_id is None or person is None:
        return []
    message = as_object(query.get("message"))
    chat = as_object(message.get("chat"))
    chat_id, number = as_integer(chat.get("id")), as_integer(message.get("message_id"))
    if chat.get("type") == "channel":
        return []
    connection = as_text(message.get("business_connection_id"), SHORT)
    group = None if chat_id is None or is_private(chat) else read_group(chat)
    peer = group or read_user(sender, connection=connection) or person
    payload = as_text(query.get("data"))
    game = as_text(query.get("game_short_name"), SHORT)
    choice = ChoicePart(
        kind="callback",
        payload=payload,
        title=_button_title(message, payload),
        data={"game_short_name": game} if game else None,
        acknowledge=query_id,
    )
    lasting = chat_id is not None and number and "ephemeral_message_id" not in message
    return [
        MessageReceived(
            account_id=update.account_id,
            external_id=callback_id(query_id),
            peer=peer,
            parts=(choice,),
            occurred_at=UNKNOWN_TIME,
            author=person if group else None,
            reply_to=str(MessageKey(chat_id, number, connection))
            if lasting and chat_id is not None and number
            else None,
        )
    ]


def _button_title(message: JsonObject, payload: str | None) -> str | None:
    if payload is None:
        return None
    for row in as_list(as_object(message.get("reply_markup")).get("inline_keyboard")):
        for button in objects(row):
            if button.get("callback_data") == payload:
                return as_text(button.get("text"), SHORT)
    return None


def _read_reaction(update: _Update, reaction: JsonObject) -> list[Inbound]:
    """The whole new state of one author's reactions; several (a paying user has up to three) are joined by a space."""
    chat = as_object(reaction.get("chat"))
    chat_id, number = as_integer(chat.get("id")), as_integer(reaction.get("message_id"))
    peer = read_chat(chat)
    if chat_id is None or not number or peer is None or chat.get("type") == "channel":
        return []
    user = as_object(reaction.get("user"))
    person = read_user(user) if user else read_group(as_object(reaction.get("actor_chat")))
    private = is_private(chat)
    return [
        ReactionChanged(
            account_id=update.account_id,
            external_id=str(MessageKey(chat_id, number)),
            peer=(person or peer) if private else peer,
            emoji=" ".join(_reaction_emoji(item) for item in objects(reaction.get("new_reaction"))) or None,
            occurred_at=as_time(reaction.get("date")) or UNKNOWN_TIME,
            author=None if private else person,
            by_business=str(as_integer(user.get("id"))) == update.account_id,
        )
    ]


def _reaction_emoji(item: JsonObject) -> str:
    kind = item.get("type")
    if kind == "paid":
        return PAID_REACTION
    if kind == "custom_emoji":
        return f"custom_emoji:{as_text(item.get('custom_emoji_id'), 64) or ''}"
    return as_text(item.get("emoji"), 64) or f"unsupported:{as_text(kind, 64) or ''}"


_REACHED: Final = {
    "member": (True, "unblocked"),
    "administrator": (True, "unblocked"),
    "creator": (True, "unblocked"),
    "kicked": (False, "blocked"),
    "left": (False, "left"),
}


def _read_own_membership(update: _Update, change: JsonObject) -> list[Inbound]:
    chat, member = as_object(change.get("chat")), as_object(change.get("new_chat_member"))
    status = as_text(member.get("status"), SHORT) or ""
    private = is_private(chat)
    peer = read_chat(chat)
    if peer is None or chat.get("type") == "channel":
        return []
    if status == "restricted":
        reachable = member.get("is_member") is True and member.get("can_send_messages") is True
        reason = "unrestricted" if reachable else "restricted"
    elif status in _REACHED:
        reachable, reason = _REACHED[status]
        if not private:
            reason = "added" if reachable else "removed"
    else:
        return []
    sender = as_object(change.get("from"))
    if private and as_integer(sender.get("id")) == as_integer(chat.get("id")):
        peer = read_user(sender) or peer
    at = as_time(change.get("date")) or UNKNOWN_TIME
    return [ReachabilityChanged(update.account_id, peer, reachable, reason, at)]


def _read_business_connection(update: _Update, connection: JsonObject) -> list[Inbound]:
    if as_text(connection.get("id"), LONG) is None:
        return []
    at = as_time(connection.get("date")) or UNKNOWN_TIME
    return [ChannelNotice(update.account_id, "business_connection", kept_object(connection) or {}, at)]


_READERS: Final[dict[str, _Reader]] = {
    "message": _read_message,
    "business_message": _read_message,
    "edited_message": _read_edit,
    "edited_business_message": _read_edit,
    "deleted_business_messages": _read_deletions,
    "callback_query": _read_callback,
    "message_reaction": _read_reaction,
    "my_chat_member": _read_own_membership,
    "business_connection": _read_business_connection,
}

UPDATES: Final = tuple(_READERS)
"""What we ask Telegram for: the kinds of update that mean something here. The list that counts where none is asked for
lacks ``message_reaction``.
"""
