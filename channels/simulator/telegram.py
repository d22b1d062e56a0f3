"""Telegram's updates: what users do to a bot (facts, 4.2). There are no receipts and no echoes."""

from __future__ import annotations

from dataclasses import dataclass

from channels.simulator import wire
from channels.simulator.schemas import NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.telegram_groups import REACHED, membership, moved, service_of
from channels.simulator.telegram_kinds import sample_update
from channels.simulator.telegram_owner import TelegramOwner
from channels.simulator.telegram_said import TelegramSaid, author_of, said_caption, said_text
from channels.simulator.telegram_shapes import chat_object, user_object
from channels.simulator.telegram_state import UPDATE_KINDS, Connection
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject, JsonValue

_QUERIES = 1000
"""Taps that are remembered for their answer."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """Who acts where. ``room`` is the chat: the customer, a group, or the customer in a business account's chat."""

    account: Account
    customer: Customer
    room: Customer
    connection: Connection | None
    wish: SayWish
    now: float

    @property
    def key(self) -> str:
        """The chat in the keys of messages."""
        return self.connection.room(self.room.id) if self.connection else self.room.id

    @property
    def head(self) -> JsonObject:
        return {"business_connection_id": self.connection.id} if self.connection else {}

    def find(self, number: str | None) -> Message | None:
        return self.account.find_message(self.key, number) if number else None

    @property
    def target(self) -> Message | None:
        return self.find(self.wish.message_id)


