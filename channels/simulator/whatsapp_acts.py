"""What a WhatsApp customer's act looks like inside ``messages[]`` (facts, 1.2)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from channels.simulator import wire
from channels.simulator.schemas import MEDIA_KINDS, SayKind, SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.whatsapp_errors import error_object
from channels.simulator.whatsapp_people import ids
from channels.simulator.world import Account, Customer, Message
from channels.types import JsonObject, JsonValue

TAPS: frozenset[SayKind] = frozenset({
    "button", "quick_reply", "list_reply", "postback", "flow_reply", "empty_interactive", "contact_info",
    "call_permission",
})  # fmt: skip
"""Answers to a message of the business: they quote it."""
CLOSED: frozenset[SayKind] = frozenset({"edit", "unsend", "number_changed", "user_id_changed", "identity_changed"})
"""These open no messaging window."""


@dataclass(frozen=True, slots=True)
class Act:
    type: str
    body: JsonObject
    """Beside ``from``, ``id``, ``timestamp`` and ``type``."""
    errors: tuple[JsonObject, ...] = ()
    """Of the whole value, not of the message."""
    with_contacts: bool = True


def act_of(simulation: Simulation, account: Account, customer: Customer, wish: SayWish, target: Message | None) -> Act:
    text = wish.text or ""
    match wish.kind:
        case "text":
            return Act("text", {"text": {"body": text}})
        case kind if kind in MEDIA_KINDS and kind not in ("animation", "video_note"):
            return _media(simulation, account, wish)
        case "location":
            return _location(wish)
        case "contact":
            return _contact(wish)
        case "contact_info":
            return _contact_info(customer, wish)
        case "reaction" | "unreact":
            return Act("reaction", {"reaction": _reaction(wish, target)})
        case "edit":
            return _edit(wish, target)
        case "unsend":
            if target is None:
                raise SayError("unsend needs the message_id of a message of this customer")
            target.deleted = True
            return Act("revoke", {"revoke": {"original_message_id": target.id}})
        case "button" | "quick_reply" | "list_reply" | "postback":
            return _tap(wish, target)
        case "flow_reply":
            given = wish.payload or '{"flow_token":"token-1"}'
            answer: JsonObject = {"name": "flow", "body": wish.text or "Sent", "response_json": given}
            return Act("interactive", {"interactive": {"type": "nfm_reply", "nfm_reply": answer}})
        case "call_permission":
            consent: JsonObject = {"response": wish.payload or "accept", "response_source": "user_action"}
            reply: JsonObject = {"type": "call_permission_reply", "call_permission_reply": consent}
            return Act("interactive", {"interactive": reply})
        case "empty_interactive":
            return Act("interactive", {}, errors=(error_object(131000),))
        case "order":
            item: JsonObject = {
                "product_retailer_id": wish.payload or "sku-1", "quantity": 2, "item_price": 9.5, "currency": "EUR",
            }  # fmt: skip
            return Act("order", {"order": {"catalog_id": "900100", "text": text, "product_items": [item]}})
        case "number_changed" | "user_id_changed" | "identity_changed":
            return _system(simulation, customer, wish)
        case "referral":
            return Act("text", {"text": {"body": text}, "referral": wish.referral or _REFERRAL})
        case "unsupported":
            about: JsonObject = {"type": wish.payload or "poll"}
            return Act("unsupported", {"errors": [error_object(131051)], "unsupported": about})
        case _:
            raise SayError(f"WhatsApp customers cannot do {wish.kind}")


_REFERRAL: JsonObject = {
    "source_url": "https://fb.me/abc", "source_id": "120", "source_type": "ad", "headline": "Offer", "body": "Summer",
    "media_type": "image", "image_url": "https://scontent.example/ad.jpg", "ctwa_clid": "clid-1",
    "welcome_message": {"text": "How can we help?"},
}  # fmt: skip


# --- Media and places -------------------------------------------------------------------------------------------------


def media_about(simulation: Simulation, account: Account, wish: SayWish) -> tuple[str, JsonObject]:
    """The type and the object by which a file is named."""
    media = simulation.media_of(account, wish)
    digest = base64.b64encode(hashlib.sha256(media.data).digest()).decode("ascii")
    link = simulation.download_link(account, media)
    about: JsonObject = {"id": media.id, "mime_type": media.mime_type, "sha256": digest, "url": link}
    kind: str = "audio" if wish.kind == "voice" else wish.kind
    if kind == "audio":
        about["voice"] = wish.kind == "voice"
    elif kind == "sticker":
        about["animated"] = False
    elif wish.text:
        about["caption"] = wish.text
    if kind == "document":
        about["filename"] = media.filename
    return kind, about


def _media(simulation: Simulation, account: Account, wish: SayWish) -> Act:
    if wish.error_code is not None:
        failed = "audio" if wish.kind == "voice" else wish.kind
        return Act(failed, {"errors": [error_object(wish.error_code)]})
    kind, about = media_about(simulation, account, wish)
    return Act(kind, {kind: about})


def _location(wish: SayWish) -> Act:
    place: JsonObject = {"latitude": wish.latitude, "longitude": wish.longitude}
    place |= {"name": wish.place_name} if wish.place_name else {}
    place |= {"address": wish.address} if wish.address else {}
    place |= {"url": wish.url} if wish.url else {}
    return Act("location", {"location": place})


def _contact(wish: SayWish) -> Act:
    first = wish.contact.name.split(" ", 1)[0]
    return Act("contacts", {"contacts": [{
        "name": {"formatted_name": wish.contact.name, "first_name": first},
        "phones": [{"phone": wish.contact.phone, "wa_id": wish.contact.phone.lstrip("+"), "type": "CELL"}],
    }]})  # fmt: skip


def _contact_info(customer: Customer, wish: SayWish) -> Act:
    """The answer to ``request_contact_info``: the phone of whoever hid it, without a name."""
    if not customer.phone:
        raise SayError("contact_info needs a customer with a phone")
    phone = f"+{customer.phone}"
    card = f"BEGIN:VCARD\nVERSION:3.0\nTEL;type=CELL;waid={customer.phone}:{phone}\nEND:VCARD"
    about: JsonObject = {"phone": phone, "wa_id": customer.phone, "type": "CELL"}
    about |= {"user_id": customer.bsuid} if customer.bsuid else {}
    return Act("contacts", {"contacts": [{"origin": wish.payload or "request", "vcard": card, "phones": [about]}]})


# --- On other messages ------------------------------------------------------------------------------------------------


def _reaction(wish: SayWish, target: Message | None) -> JsonObject:
    """A removal comes without ``emoji``, or with an empty one."""
    if wish.message_id is None:
        raise SayError("a reaction needs message_id")
    if target is not None:
        target.reactions.pop("customer", None)
        if wish.kind == "reaction":
            target.reactions["customer"] = wish.emoji
    about: JsonObject = {"message_id": wish.message_id}
    if wish.kind == "reaction":
        about["emoji"] = wish.emoji
    elif wish.empty_emoji:
        about["emoji"] = ""
    return about


def _edit(wish: SayWish, target: Message | None) -> Act:
    if target is None:
        raise SayError("edit needs the message_id of a message of this customer")
    text = wish.text or ""
    target.text, target.edits = text, target.edits + 1
    kind = wire.as_text(target.content.get("type")) or "text"
    shown: JsonObject = {"body": text}
    if kind != "text":
        shown = {**wire.as_object(target.content.get(kind)), "caption": text}
    inner: JsonObject = {"type": kind, kind: shown}
    if wish.reply_to:
        inner["context"] = {"id": wish.reply_to}
    return Act("edit", {"edit": {"original_message_id": target.id, "message": inner}})


def _tap(wish: SayWish, target: Message | None) -> Act:
    """A template's quick reply comes as ``button``, everything else as ``interactive``."""
    title = wish.title or wish.text or "OK"
    payload = wish.payload or title
    if target is not None and target.kind == "template":
        return Act("button", {"button": {"payload": payload, "text": title}})
    reply: JsonValue = {"id": payload, "title": title}
    offered = wire.as_object(target.content.get("interactive")).get("type") if target is not None else None
    kind = "list_reply" if "list" in (offered, wish.kind.removesuffix("_reply")) else "button_reply"
    return Act("interactive", {"interactive": {"type": kind, kind: reply}})


