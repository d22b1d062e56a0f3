"""Messenger webhooks (``object: page``) as neutral events. Pure and total (facts 2.1, 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from channels.content import OrderItem, OrderPart, SystemPart
from channels.inbound import AccountChanged, Inbound, PreferenceChanged, StatusReported, StatusUpTo
from channels.meta.messaging import Dialect, Item, Reader, parse_entries, without_grants
from channels.meta.messaging_events import (
    HANDOVER,
    message_reader,
    notice_reader,
    reaction_reader,
    read_edit,
    read_postback,
    read_referral,
    read_seen,
    received,
)
from channels.meta.messaging_parts import AttachmentReader, appointment, location, media, share, template
from channels.types import JsonObject
from channels.wire import (
    LONG,
    SHORT,
    as_id,
    as_list,
    as_number,
    as_object,
    as_text,
    as_time,
    kept,
    kept_object,
    objects,
)

_FACEBOOK: Final = "https://www.facebook.com"
_INSTAGRAM: Final = "https://www.instagram.com"

_ATTACHMENTS: Final[Mapping[str, AttachmentReader]] = {
    "image": media("image"),
    "audio": media("audio"),
    "video": media("video"),
    "file": media("document"),
    "sticker": media("sticker"),
    "fallback": share(kind="link"),
    "location": location,
    "template": template,
    "reel": share(id_key="reel_video_id", site=_FACEBOOK),
    "ig_reel": share(id_key="reel_video_id", site=_INSTAGRAM),
    "post": share(site=_FACEBOOK),
    "ig_post": share(site=_INSTAGRAM),
    "appointment_booking": appointment,
}


def _delivery(item: Item, delivery: JsonObject) -> Sequence[Inbound]:
    """The watermark stands for every message up to it; the mids are optional and only name some of them again."""
    peer, at = item.peer, item.occurred_at
    if peer is None:
        return ()
    found: list[Inbound] = [
        StatusReported(item.account_id, external_id, "delivered", at, peer=peer)
        for external_id in map(as_id, as_list(delivery.get("mids")))
        if external_id is not None
    ]
    watermark = as_time(delivery.get("watermark"))
    if watermark is not None:
        found.append(StatusUpTo(item.account_id, peer, "delivered", watermark, at))
    return found


def _optin(item: Item, optin: JsonObject) -> Sequence[Inbound]:
    """A subscription to notification messages, or a tap on a plugin of the business's site.

    Tokens that allow sending are left out: they are a credential, and nothing here sends with them.
    """
    if item.peer is None:
        return ()
    if optin.get("type") == "notification_messages":
        wanted = optin.get("notification_messages_status") != "STOP_NOTIFICATIONS"
        title = as_text(optin.get("title"), SHORT)
        return (PreferenceChanged(item.account_id, item.peer, "marketing_messages", wanted, item.occurred_at, title),)
    shown = as_object(without_grants(kept(optin)))
    part = SystemPart("optin", as_text(optin.get("ref"), LONG), shown)
    return received(item, "optin", part, optin, referral={"source": "optin", **shown})


def _order(item: Item, order: JsonObject) -> Sequence[Inbound]:
    products = objects(order.get("products"))
    bought = tuple(found for found in map(_order_item, products) if found is not None)
    if len(bought) < max(1, len(products)):
        # An order shown without one of its products would be worse than one shown as it came.
        return received(item, "order", SystemPart("order", data=kept_object(order)), order)
    return received(item, "order", OrderPart(bought, text=as_text(order.get("note"))), order)


def _order_item(product: JsonObject) -> OrderItem | None:
    product_id = as_id(product.get("retailer_id")) or as_id(product.get("id"))
    quantity = as_number(product.get("quantity"))
    if product_id is None or quantity is None:
        return None
    return OrderItem(product_id, quantity, as_number(product.get("unit_price")), as_text(product.get("currency"), 3))


_POLICY: Final[Mapping[str, tuple[Literal["ok", "degraded", "paused"], str]]] = {
    "block": ("paused", "Meta keeps this Page from sending because of its policies."),
    "unblock": ("ok", "Meta lets this Page send again."),
    "warning": ("degraded", "Meta warns this Page because of its policies."),
}


def _policy(item: Item, enforcement: JsonObject) -> Sequence[Inbound]:
    """Meta blocks the Page from sending, warns it, or lets it go again."""
    action = as_text(enforcement.get("action"), SHORT) or ""
    health, reason = _POLICY.get(action, (None, "Meta judged this Page by its policies."))
    if words := as_text(enforcement.get("reason"), LONG):
        reason = f"{reason} Meta says: {words}"
    data = kept_object(enforcement) or {}
    return (AccountChanged(item.account_id, "policy", item.occurred_at, health, reason, data),)


_READERS: Final[Mapping[str, Reader]] = {
    "message": message_reader(_ATTACHMENTS),
    "message_edit": read_edit,
    "reaction": reaction_reader(opens_window=True),
    "postback": read_postback,
    "referral": read_referral,
    "optin": _optin,
    "delivery": _delivery,
    "read": read_seen,
    "order": _order,
    **HANDOVER,
    "policy_enforcement": _policy,
    "account_linking": notice_reader("account_linking"),
    "response_feedback": notice_reader("response_feedback"),
    "inbox_labels": notice_reader("inbox_labels"),
}

_DIALECT: Final = Dialect("messenger_user", _READERS, ref_kind="messenger_ref")


def parse(payload: JsonObject) -> list[Inbound]:
    return parse_entries(payload, _DIALECT)