class TelegramVoice:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._said = TelegramSaid(simulation)
        self._owner = TelegramOwner(simulation)

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        room = self._simulation.group_of(account, wish) or customer
        if wish.message_id is not None and not wish.message_id.isdecimal():
            raise SayError("a Telegram message_id is a number")
        if wish.kind == "connect":
            self._update(account, customer, "business_connection", self._owner.connect(account, customer, wish))
            return None
        connection = self._owner.of(account, wish.telegram.business) if wish.telegram.business else None
        if connection is not None and room.is_group:
            raise SayError("a business account's bot sees private chats only")
        room.chat.is_forum |= room.is_group and wish.telegram.topic is not None
        scene = _Scene(account, customer, room, connection, wish, self._simulation.world.now())
        match wish.kind:
            case "edit":
                return self._edit(scene)
            case "unsend":
                return self._unsend(scene)
        if self._act(scene):
            return None
        if room.chat.moved_to is not None or (room.is_group and room.chat.standing not in REACHED):
            raise SayError(f"nothing said in {room.id} reaches the bot: it left, or the group has another id now")
        return self._message(scene, self._said.content(account, customer, wish))

    def _act(self, scene: _Scene) -> bool:
        """Acts that bring no message. ``False`` when the wish is none of them."""
        account, room, wish = scene.account, scene.room, scene.wish
        match wish.kind:
            case "raw":
                self._emit(account, room, "raw", wish.raw or {})
            case "disconnect":
                self._update(account, room, "business_connection", self._owner.disconnect(account, wish))
            case "block" | "unblock":
                after = membership(
                    account, scene.customer, scene.customer, "kicked" if wish.kind == "block" else "member", scene.now
                )
                self._update(account, scene.customer, "my_chat_member", after)
            case "membership":
                self._membership(scene)
            case "migrate":
                self._migrate(scene)
            case "reaction" | "unreact":
                self._reaction(scene)
            case "button" | "callback" | "postback":
                self._callback(scene)
            case "update":
                kind = wish.telegram.update or ""
                content = sample_update(kind, scene.customer, room, scene.now)
                if content is None:
                    known = ", ".join(each for each in UPDATE_KINDS if sample_update(each, scene.customer, room, 0))
                    raise SayError(f"telegram.update is one of {known}; acts bring the others")
                self._update(account, room, kind, content)
            case _:
                return False
        return True

    # --- Messages -----------------------------------------------------------------------------------------------------

    def _message(self, scene: _Scene, content: JsonObject) -> Message:
        account, room, wish = scene.account, scene.room, scene.wish
        at = wish.at or scene.now
        quoted = scene.find(wish.reply_to)
        if wish.reply_to and quoted is None:
            raise SayError(f"no message {wish.reply_to} to reply to")
        ephemeral = wish.telegram.ephemeral
        number = 0 if ephemeral else self._number(scene)
        body: JsonObject = {
            "message_id": number,
            "date": int(at),
            **scene.head,
            "chat": chat_object(room),
            **author_of(account, scene.customer, room, wish, user_object(scene.customer)),
            **self._said.around(room, wish, quoted, at),
            **content,
        }
        if ephemeral:
            receiver: JsonObject = {"id": int(account.account_id), "is_bot": True, "first_name": account.name}
            body |= {"ephemeral_message_id": int(wire.digits_id(3)), "receiver_user": receiver}
        if _visible(account, room, body):
            self._update(account, room, "business_message" if scene.connection else "message", body)
        message = Message(
            str(number), room.id, True, wish.kind, wish.text, body, at, reply_to=wish.reply_to,
            room=scene.key if scene.connection else None,
        )  # fmt: skip
        if ephemeral:
            return message
        if scene.connection is not None:
            scene.connection.heard_at[room.id] = at
            return self._simulation.world.add_message(account, room, message)
        scene.customer.blocked = False
        return self._simulation.heard(account, room, message)

    @staticmethod
    def _number(scene: _Scene) -> int:
        counter = scene.connection or scene.room
        counter.last_number += 1
        return counter.last_number

    def _edit(self, scene: _Scene) -> Message:
        """Without a text only what nobody sees has changed (facts, 4.2)."""
        target = scene.target
        if target is None or not target.incoming:
            raise SayError("edit needs the message_id of a message of this customer")
        wish = scene.wish
        if wish.text is not None:
            target.text, target.edits = wish.text, target.edits + 1
            kept = {key: value for key, value in target.content.items() if key not in ("entities", "caption_entities")}
            shown = said_text(wish, wish.text) if "text" in kept else said_caption(wish)
            target.content = {**kept, **shown}
        target.content = {**target.content, "edit_date": int(scene.now)}
        kind = "edited_business_message" if scene.connection else "edited_message"
        self._update(scene.account, scene.room, kind, target.content)
        return target

    def _unsend(self, scene: _Scene) -> Message:
        """Only a business account's bot is told of deletions."""
        if scene.connection is None:
            raise SayError("Telegram tells bots of no deletion, except in chats of business accounts")
        if scene.target is None:
            raise SayError("unsend needs the message_id of a message in this chat")
        content = self._owner.deleted(scene.connection, scene.room, [scene.target])
        self._update(scene.account, scene.room, "deleted_business_messages", content)
        return scene.target

    # --- Taps, reactions, membership ----------------------------------------------------------------------------------

    def _reaction(self, scene: _Scene) -> None:
        wish, target = scene.wish, scene.target
        if wish.message_id is None or scene.connection is not None:
            raise SayError("a reaction needs message_id, and is not told from business accounts' chats")
        old = target.reactions.get("customer") if target else None
        new = wish.emoji if wish.kind == "reaction" else None
        if target is not None:
            target.reactions.pop("customer", None)
            if new is not None:
                target.reactions["customer"] = new
        shown: JsonObject = {"type": "emoji", "emoji": new}
        if wish.telegram.custom_emoji is not None:
            shown = {"type": "custom_emoji", "custom_emoji_id": wish.telegram.custom_emoji}
        elif wish.telegram.paid_reaction:
            shown = {"type": "paid"}
        who: JsonObject = {"user": user_object(scene.customer)}
        if scene.room.is_group and wish.telegram.anonymous:
            who = {"actor_chat": chat_object(scene.room)}
        body: JsonObject = {
            "chat": chat_object(scene.room),
            "message_id": int(wish.message_id),
            **who,
            "date": int(scene.now),
            "old_reaction": [{"type": "emoji", "emoji": old}] if old else [],
            "new_reaction": [shown] if new else [],
        }
        self._update(scene.account, scene.room, "message_reaction", body)

    def _callback(self, scene: _Scene) -> None:
        wish, target = scene.wish, scene.target
        query_id = wire.digits_id(18)
        body: JsonObject = {
            "id": query_id,
            "from": user_object(scene.customer),
            "chat_instance": "-" + wire.digits_id(18),
            "data": _button_data(target, wish) or wish.payload or wish.title or "ok",
        }
        if target is not None:
            body["message"] = target.content
        elif wish.message_id is not None:
            number = int(wish.message_id)
            body["message"] = {"chat": chat_object(scene.room), "message_id": number, "date": 0}  # inaccessible
        elif wish.telegram.inline_message_id is not None:
            body["inline_message_id"] = wish.telegram.inline_message_id
        queries = scene.account.bot.queries
        queries[query_id] = wish.at or scene.now
        if len(queries) > _QUERIES:
            del queries[next(iter(queries))]
        self._update(scene.account, scene.room, "callback_query", body)

    def _membership(self, scene: _Scene) -> None:
        if not scene.room.is_group:
            raise SayError("membership needs a group; a person blocks and unblocks")
        after = scene.wish.telegram.standing
        service = service_of(scene.account, after)
        body = membership(scene.account, scene.room, scene.customer, after, scene.now)
        self._update(scene.account, scene.room, "my_chat_member", body)
        if service is not None and not scene.room.id.startswith("-100"):
            self._message(scene, service)
            scene.room.blocked = after in ("left", "kicked")

    def _migrate(self, scene: _Scene) -> None:
        """The old chat and the new one both tell of it (facts, 4.2)."""
        account, old = scene.account, scene.room
        new = moved(self._simulation.world, account, old, scene.wish)
        self._message(scene, {"migrate_to_chat_id": int(new.id)})
        there = _Scene(account, scene.customer, new, None, scene.wish, scene.now)
        self._message(there, {"migrate_from_chat_id": int(old.id)})

    # --- Out ----------------------------------------------------------------------------------------------------------

    def _update(self, account: Account, room: Customer, kind: str, content: JsonObject) -> None:
        if account.allowed_updates is None or kind in account.allowed_updates:
            self._emit(account, room, kind, {kind: content})

    def _emit(self, account: Account, room: Customer, kind: str, content: JsonObject) -> None:
        account.last_update += 1
        update: JsonObject = {"update_id": account.last_update, **content}
        self._simulation.emit(account, room, kind, update, part="update")

    # --- The business -------------------------------------------------------------------------------------------------

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        """Of the owner of a connected business account; a bot itself has no app."""
        kind, content, message = self._owner.native(account, customer, wish)
        self._update(account, customer, kind, content)
        return message

    def stages(self, message: Message) -> tuple[Status, ...]:
        return ()

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None:
        raise SayError("Telegram gives no receipts")


def _visible(account: Account, room: Customer, body: JsonObject) -> bool:
    """Privacy mode hides what is said in a group, unless it is for the bot (facts, 4.2)."""
    if not room.is_group or not account.bot.privacy_mode or room.chat.standing == "administrator":
        return True
    text = as_text(body.get("text")) or as_text(body.get("caption"))
    if text is None and not {"photo", "document", "sticker", "location", "contact"} & body.keys():
        return True  # service messages are for everybody
    replied = as_object(as_object(body.get("reply_to_message")).get("from"))
    mentioned = f"@{account.username}" in (text or "")
    return (text or "").startswith("/") or mentioned or str(replied.get("id")) == account.account_id


def _button_data(target: Message | None, wish: SayWish) -> str | None:
    """What the tapped button holds, when the message shows one with this title or payload."""
    markup: JsonValue = target.content.get("reply_markup") if target is not None else None
    for row in as_list(as_object(markup).get("inline_keyboard")):
        for button in map(as_object, as_list(row)):
            data = as_text(button.get("callback_data"))
            if data is not None and (data == wish.payload or (wish.payload is None and button["text"] == wish.title)):
                return data
    return None