# --- Changes of a person ----------------------------------------------------------------------------------------------


def _system(simulation: Simulation, customer: Customer, wish: SayWish) -> Act:
    now = simulation.world.now()
    match wish.kind:
        case "number_changed":
            notice = f"User {customer.name} changed from {customer.phone} to {wish.payload}"
            about: JsonObject = {"type": "user_changed_number", "wa_id": wish.payload, "body": notice}
        case "user_id_changed":
            about = {
                "type": "user_changed_user_id",
                "user_id": wish.payload,
                "previous_user_id": customer.bsuid,
                "body": f"User {customer.name} changed their user id",
            }
            if customer.parent_bsuid:
                about |= {"parent_user_id": customer.parent_bsuid, "previous_parent_user_id": customer.parent_bsuid}
        case _:
            seal = wish.payload or wire.digits_id(12)
            identity: JsonObject = {"acknowledged": False, "created_timestamp": str(int(now)), "hash": seal}
            about = {"type": "customer_identity_changed", "identity": seal, "body": "The security code changed"}
            about |= ids(customer, phone="customer", user="user_id")
            return Act("system", {"system": about, "identity": identity})
    if not wish.payload:
        raise SayError(f"{wish.kind} needs the new one as payload")
    return Act("system", {"system": about}, with_contacts=False)


def change(simulation: Simulation, account: Account, customer: Customer, wish: SayWish) -> None:
    """After the notice: the customer goes by the new number or id. A new number brings a new BSUID."""
    assert wish.payload is not None
    if wish.kind == "number_changed":
        customer.former |= {old for old in (customer.phone, customer.bsuid) if old}
        customer.phone, customer.bsuid = wish.payload.lstrip("+"), f"US.{wire.digits_id(18)}"
    elif customer.bsuid:
        customer.former.add(customer.bsuid)
        customer.bsuid = wish.payload
    customer.former -= {customer.phone or "", customer.bsuid or ""}
    simulation.world.index(account, customer)
