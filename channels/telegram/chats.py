"""Which chat an address or a message means, as the fields of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from channels.errors import SendError
from channels.telegram.message_key import MessageKey
from channels.telegram.people import BUSINESS, GROUP, USER
from channels.types import Address, Fault, JsonObject, JsonValue
from channels.wire import SHORT, as_integer, as_object, as_text, objects


@dataclass(frozen=True, slots=True)
class Chat:
    id: int
    connection: str | None = None

    @property
    def is_group(self) -> bool:
        return self.id < 0

    @property
    def params(self) -> JsonObject:
        params: JsonObject = {"chat_id": self.id}
        return {**params, "business_connection_id": self.connection} if self.connection else params


def find_chat(recipient: Sequence[Address], last: MessageKey | None) -> Chat | None:
    """The chat to write into. ``last``, a message of the thread, decides between the bot's own chat with a person and
    that of a business account; without it the business account's is taken, since only its customers have one.
    """
    groups = [address.value for address in recipient if address.kind == GROUP]
    if groups:
        # An upgraded group keeps its old address beside the new one, under which alone it can be reached.
        supergroups = [value for value in groups if value.startswith("-100")]
        number = _number((supergroups or groups)[-1])
        return None if number is None else Chat(number)
    users = [number for address in recipient if address.kind == USER and (number := _number(address.value))]
    connected = [
        Chat(number, address.scope)
        for address in recipient
        if address.kind == BUSINESS and (number := _number(address.value))
    ]
    if last is not None and last.chat in (*users, *(chat.id for chat in connected)):
        return Chat(last.chat, last.connection)
    if connected:
        return connected[-1]
    return Chat(users[-1]) if users else None


def _number(value: str) -> int | None:
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def get_key(external_id: str) -> MessageKey:
    """Raises ``SendError`` for an id that names no message at the provider (a tap)."""
    key = MessageKey.find(external_id)
    if key is None:
        raise SendError(Fault("not_found", "Telegram knows no message by this id."))
    return key


def params_of(key: MessageKey) -> JsonObject:
    return {**Chat(key.chat, key.connection).params, "message_id": key.message}


def external_ids(result: JsonValue, chat: Chat) -> tuple[str, ...]:
    """Of the message or, in its order, the album sent; none after a reaction, whose result is ``true``."""
    found: list[str] = []
    for message in objects(result):
        number = as_integer(message.get("message_id"))
        chat_id = as_integer(as_object(message.get("chat")).get("id"))
        connection = as_text(message.get("business_connection_id"), SHORT) or chat.connection
        if number:
            found.append(str(MessageKey(chat.id if chat_id is None else chat_id, number, connection)))
    return tuple(found)
