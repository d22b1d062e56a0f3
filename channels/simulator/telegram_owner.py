"""Business accounts that have connected the bot: their owners, and their chats with customers (facts, 4.2, 4.5).

Such a chat is not the bot's own chat with the same person, though both carry the person's id: message ids count apart.
"""

from __future__ import annotations

from channels.simulator.schemas import NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.telegram_shapes import chat_object, connection_object, owner_object
from channels.simulator.telegram_state import Connection
from channels.simulator.world import Account, Customer, Message
from channels.types import JsonObject, JsonValue

_OWNER = 900_000


class TelegramOwner:
    def __init__(self, simulation: Simulation) -> None:
        self._world = simulation.world

    def connect(self, account: Account, customer: Customer, wish: SayWish) -> JsonObject:
        """Connecting again changes the rights. ``customer`` is who owns the business account."""
        name = wish.telegram.business or f"bc-{customer.id}"
        connection = account.bot.connections.get(name)
        if connection is None:
            owner = int(customer.id) if customer.id.isdecimal() else _OWNER
            connection = Connection(name, owner, customer.first_name, self._world.now())
            account.bot.connections[name] = connection
        connection.enabled, connection.rights = True, frozenset(wish.telegram.rights)
        return connection_object(connection)

    def disconnect(self, account: Account, wish: SayWish) -> JsonObject:
        connection = self.of(account, wish.telegram.business)
        connection.enabled = False
        return connection_object(connection)

    def of(self, account: Account, name: str | None) -> Connection:
        """Without a name the only one; raises ``SayError``."""
        known = account.bot.connections
        if name is None and len(known) == 1:
            return next(iter(known.values()))
        if name is None or name not in known:
            raise SayError(f"no business connection {name}: make one by kind `connect`")
        return known[name]

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> tuple[str, JsonObject, Message]:
        """The owner acts in their own app: the kind of update, its content, and the message concerned."""
        enabled = [each for each in account.bot.connections.values() if each.enabled]
        if not enabled:
            raise SayError("a bot has no app of its own to write from; a connected business account has")
        target: Message | None = None
        connection = enabled[-1]
        if wish.kind in ("edit", "unsend"):
            for connection in enabled:
                target = account.find_message(connection.room(customer.id), wish.message_id or "")
                if target is not None:
                    break
            if target is None:
                raise SayError("message_id names no message of a business account's chat")
        if target is not None and wish.kind == "edit":
            target.text, target.edits = wish.text, target.edits + 1
            target.content = {**target.content, "text": wish.text, "edit_date": int(self._world.now())}
            return "edited_business_message", target.content, target
        if target is not None:
            return "deleted_business_messages", self.deleted(connection, customer, [target]), target
        if wish.kind != "text" or not wish.text:
            raise SayError("the owner of a business account only writes texts here")
        now = self._world.now()
        connection.last_number += 1
        content: JsonObject = {
            "message_id": connection.last_number,
            "date": int(now),
            "business_connection_id": connection.id,
            "chat": chat_object(customer),
            "from": owner_object(connection),
            "text": wish.text,
        }
        message = Message(
            str(connection.last_number), customer.id, False, "text", wish.text, content, now, native=True,
            room=connection.room(customer.id),
        )  # fmt: skip
        return "business_message", content, self._world.add_message(account, customer, message)

    @staticmethod
    def deleted(connection: Connection, customer: Customer, messages: list[Message]) -> JsonObject:
        for message in messages:
            message.deleted = True
        numbers: list[JsonValue] = [int(message.id) for message in messages]
        chat = chat_object(customer)
        return {"business_connection_id": connection.id, "chat": chat, "message_ids": numbers}
