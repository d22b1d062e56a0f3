"""Calls that change what was said: edits, deletions, reactions, answers to taps, and what is marked as read."""

from __future__ import annotations

from channels.simulator.calls import Call
from channels.simulator.simulation import Simulation
from channels.simulator.telegram_content import TelegramContent
from channels.simulator.telegram_rooms import (
    Refusal,
    Room,
    bad,
    connection_of,
    find_room,
    open_room,
    target_of,
)
from channels.simulator.telegram_shapes import connection_object
from channels.simulator.telegram_state import Connection
from channels.simulator.telegram_text import REACTIONS
from channels.simulator.wire import as_list, as_number, as_object, as_text
from channels.simulator.world import DAY, Account, Message
from channels.types import JsonObject, JsonValue

_QUERY_LIFE = 150.0
"""Seconds for which a tap can be answered."""
_ANSWER = 200
_DELETED_FOR = 2 * DAY
_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)
_MEDIA = frozenset({"photo", "video", "animation", "audio", "document", "voice", "live_photo", "video_note"})


class TelegramChanges:
    def __init__(self, simulation: Simulation, content: TelegramContent) -> None:
        self._world = simulation.world
        self._content = content

    # --- Edits --------------------------------------------------------------------------------------------------------

    async def edit_text(self, account: Account, call: Call) -> JsonValue:
        message = self._own(account, call)
        if "text" not in message.content:
            raise bad("there is no text in the message to edit")
        return self._replace(message, self._content.text(call.fields), call.fields, {"text", "entities"})

    async def edit_caption(self, account: Account, call: Call) -> JsonValue:
        message = self._own(account, call)
        if not _MEDIA & message.content.keys():
            raise bad("there is no caption in the message to edit")
        return self._replace(message, self._content.caption(call.fields), call.fields, {"caption", "caption_entities"})

    async def edit_media(self, account: Account, call: Call) -> JsonValue:
        message = self._own(account, call)
        given = as_object(call.fields.get("media"))
        if not _MEDIA & message.content.keys():
            raise bad("there is no media in the message to edit")
        kind, text, shown = await self._content.item(account, given, call)
        if "media_group_id" in message.content and kind not in ("image", "video", message.kind):
            raise bad("can't change the type of media in an album")
        changed = self._replace(message, shown, call.fields, _MEDIA | {"caption", "caption_entities"})
        message.kind, message.text = kind, text
        return changed

    async def edit_markup(self, account: Account, call: Call) -> JsonValue:
        return self._replace(self._own(account, call), {}, call.fields, set())

    def _own(self, account: Account, call: Call) -> Message:
        if as_text(call.fields.get("inline_message_id")):
            raise bad("MESSAGE_ID_INVALID")
        message = target_of(self._seat(account, call), call.fields, "message to edit not found")
        if message.incoming or message.native or "forward_origin" in message.content:
            raise bad("message can't be edited")
        return message

    def _seat(self, account: Account, call: Call) -> Room:
        """Who blocked the bot is not protected from edits of what they have."""
        named = as_text(call.fields.get("business_connection_id"))
        room = find_room(account, call.fields)
        if room.customer.chat.moved_to is not None:
            return open_room(self._world, account, call.fields)
        return Room(account, room.customer, connection_of(account, named)) if named else room

    def _replace(
        self, message: Message, new: JsonObject, fields: JsonObject, old: set[str] | frozenset[str]
    ) -> JsonObject:
        gone = {"reply_markup", "edit_date", *old}
        kept = {key: value for key, value in message.content.items() if key not in gone}
        changed: JsonObject = {**kept, **new, **self._content.markup(fields)}
        if changed == {key: value for key, value in message.content.items() if key != "edit_date"}:
            raise bad(_NOT_MODIFIED)
        message.content = {**changed, "edit_date": int(self._world.now())}
        message.text = as_text(changed.get("text")) or as_text(changed.get("caption"))
        message.edits += 1
        return message.content

    # --- Deletions ----------------------------------------------------------------------------------------------------

    async def delete(self, account: Account, call: Call) -> JsonValue:
        room = open_room(self._world, account, call.fields)
        self._check_deletable(room, target_of(room, call.fields, "message to delete not found")).deleted = True
        return True

    async def delete_several(self, account: Account, call: Call) -> JsonValue:
        """What cannot be found is passed over."""
        room = open_room(self._world, account, call.fields)
        numbers = as_list(call.fields.get("message_ids"))
        if not 1 <= len(numbers) <= 100:
            raise bad("message identifiers are not specified" if not numbers else "too many messages to delete")
        for message in filter(None, map(room.find, numbers)):
            self._check_deletable(room, message).deleted = True
        return True

    def _check_deletable(self, room: Room, message: Message) -> Message:
        foreign = room.customer.is_group and message.incoming and room.customer.chat.standing != "administrator"
        age = self._world.now() - message.at
        thrown = message.kind == "dice" and not room.customer.is_group and age < DAY
        if age > _DELETED_FOR or foreign or thrown:
            raise bad("message can't be deleted for everyone")
        return message

    # --- Reactions, typing, taps --------------------------------------------------------------------------------------

    async def react(self, account: Account, call: Call) -> JsonValue:
        room = open_room(self._world, account, call.fields)
        message = target_of(room, call.fields, "message to react not found")
        wanted = [as_object(each) for each in as_list(call.fields.get("reaction"))]
        if len(wanted) > 1:
            raise bad("REACTIONS_TOO_MANY")
        for each in wanted:
            emoji = as_text(each.get("emoji"))
            if each.get("type") != "emoji" or emoji not in REACTIONS:
                raise bad("REACTION_INVALID")
            message.reactions["business"] = emoji
        if not wanted:
            message.reactions.pop("business", None)
        return True

    async def answer_query(self, account: Account, call: Call) -> JsonValue:
        asked_at = account.bot.queries.get(as_text(call.fields.get("callback_query_id")) or "")
        if len(as_text(call.fields.get("text")) or "") > _ANSWER:
            raise bad("MESSAGE_TOO_LONG")
        if asked_at is None or self._world.now() - asked_at > _QUERY_LIFE:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        return True

    # --- Business accounts --------------------------------------------------------------------------------------------

    async def connection(self, account: Account, call: Call) -> JsonValue:
        found = account.bot.connections.get(as_text(call.fields.get("business_connection_id")) or "")
        if found is None:
            raise bad("business connection not found")
        return connection_object(found)

    async def read(self, account: Account, call: Call) -> JsonValue:
        connection = self._allowed(account, call, "can_read_messages")
        room = Room(account, find_room(account, call.fields).customer, connection)
        message = target_of(room, call.fields, "MESSAGE_ID_INVALID")
        if not message.incoming:
            raise bad("MESSAGE_ID_INVALID")
        connection.read[room.customer.id] = int(message.id)
        for each in room.customer.thread:
            if each.room == room.key and each.incoming and int(each.id) <= int(message.id):
                each.status = "read"
        return True

    async def delete_business(self, account: Account, call: Call) -> JsonValue:
        """All of them must be of one chat."""
        connection = self._allowed(account, call, "can_delete_sent_messages", "can_delete_all_messages")
        numbers = {as_number(each) for each in as_list(call.fields.get("message_ids"))}
        found = [
            message
            for customer in account.customers.values()
            for message in customer.thread
            if message.room == connection.room(customer.id) and int(message.id) in numbers and not message.deleted
        ]
        if not found:
            raise bad("message to delete not found")
        foreign = any(message.incoming for message in found)
        if foreign and "can_delete_all_messages" not in connection.rights:
            raise bad("not enough rights to delete messages on behalf of the business account")
        for message in found:
            message.deleted = True
        return True

    @staticmethod
    def _allowed(account: Account, call: Call, *rights: str) -> Connection:
        connection = connection_of(account, as_text(call.fields.get("business_connection_id")) or "")
        if not connection.rights.intersection(rights):
            raise Refusal(403, "Forbidden: not enough rights")
        return connection
