"""WhatsApp's webhooks: what customers do and how messages of the business fare (facts, 1.2)."""

from __future__ import annotations

import base64
import hashlib

from channels.simulator import wire
from channels.simulator.schemas import MEDIA_KINDS, NativeWish, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.world import Account, Customer, Message, Status
from channels.types import JsonObject, JsonValue

ERROR_TITLES = {
    130472: "User's number is part of an experiment",
    131000: "Something went wrong",
    131026: "Message undeliverable",
    131042: "Business eligibility payment issue",
    131047: "Re-engagement message",
    131049: "This message was not delivered to maintain healthy ecosystem engagement.",
    131050: "User has stopped marketing messages",
    131051: "Message type is currently not supported.",
    131053: "Media upload error",
}
_ERROR_DETAILS = {
    131026: "Message Undeliverable.",
    131047: "More than 24 hours have passed since the customer last replied to this number.",
    131050: "Message failed to send because the recipient has stopped marketing messages from this business.",
    131053: "Downloading media from weblink failed.",
}


def error_object(code: int) -> JsonObject:
    title = ERROR_TITLES.get(code, "Message failed")
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": _ERROR_DETAILS.get(code, title)},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }


class WhatsAppVoice:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    # --- Customers ----------------------------------------------------------------------------------------------------

    def say(self, account: Account, customer: Customer, wish: SayWish) -> Message | None:
        if wish.kind == "raw":
            change = dict(wish.raw or {})
            self._simulation.emit(account, customer, "raw", change, part="changes")
            return None
        if wish.kind in ("opt_out", "opt_in"):
            self._preference(account, customer, stop=wish.kind == "opt_out")
            return None
        if wish.kind in ("block", "unblock"):
            customer.blocked = wish.kind == "block"  # no event exists for this (facts, 1.2)
            return None
        at = wish.at or self._simulation.world.now()
        target = account.find_message(customer.id, wish.message_id) if wish.message_id else None
        kind, content = self._content(account, customer, wish, target)
        message_id = wire.whatsapp_message_id(customer.id)
        body: JsonObject = {**_sender(customer), "id": message_id, "timestamp": str(int(at)), "type": kind, **content}
        context = self._context(account, customer, wish, target)
        if context:
            body["context"] = context
        if wish.referral is not None:
            body["referral"] = wish.referral
        group = self._simulation.group_of(account, wish)
        if group is not None:
            body["group_id"] = group.id
            group.wrote_at = at
        value = self._value(account, customer, with_contacts=kind != "system")
        value["messages"] = [body]
        self._simulation.emit(account, customer, "message", {"field": "messages", "value": value}, part="changes")
        if wish.kind == "number_changed":
            customer.phone = wish.payload or customer.phone
        return self._simulation.heard(
            account,
            customer,
            Message(message_id, customer.id, True, wish.kind, wish.text, body, at, reply_to=wish.reply_to),
        )

    def _content(
        self, account: Account, customer: Customer, wish: SayWish, target: Message | None
    ) -> tuple[str, JsonObject]:
        text = wish.text or ""
        match wish.kind:
            case "text":
                return "text", {"text": {"body": text}}
            case kind if kind in MEDIA_KINDS and kind not in ("animation", "video_note"):
                return self._media(account, wish)
            case "location":
                place: JsonObject = {"latitude": wish.latitude, "longitude": wish.longitude}
                place |= {"name": wish.place_name} if wish.place_name else {}
                place |= {"address": wish.address} if wish.address else {}
                return "location", {"location": place}
            case "contact":
                first = wish.contact.name.split(" ", 1)[0]
                return "contacts", {"contacts": [{
                    "name": {"formatted_name": wish.contact.name, "first_name": first},
                    "phones": [{"phone": wish.contact.phone, "wa_id": wish.contact.phone.lstrip("+"), "type": "CELL"}],
                }]}  # fmt: skip
            case "reaction" | "unreact":
                return "reaction", {"reaction": _reaction(wish, target)}
            case "edit":
                if target is None:
                    raise SayError("edit needs the message_id of a message of this customer")
                target.text, target.edits = text, target.edits + 1
                inner: JsonObject = {"type": "text", "text": {"body": text}}
                return "edit", {"edit": {"original_message_id": target.id, "message": inner}}
            case "unsend":
                if target is None:
                    raise SayError("unsend needs the message_id of a message of this customer")
                target.deleted = True
                return "revoke", {"revoke": {"original_message_id": target.id}}
            case "button" | "quick_reply" | "list_reply" | "postback":
                return _tap(wish, target)
            case "order":
                item: JsonObject = {
                    "product_retailer_id": wish.payload or "sku-1", "quantity": 2, "item_price": 9.5, "currency": "EUR",
                }  # fmt: skip
                return "order", {"order": {"catalog_id": "900100", "text": text, "product_items": [item]}}
            case "number_changed":
                notice = f"User {customer.name} changed from {customer.phone} to {wish.payload}"
                return "system", {"system": {"type": "user_changed_number", "wa_id": wish.payload, "body": notice}}
            case "referral":
                referral = wish.referral or {
                    "source_url": "https://fb.me/abc", "source_id": "120", "source_type": "ad", "headline": "Offer",
                    "body": "Summer", "media_type": "image", "image_url": "https://scontent.example/ad.jpg",
                    "ctwa_clid": "clid-1",
                }  # fmt: skip
                return "text", {"text": {"body": text}, "referral": referral}
            case "unsupported":
                return "unsupported", {
                    "errors": [error_object(131051)],
                    "unsupported": {"type": wish.payload or "poll"},
                }
            case _:
                raise SayError(f"WhatsApp customers cannot do {wish.kind}")

    def _media(self, account: Account, wish: SayWish) -> tuple[str, JsonObject]:
        media = self._simulation.media_of(account, wish)
        digest = base64.b64encode(hashlib.sha256(media.data).digest()).decode("ascii")
        about: JsonObject = {"id": media.id, "mime_type": media.mime_type, "sha256": digest}
        kind = "audio" if wish.kind == "voice" else wish.kind
        if kind == "audio":
            about["voice"] = wish.kind == "voice"
        elif kind == "sticker":
            about["animated"] = False
        elif wish.text:
            about["caption"] = wish.text
        if kind == "document":
            about["filename"] = media.filename
        return kind, {kind: about}

    def _context(
        self, account: Account, customer: Customer, wish: SayWish, target: Message | None
    ) -> JsonObject | None:
        if wish.forwarded:
            return {"forwarded": True}
        quoted = wish.reply_to or (target.id if target and wish.kind in _TAPS else None)
        if quoted is None:
            return None
        message = account.find_message(customer.id, quoted)
        if message is not None and message.incoming:
            return {**_sender(customer), "id": quoted}
        return {"from": account.display_phone_number, "id": quoted}

    def _preference(self, account: Account, customer: Customer, *, stop: bool) -> None:
        customer.marketing_stopped = stop
        value = self._value(account, customer)
        value["user_preferences"] = [{
            **_ids(customer, phone="wa_id", user="user_id"),
            "detail": "User requested to stop marketing messages" if stop else "User requested to resume",
            "category": "marketing_messages",
            "value": "stop" if stop else "resume",
            "timestamp": int(self._simulation.world.now()),
        }]  # fmt: skip
        change: JsonObject = {"field": "user_preferences", "value": value}
        self._simulation.emit(account, customer, "preference", change, part="changes")

    # --- The business -------------------------------------------------------------------------------------------------

    def native(self, account: Account, customer: Customer, wish: NativeWish) -> Message:
        text = wish.text or ""
        message_id, at = wire.whatsapp_message_id(customer.id), self._simulation.world.now()
        echo: JsonObject = {
            "from": account.display_phone_number,
            **_ids(customer, phone="to", user="to_user_id"),
            "id": message_id,
            "timestamp": str(int(at)),
            "type": "text",
            "text": {"body": text},
        }
        value = self._value(account, customer)
        value["message_echoes"] = [echo]
        change: JsonObject = {"field": "smb_message_echoes", "value": value}
        self._simulation.emit(account, customer, "echo", change, part="changes")
        message = Message(message_id, customer.id, False, "text", text, echo, at, native=True)
        return self._simulation.world.add_message(account, customer, message)

    def stages(self, message: Message) -> tuple[Status, ...]:
        if message.error_code is not None:
            return ("failed",)
        if message.kind == "reaction":
            return ("sent",)
        return ("sent", "delivered", "read")

    def receipt(self, account: Account, customer: Customer, message: Message, status: Status) -> None:
        message.raise_status(status)
        about: JsonObject = {
            "id": message.id,
            "status": status,
            "timestamp": str(int(self._simulation.world.now())),
            **_ids(customer, phone="recipient_id", user="recipient_user_id"),
        }
        if customer.is_group:
            about |= {"recipient_type": "group", "recipient_id": customer.id}
        if message.correlation is not None:
            about["biz_opaque_callback_data"] = message.correlation
        if status == "failed":
            message.status = "failed"
            about["errors"] = [error_object(message.error_code or 131000)]
        elif status in ("sent", "delivered"):
            category = "utility" if message.kind == "template" else "service"
            about["pricing"] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": category}
        value = self._value(account, customer, with_contacts=status != "failed")
        value["statuses"] = [about]
        change: JsonObject = {"field": "messages", "value": value}
        self._simulation.emit(account, customer, f"status {status}", change, part="changes", receipt=True)

    # --- Shapes -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _value(account: Account, customer: Customer, *, with_contacts: bool = True) -> JsonObject:
        value: JsonObject = {
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": account.display_phone_number,
                "phone_number_id": account.account_id,
            },
        }
        if with_contacts:
            profile: JsonObject = {"name": customer.name}
            if customer.username:
                profile["username"] = customer.username
            value["contacts"] = [{"profile": profile, **_ids(customer, phone="wa_id", user="user_id")}]
        return value


