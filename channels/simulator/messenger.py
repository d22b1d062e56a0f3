"""What only Messenger's webhooks have: places, stickers, opt-ins, receipts by watermark (facts, 2.2)."""

from __future__ import annotations

from channels.simulator import page_events, wire
from channels.simulator.page_voice import PageVoice
from channels.simulator.schemas import SayWish
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject

PAGE_INBOX_APP = 26390203743090
_THUMBS_UP = 369239263222822


class MessengerVoice(PageVoice):
    product = "Messenger"
    topics = {  # noqa: RUF012 - declared ClassVar by the base
        "message": "messages", "echo": "message_echoes", "edit": "message_edits", "reaction": "message_reactions",
        "postback": "messaging_postbacks", "referral": "messaging_referrals", "optin": "messaging_optins",
        "delivered": "message_deliveries", "read": "message_reads",
    }  # fmt: skip
    start_title = "Get Started"
    referral_source = "SHORTLINK"

    def new_mid(self) -> str:
        return wire.messenger_message_id()

    def own_act(
        self, account: Account, customer: Customer, wish: SayWish, target: Message | None
    ) -> tuple[str, JsonObject] | None:
        if wish.kind not in ("opt_out", "opt_in"):
            return None
        customer.marketing_stopped = wish.kind == "opt_out"
        token = wish.payload or f"token-{customer.id}"
        account.handles[token] = customer.id
        status = "STOP_NOTIFICATIONS" if customer.marketing_stopped else "RESUME_NOTIFICATIONS"
        return "optin", {"optin": {
            "type": "notification_messages",
            "notification_messages_token": token,
            "notification_messages_status": status,
        }}  # fmt: skip

    def own_message(self, account: Account, wish: SayWish) -> JsonObject | None:
        return None

    def own_attachment(self, account: Account, wish: SayWish) -> JsonObject | None:
        match wish.kind:
            case "sticker":
                url = page_events.attachment_url(self._simulation, account, wish)
                number = int(wish.payload) if wish.payload and wish.payload.isdecimal() else _THUMBS_UP
                shape = "image" if account.meta.legacy_stickers else "sticker"
                return {"type": shape, "payload": {"url": url, "sticker_id": number}}
            case "location":
                coordinates: JsonObject = {"lat": wish.latitude, "long": wish.longitude}
                return {"type": "location", "payload": {"coordinates": coordinates}}
            case "share":
                url = wish.url or "https://shop.example/item"
                return {"type": "fallback", "payload": {"url": url, "title": wish.title or "A link"}}
            case "reel":
                about: JsonObject = {
                    "url": wish.url or "/reel/1001/", "title": wish.title or "A reel", "reel_video_id": 1001,
                }  # fmt: skip
                return {"type": wish.payload or "reel", "payload": about}
            case "post":
                url = wish.url or "https://www.facebook.example/posts/1002"
                return {"type": wish.payload or "post", "payload": {"url": url, "title": wish.title or "A post"}}
            case "unsupported":
                return {"type": wish.payload or "appointment_booking", "payload": {}}
        return None

    def echo_extra(self, account: Account, message: Message) -> JsonObject:
        extra: JsonObject = {"app_id": PAGE_INBOX_APP if message.native else int(account.app_id)}
        if message.correlation is not None:
            extra["metadata"] = message.correlation
        return extra

    def stages(self, message: Message) -> tuple[Status, ...]:
        return ("delivered", "read")

    def receipt_content(self, message: Message, status: Status) -> JsonObject:
        watermark = int(message.at * 1000)
        if status == "delivered":
            return {"delivery": {"mids": [message.id], "watermark": watermark}}
        return {"read": {"watermark": watermark}}
