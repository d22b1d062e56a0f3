"""Telegram's updates: what users do to a bot (facts, 4.2). There are no receipts and no echoes."""

from __future__ import annotations

from channels.simulator import wire
from channels.simulator.schemas import MEDIA_KINDS, NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.world import Account, Customer, Media, Message, Status
from channels.types import JsonObject

NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Left out unless ``allowed_updates`` names them (facts, 4.1)."""


class TelegramVoice:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        now = self._simulation.world.now()
        room = self._simulation.group_of(account, wish) or customer
        if wish.message_id is not None and not wish.message_id.isdecimal():
            raise SayError("a Telegram message_id is a number")
        target = account.find_message(room.id, wish.message_id) if wish.message_id else None
        match wish.kind:
            case "raw":
                self._update(account, room, "raw", wish.raw or {})
                return None
            case "block" | "unblock":
                self._membership(account, customer, blocked=wish.kind == "block", at=now)
                return None
            case "reaction" | "unreact":
                self._reaction(account, customer, room, wish, target, now)
                return None
            case "button" | "callback" | "postback":
                self._callback(account, customer, room, wish, target, now)
                return None
            case "edit":
                if target is None or not target.incoming:
                    raise SayError("edit needs the message_id of a message of this customer")
                target.text, target.edits = wish.text or "", target.edits + 1
                shown = "text" if "text" in target.content else "caption"
                target.content = {**target.content, shown: target.text, "edit_date": int(now)}
                self._update(account, room, "edited_message", {"edited_message": target.content})
                return target
        return self._message(account, customer, room, wish, now)

    def _message(self, account: Account, customer: Customer, room: Customer, wish: SayWish, now: float) -> Message:
        at = wish.at or now
        room.last_number += 1
        body: JsonObject = {
            "message_id": room.last_number,
            "date": int(at),
            "chat": chat_object(room),
            "from": user_object(customer),
            **self._content(account, customer, wish),
        }
        if wish.reply_to:
            quoted = account.find_message(room.id, wish.reply_to)
            if quoted is None:
                raise SayError(f"no message {wish.reply_to} to reply to")
            body["reply_to_message"] = {k: v for k, v in quoted.content.items() if k != "reply_to_message"}
        if wish.forwarded:
            origin: JsonObject = {"type": "hidden_user", "sender_user_name": "Somebody", "date": int(at)}
            body["forward_origin"] = origin
        if wish.media_group_id:
            body["media_group_id"] = wish.media_group_id
        self._update(account, room, "message", {"message": body})
        customer.blocked = False
        message = Message(str(room.last_number), room.id, True, wish.kind, wish.text, body, at, reply_to=wish.reply_to)
        return self._simulation.heard(account, room, message)

    def _content(self, account: Account, customer: Customer, wish: SayWish) -> JsonObject:
        text = wish.text or ""
        match wish.kind:
            case "text" | "quick_reply":
                return _text(text or wish.title or "")
            case "start":
                return _text(f"/start {wish.payload}" if wish.payload else "/start")
            case kind if kind in MEDIA_KINDS:
                media = self._simulation.media_of(account, wish)
                caption: JsonObject = {"caption": text} if text and kind not in ("sticker", "video_note") else {}
                return {**media_object(kind, media), **caption}
            case "location":
                place: JsonObject = {"latitude": wish.latitude, "longitude": wish.longitude}
                if wish.place_name is None:
                    return {"location": place}
                venue: JsonObject = {"location": place, "title": wish.place_name, "address": wish.address or ""}
                return {"venue": venue, "location": place}
            case "contact":
                first, _, last = wish.contact.name.partition(" ")
                card: JsonObject = {"phone_number": wish.contact.phone, "first_name": first}
                card |= {"last_name": last} if last else {}
                if customer.phone and wish.contact.phone.lstrip("+") == customer.phone:
                    card["user_id"] = int(customer.id)
                return {"contact": card}
            case "unsupported":
                return {wish.payload or "game": {"title": "A game", "description": "", "photo": []}}
            case _:
                raise SayError(f"Telegram users cannot do {wish.kind}")

    def _reaction(
        self, account: Account, customer: Customer, room: Customer, wish: SayWish, target: Message | None, at: float
    ) -> None:
        if wish.message_id is None:
            raise SayError("a reaction needs message_id")
        old = target.reactions.get("customer") if target else None
        new = wish.emoji if wish.kind == "reaction" else None
        if target is not None:
            target.reactions.pop("customer", None)
            if new is not None:
                target.reactions["customer"] = new
        body: JsonObject = {
            "chat": chat_object(room),
            "message_id": int(wish.message_id),
            "user": user_object(customer),
            "date": int(at),
            "old_reaction": [{"type": "emoji", "emoji": old}] if old else [],
            "new_reaction": [{"type": "emoji", "emoji": new}] if new else [],
        }
        self._update(account, room, "message_reaction", {"message_reaction": body})

    def _callback(
        self, account: Account, customer: Customer, room: Customer, wish: SayWish, target: Message | None, at: float
    ) -> None:
        body: JsonObject = {
            "id": wire.digits_id(18),
            "from": user_object(customer),
            "chat_instance": "-" + wire.digits_id(18),
            "data": wish.payload or wish.title or "ok",
        }
        if target is not None:
            body["message"] = target.content
        elif wish.message_id is not None:
            number = int(wish.message_id)
            body["message"] = {"chat": chat_object(room), "message_id": number, "date": 0}  # inaccessible
        self._update(account, room, "callback_query", {"callback_query": body})

    def _membership(self, account: Account, customer: Customer, *, blocked: bool, at: float) -> None:
        customer.blocked = blocked
        before, after = ("member", "kicked") if blocked else ("kicked", "member")
        bot = bot_object(account)
        new: JsonObject = {"user": bot, "status": after}
        if blocked:
            new["until_date"] = 0
        body: JsonObject = {
            "chat": chat_object(customer),
            "from": user_object(customer),
            "date": int(at),
            "old_chat_member": {"user": bot, "status": before},
            "new_chat_member": new,
        }
        self._update(account, customer, "my_chat_member", {"my_chat_member": body})

    def _update(self, account: Account, room: Customer, kind: str, content: JsonObject) -> None:
        if account.allowed_updates is not None and kind != "raw" and kind not in account.allowed_updates:
            return
        account.last_update += 1
        update: JsonObject = {"update_id": account.last_update, **content}
        self._simulation.emit(account, room, kind, update, part="update")

    # --- The business -------------------------------------------------------------------------------------------------

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        raise SayError("a bot has no app of its own to write from")

    def stages(self, message: Message) -> tuple[Status, ...]:
        return ()

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None:
        raise SayError("Telegram gives no receipts")


# --- Shapes -----------------------------------------------------------------------------------------------------------


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


def chat_object(room: Customer) -> JsonObject:
    if room.is_group:
        kind = "supergroup" if room.id.startswith("-100") else "group"
        return {"id": int(room.id), "type": kind, "title": room.name}
    chat: JsonObject = {"id": int(room.id), "type": "private", "first_name": room.first_name}
    if room.last_name:
        chat["last_name"] = room.last_name
    if room.username:
        chat["username"] = room.username
    return chat


def _text(text: str) -> JsonObject:
    content: JsonObject = {"text": text}
    if text.startswith("/"):
        length = len(text.split(None, 1)[0].encode("utf-16-le")) // 2
        content["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
    return content


def media_object(kind: str, media: Media) -> JsonObject:
    """A file inside a message. Photos come in sizes; an animation is a document too (facts, 4.2)."""
    file: JsonObject = {
        "file_id": media.id,
        "file_unique_id": "AQAD" + media.ticket[:12],
        "file_size": len(media.data),
    }
    match kind:
        case "image":
            small: JsonObject = {**file, "file_id": f"{media.id}-small", "width": 90, "height": 56, "file_size": 1000}
            return {"photo": [small, {**file, "width": 160, "height": 100}]}
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
            return {"sticker": {**file, **shape, "is_animated": False, "is_video": False}}
        case _:
            return {"document": {**file, "mime_type": media.mime_type, "file_name": media.filename}}


def sent_message(account: Account, room: Customer, number: int, at: float, content: JsonObject) -> JsonObject:
    """A message of the bot as the API answers it."""
    head: JsonObject = {"message_id": number, "from": bot_object(account), "chat": chat_object(room), "date": int(at)}
    return {**head, **content}
