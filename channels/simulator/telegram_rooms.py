"""Where a call of the bot leads: which chat, on whose behalf, and whether the bot may write there (facts, 4.5, 4.6)."""

from __future__ import annotations

from dataclasses import dataclass

from channels.simulator.telegram_shapes import bot_object, chat_object, owner_object
from channels.simulator.telegram_state import Connection
from channels.simulator.wire import as_number, as_text
from channels.simulator.world import DAY, Account, Customer, Message, World
from channels.types import JsonObject


class Refusal(Exception):
    """An answer with ``"ok": false``."""

    def __init__(self, code: int, description: str, parameters: JsonObject | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad(description: str) -> Refusal:
    return Refusal(400, f"Bad Request: {description}")


@dataclass(frozen=True, slots=True)
class Room:
    """A chat of the bot, or of a business account which the bot speaks for."""

    account: Account
    customer: Customer
    connection: Connection | None = None

    @property
    def key(self) -> str:
        return self.connection.room(self.customer.id) if self.connection else self.customer.id

    def find(self, number: object) -> Message | None:
        given = as_number(number) if isinstance(number, (int, float, str)) else None
        message = self.account.find_message(self.key, str(int(given))) if given is not None else None
        return None if message is None or message.deleted else message

    def next_number(self) -> int:
        counter = self.connection or self.customer
        counter.last_number += 1
        return counter.last_number

    def head(self, number: int, at: float, fields: JsonObject) -> JsonObject:
        """A message of the bot as the API answers it, without its content."""
        head: JsonObject = {"message_id": number, "date": int(at), "chat": chat_object(self.customer)}
        if self.connection is not None:
            bot = bot_object(self.account)
            head |= {"from": owner_object(self.connection), "business_connection_id": self.connection.id}
            return {**head, "sender_business_bot": bot}
        head["from"] = bot_object(self.account)
        topic = as_number(fields.get("message_thread_id"))
        return head if topic is None else {**head, "message_thread_id": int(topic), "is_topic_message": True}


def find_room(account: Account, fields: JsonObject) -> Room:
    """Any chat the bot knows, whether it may write there or not."""
    chat_id = fields.get("chat_id")
    if chat_id in (None, ""):
        raise bad("chat_id is empty")
    reference = str(chat_id)
    customer = account.customers.get(reference)
    if customer is None and reference.startswith("@"):
        found = account.find_customer(reference[1:])
        customer = found if found is not None and found.is_group else None  # people are no usernames to a bot
    if customer is None:
        raise bad("chat not found")
    return Room(account, customer)


def open_room(world: World, account: Account, fields: JsonObject) -> Room:
    """A chat to write into."""
    room = find_room(account, fields)
    named = as_text(fields.get("business_connection_id"))
    if named:
        return _business(world, room, connection_of(account, named))
    customer = room.customer
    if customer.chat.moved_to is not None:
        moved: JsonObject = {"migrate_to_chat_id": int(customer.chat.moved_to)}
        raise Refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", moved)
    if customer.is_group:
        _check_group(customer)
        return room
    if not customer.started:
        raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
    if not customer.reachable:
        raise Refusal(403, "Forbidden: user is deactivated")
    if customer.blocked:
        raise Refusal(403, "Forbidden: bot was blocked by the user")
    return room


def _check_group(group: Customer) -> None:
    kind = "supergroup" if group.id.startswith("-100") else "group"
    if not group.reachable:
        raise Refusal(403, "Forbidden: the group chat was deleted")
    if group.chat.standing == "left":
        raise Refusal(403, f"Forbidden: bot is not a member of the {kind} chat")
    if group.blocked or group.chat.standing == "kicked":
        raise Refusal(403, f"Forbidden: bot was kicked from the {kind} chat")
    if group.chat.standing == "restricted":
        raise bad("not enough rights to send text messages to the chat")


def connection_of(account: Account, name: str) -> Connection:
    connection = account.bot.connections.get(name)
    if connection is None:
        raise bad("business connection not found")
    if not connection.enabled:
        raise bad("BUSINESS_CONNECTION_INVALID")
    return connection


def _business(world: World, room: Room, connection: Connection) -> Room:
    """The bot answers only where a message came in within 24 hours (facts, 4.5)."""
    if "can_reply" not in connection.rights:
        raise bad("not enough rights to send messages on behalf of the business account")
    heard_at = connection.heard_at.get(room.customer.id)
    if heard_at is None or world.now() - heard_at > DAY:
        raise bad("BUSINESS_PEER_USAGE_MISSING")
    return Room(room.account, room.customer, connection)


def target_of(room: Room, fields: JsonObject, refusal: str) -> Message:
    if as_number(fields.get("message_id")) is None:
        raise bad("message identifier is not specified")
    message = room.find(fields["message_id"])
    if message is None:
        raise bad(refusal)
    return message
