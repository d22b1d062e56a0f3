"""Messenger's webhooks: customers of a Page, echoes, and receipts by watermark (facts, 2.2)."""

from __future__ import annotations

from channels.simulator import page_events, wire
from channels.simulator.schemas import NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject

PAGE_INBOX_APP = 26390203743090
_ATTACHMENTS = {"image": "image", "video": "video", "audio": "audio", "voice": "audio", "document": "file"}


class MessengerVoice:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        if wish.kind in ("block", "unblock"):
            customer.blocked = wish.kind == "block"  # no event exists for this (facts, 2.2)
            return None
        at = wish.at or self._simulation.world.now()
        target = account.find_message(customer.id, wish.message_id) if wish.message_id else None
        mid = wire.messenger_message_id()
        kind, content = self._act(account, wish, target, mid)
        item = page_events.from_customer(account, customer, at, content) if wish.kind != "raw" else content
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
            case "postback" | "start":
                return "postback", _postback(wish, mid)
            case "button" if not page_events.has_quick_replies(target):
                return "postback", _postback(wish, mid)
            case "referral":
                default: JsonObject = {"ref": wish.payload or "shop", "source": "SHORTLINK", "type": "OPEN_THREAD"}
                return "referral", {"referral": wish.referral or default}
            case "opt_out" | "opt_in":
                status = "STOP_NOTIFICATIONS" if wish.kind == "opt_out" else "RESUME_NOTIFICATIONS"
                optin: JsonObject = {
                    "type": "notification_messages",
                    "notification_messages_token": wish.payload or "token-1",
                    "notification_messages_status": status,
                }
                return "optin", {"optin": optin}
            case _:
                return "message", {"message": self._message(account, wish, mid)}

    def _message(self, account: Account, wish: SayWish, mid: str) -> JsonObject:
        message: JsonObject = {"mid": mid}
        if wish.kind in ("button", "quick_reply"):
            title = wish.title or wish.text or "OK"
            message |= {"text": title, "quick_reply": {"payload": wish.payload or title}}
        elif wish.kind == "text":
            message["text"] = wish.text or ""
        else:
            message["attachments"] = [self._attachment(account, wish)]
            if wish.text and wish.kind in _ATTACHMENTS:
                message["text"] = wish.text
        if wish.reply_to:
            message["reply_to"] = {"mid": wish.reply_to}
        if wish.referral is not None:
            message["referral"] = wish.referral
        return message

    def _attachment(self, account: Account, wish: SayWish) -> JsonObject:
        if wish.kind in _ATTACHMENTS:
            url = page_events.attachment_url(self._simulation, account, wish)
            return {"type": _ATTACHMENTS[wish.kind], "payload": {"url": url}}
        match wish.kind:
            case "sticker":
                url = page_events.attachment_url(self._simulation, account, wish)
                return {"type": "sticker", "payload": {"url": url, "sticker_id": 369239263222822}}
            case "location":
                coordinates: JsonObject = {"lat": wish.latitude, "long": wish.longitude}
                return {"type": "location", "payload": {"coordinates": coordinates}}
            case "share":
                url = wish.url or "https://shop.example/item"
                return {"type": "fallback", "payload": {"url": url, "title": wish.title or "A link"}}
            case "unsupported":
                return {"type": wish.payload or "appointment_booking", "payload": {}}
            case _:
                raise SayError(f"Messenger customers cannot do {wish.kind}")

    # --- The business -------------------------------------------------------------------------------------------------

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        text = wish.text or ""
        mid, at = wire.messenger_message_id(), self._simulation.world.now()
        message = Message(mid, customer.id, False, "text", text, {"text": text}, at, native=True)
        self.echo(account, customer, message)
        return self._simulation.world.add_message(account, customer, message)

    def echo(self, account: Account, customer: Customer, message: Message) -> None:
        """Goes out for every message of the Page, whoever sent it."""
        if not account.echoes:
            return
        app_id = PAGE_INBOX_APP if message.native else int(account.app_id)
        echo: JsonObject = {"mid": message.id, "is_echo": True, "app_id": app_id}
        if message.text is not None:
            echo["text"] = message.text
        if message.correlation is not None:
            echo["metadata"] = message.correlation
        if message.reply_to is not None:
            echo["reply_to"] = {"mid": message.reply_to}
        if "attachments" in message.content:
            echo["attachments"] = message.content["attachments"]
        item = page_events.from_business(account, customer, message.at, {"message": echo})
        self._simulation.emit(account, customer, "echo", item, part="messaging")

    def stages(self, message: Message) -> tuple[Status, ...]:
        return ("delivered", "read")

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None:
        message.raise_status(status)
        now = self._simulation.world.now()
        watermark = int(message.at * 1000)
        content: JsonObject = (
            {"delivery": {"mids": [message.id], "watermark": watermark}}
            if status == "delivered"
            else {"read": {"watermark": watermark}}
        )
        item = page_events.from_customer(account, customer, now, content)
        self._simulation.emit(account, customer, status, item, part="messaging", receipt=True)


def _postback(wish: SayWish, mid: str) -> JsonObject:
    title = wish.title or ("Get Started" if wish.kind == "start" else wish.text or "OK")
    postback: JsonObject = {"mid": mid, "title": title, "payload": wish.payload or title}
    if wish.referral is not None:
        postback["referral"] = wish.referral
    return {"postback": postback}
