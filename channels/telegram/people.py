"""Users and chats as persons. The name is what the person chose to show; the phone is told only by a shared contact."""

from __future__ import annotations

from channels.types import Address, JsonObject, Person
from channels.wire import SHORT, as_integer, as_object, as_text

USER = "telegram_user"
GROUP = "telegram_chat"
BUSINESS = "telegram_business"
"""A person's chat with a business account: scope is the business connection, value the chat. It comes beside the user's
address and tells a reply which way to go."""


def read_user(user: JsonObject, *, connection: str | None = None, phone: str | None = None) -> Person | None:
    """A user, or a private chat (which has the user's id and names, but no language)."""
    number = as_integer(user.get("id"))
    if number is None:
        return None
    first, last = as_text(user.get("first_name"), SHORT), as_text(user.get("last_name"), SHORT)
    address = Address(USER, "", str(number))
    return Person(
        addresses=(address,) if connection is None else (address, Address(BUSINESS, connection, str(number))),
        name=(f"{first} {last}"[:SHORT] if last else first) if first else last,
        first_name=first,
        last_name=last,
        username=as_text(user.get("username"), SHORT),
        language=as_text(user.get("language_code"), 35),
        phone=phone,
    )


def read_group(chat: JsonObject) -> Person | None:
    number = as_integer(chat.get("id"))
    if number is None:
        return None
    return Person(
        addresses=(Address(GROUP, "", str(number)),),
        name=as_text(chat.get("title"), SHORT),
        username=as_text(chat.get("username"), SHORT),
        is_group=True,
    )


def is_private(chat: JsonObject) -> bool:
    return chat.get("type") == "private"


def read_chat(chat: JsonObject) -> Person | None:
    return read_user(chat) if is_private(chat) else read_group(chat)


def display_name(source: JsonObject) -> str | None:
    """Of a user, chat, or the origin of a forward."""
    for key in ("sender_user", "sender_chat", "chat"):
        inner = as_object(source.get(key))
        if inner:
            return display_name(inner)
    person = read_chat(source) if "title" in source else read_user(source)
    return (person.name if person else None) or as_text(source.get("sender_user_name"), SHORT)


def read_phone(value: str | None) -> str | None:
    """E.164 out of what a shared contact says (``491701234567``, ``+49 170 …``); ``None`` where it cannot be that."""
    if value is None or len(value) > 40:
        return None
    digits = "".join(character for character in value if character.isdigit() and character.isascii())
    return f"+{digits}" if 7 <= len(digits) <= 15 and not digits.startswith("0") else None