_TAPS = frozenset({"button", "quick_reply", "list_reply", "postback"})


def _ids(customer: Customer, *, phone: str, user: str) -> JsonObject:
    """Keys are absent, not null, when they are not told (facts, 1.2)."""
    ids: JsonObject = {}
    if customer.phone and not customer.hide_phone:
        ids[phone] = customer.phone
    if customer.bsuid:
        ids[user] = customer.bsuid
    return ids


def _sender(customer: Customer) -> JsonObject:
    return _ids(customer, phone="from", user="from_user_id")


def _reaction(wish: SayWish, target: Message | None) -> JsonObject:
    if wish.message_id is None:
        raise SayError("a reaction needs message_id")
    if target is not None:
        target.reactions.pop("customer", None)
        if wish.kind == "reaction":
            target.reactions["customer"] = wish.emoji
    about: JsonObject = {"message_id": wish.message_id}
    if wish.kind == "reaction":
        about["emoji"] = wish.emoji
    return about


def _tap(wish: SayWish, target: Message | None) -> tuple[str, JsonObject]:
    """A template's quick reply comes as ``button``, everything else as ``interactive`` (facts, 1.2)."""
    title = wish.title or wish.text or "OK"
    payload = wish.payload or title
    if target is not None and target.kind == "template":
        return "button", {"button": {"payload": payload, "text": title}}
    reply: JsonValue = {"id": payload, "title": title}
    offered = wire.as_object(target.content.get("interactive")).get("type") if target is not None else None
    kind = "list_reply" if "list" in (offered, wish.kind.removesuffix("_reply")) else "button_reply"
    return "interactive", {"interactive": {"type": kind, kind: reply}}
