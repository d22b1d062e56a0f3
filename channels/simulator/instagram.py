"""Instagram's webhooks: stories, unsends, senderless edits, echoes without metadata, reads by mid (facts, 3.2)."""

from __future__ import annotations

from channels.simulator import page_events, wire
from channels.simulator.schemas import NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject

_ATTACHMENTS = {"image": "image", "video": "video", "audio": "audio", "voice": "audio", "document": "file"}


class InstagramVoice:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        if wish.kind in ("block", "unblock"):
            customer.blocked = wish.kind == "block"
            return None
        at = wish.at or self._simulation.world.now()
        target = account.find_message(customer.id, wish.message_id) if wish.message_id else None
        mid = wire.instagram_message_id()
        kind, content = self._act(account, wish, target, mid)
        item = page_events.from_customer(account, customer, at, content) if wish.kind != "raw" else content
        if account.edit_trap and kind == "message":
            trap: JsonObject = {"timestamp": int(at * 1000), "message_edit": {"mid": mid, "num_edit": 0}}
            self._simulation.emit(account, customer, "edit trap", trap, part="messaging")
        self._simulation.emit(account, customer, kind, item, part="standby" if wish.standby else "messaging")
        customer.wrote_at = max(customer.wrote_at or 0.0, at)
        if kind not in ("message", "postback"):
            return None
        return self._simulation.heard(
            account,
            customer,
            Message(mid, customer.id, True, wish.kind, wish.text or wish.title, content, at, reply_to=wish.reply_to),
        )

    def _act(self, account: Account, wish: SayWish, target: Message | None, mid: str) -> tuple[str, JsonObject]:
        match wish.kind:
            case "raw":
                return "raw", dict(wish.raw or {})
            case "reaction" | "unreact":
                return "reaction", page_events.reaction(wish, target, page_events.REACTION_NAMES)
            case "edit":
                return "edit", page_events.edit(wish, target)
            case "unsend":
                if target is None or not target.incoming:
                    raise SayError("unsend needs the message_id of a message of this customer")
                target.deleted = True
                return "unsend", {"message": {"mid": target.id, "is_deleted": True}}
            case "postback" | "start":
                return "postback", _postback(wish, mid)
            case "button" if not page_events.has_quick_replies(target):
                return "postback", _postback(wish, mid)
            case "referral" if not wish.text:
                default: JsonObject = {"ref": wish.payload or "shop", "source": "SHORTLINKS", "type": "OPEN_THREAD"}
                return "referral", {"referral": wish.referral or default}
            case _:
                return "message", {"message": self._message(account, wish, mid)}

    def _message(self, account: Account, wish: SayWish, mid: str) -> JsonObject:
        message: JsonObject = {"mid": mid}
        match wish.kind:
            case "text" | "referral":
                message["text"] = wish.text or ""
            case "button" | "quick_reply":
                title = wish.title or wish.text or "OK"
                message |= {"text": title, "quick_reply": {"payload": wish.payload or title}}
            case "story_reply":
                message |= {"text": wish.text or "", "reply_to": {"story": self._story(account, wish)}}
            case "unsupported":
                message["is_unsupported"] = True
            case _:
                message["attachments"] = [self._attachment(account, wish)]
                if wish.text:
                    message["text"] = wish.text
        if wish.reply_to:
            message["reply_to"] = {"mid": wish.reply_to}
        if wish.referral is not None:
            message["referral"] = wish.referral
        return message

    def _story(self, account: Account, wish: SayWish) -> JsonObject:
        return {"url": self._story_url(account, wish), "id": wish.story.id}

    def _story_url(self, account: Account, wish: SayWish) -> str:
        picture = wish.model_copy(update={"kind": "image", "url": wish.story.url})
        return page_events.attachment_url(self._simulation, account, picture)

    def _attachment(self, account: Account, wish: SayWish) -> JsonObject:
        if wish.kind in _ATTACHMENTS:
            url = page_events.attachment_url(self._simulation, account, wish)
            return {"type": _ATTACHMENTS[wish.kind], "payload": {"url": url}}
        match wish.kind:
            case "story_mention":
                return {"type": "story_mention", "payload": {"url": self._story_url(account, wish)}}
            case "like_heart":
                return {"type": "like_heart"}
            case "ephemeral":
                return {"type": "ephemeral"}
            case "share":
                url = wish.url or "https://www.instagram.example/p/abc"
                return {"type": "ig_post", "payload": {"url": url, "ig_post_media_id": "17900000000000001"}}
            case _:
                raise SayError(f"Instagram customers cannot do {wish.kind}")

    # --- The business -------------------------------------------------------------------------------------------------

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        text = wish.text or ""
        mid, at = wire.instagram_message_id(), self._simulation.world.now()
        message = Message(mid, customer.id, False, "text", text, {"text": text}, at, native=True)
        self.echo(account, customer, message)
        return self._simulation.world.add_message(account, customer, message)

    def echo(self, account: Account, customer: Customer, message: Message) -> None:
        """Carries nothing by which a sender could know its own message, except text and time."""
        if not account.echoes:
            return
        echo: JsonObject = {"mid": message.id, "is_echo": True}
        if message.text is not None:
            echo["text"] = message.text
        if message.reply_to is not None:
            echo["reply_to"] = {"mid": message.reply_to}
        if "attachments" in message.content:
            echo["attachments"] = message.content["attachments"]
        item = page_events.from_business(account, customer, message.at, {"message": echo})
        self._simulation.emit(account, customer, "echo", item, part="messaging")

    def stages(self, message: Message) -> tuple[Status, ...]:
        return ("read",)

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None:
        message.raise_status(status)
        item = page_events.from_customer(account, customer, self._simulation.world.now(), {"read": {"mid": message.id}})
        self._simulation.emit(account, customer, "read", item, part="messaging", receipt=True)


def _postback(wish: SayWish, mid: str) -> JsonObject:
    title = wish.title or ("Start" if wish.kind == "start" else wish.text or "OK")
    postback: JsonObject = {"mid": mid, "title": title, "payload": wish.payload or title}
    if wish.referral is not None:
        postback["referral"] = wish.referral
    return {"postback": postback}
