"""The parts of a WhatsApp message, by its type. Source: channel facts, section 1.2.

Total: each reader yields at least one part, and what it cannot make sense of is an ``UnsupportedPart`` with the
content as it came.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from channels.content import (
    ChoiceKind,
    ChoicePart,
    ContactCard,
    ContactsPart,
    LocationPart,
    MediaKind,
    MediaPart,
    MediaRef,
    OrderItem,
    OrderPart,
    Part,
    SystemPart,
    TextPart,
    UnsupportedPart,
)
from channels.inbound import Referral
from channels.types import JsonObject, JsonValue
from channels.whatsapp.people import address_of
from channels.wire import (
    LONG,
    SHORT,
    Undecodable,
    as_id,
    as_integer,
    as_link,
    as_number,
    as_object,
    as_page,
    as_text,
    decode,
    kept,
    kept_object,
    objects,
)

Reader: TypeAlias = Callable[[JsonObject], Part | None]
"""Gets the whole message (its content stands under its type). ``None``: there is nothing usable in it."""


def parts_of(message: JsonObject, surrounding_trouble: str | None = None) -> tuple[Part, ...]:
    """The parts of ``message``: its content, and a word about what of it WhatsApp could not deliver.

    ``surrounding_trouble`` is the reason where the message came without content and without a reason of its own.
    """
    kind = message.get("type")
    # The great majority, without the detour over the table.
    if kind == "text" and "errors" not in message:
        body = as_text(as_object(message.get("text")).get("body"))
        if body is not None:
            return (TextPart(body),)
    name = as_text(kind, SHORT) or "untyped"
    reader = _READERS.get(name)
    part = reader(message) if reader else None
    trouble = trouble_of(message.get("errors")) if "errors" in message else None
    if part is None:
        return (_unsupported(name, message, trouble or surrounding_trouble),)
    if trouble is None:
        return (part,)
    return (part, UnsupportedPart(name, trouble, {"errors": kept(message.get("errors"))}))


def _unsupported(name: str, message: JsonObject, trouble: str | None) -> UnsupportedPart:
    # The name of what is unsupported (poll, view-once, …) tells more than that it is.
    told = as_text(as_object(message.get(name)).get("type"), SHORT) if name == "unsupported" else None
    content = {key: kept(value) for key, value in message.items() if key not in _ENVELOPE}
    return UnsupportedPart(told or name, trouble, content or None)


_ENVELOPE: Final = frozenset(
    ("from", "from_user_id", "from_parent_user_id", "id", "timestamp", "type", "context", "to", "to_user_id")
)


def trouble_of(errors: JsonValue) -> str | None:
    """Why WhatsApp could not deliver some content, in its words."""
    for error in objects(errors):
        details = as_object(error.get("error_data")).get("details")
        return as_text(details, LONG) or as_text(error.get("title"), LONG) or as_text(error.get("message"), LONG)
    return None


# --- Readers, one a type ----------------------------------------------------------------------------------------------


def _text(message: JsonObject) -> Part | None:
    body = as_text(as_object(message.get("text")).get("body"))
    return TextPart(body) if body is not None else None


def _media(kind: MediaKind) -> Reader:
    def read(message: JsonObject) -> Part | None:
        content = message.get(kind)
        if not isinstance(content, dict):
            # What could not be fetched may come without its object: still a picture, only that nobody can show it.
            return MediaPart(kind, None) if trouble_of(message.get("errors")) else None
        is_voice = kind == "audio" and content.get("voice") is True
        return MediaPart("voice" if is_voice else kind, media_ref(content), caption=as_text(content.get("caption")))

    return read


def media_ref(content: JsonObject) -> MediaRef | None:
    """The way to a file: its id, or (rarely) only its link; ``None`` where neither was sent."""
    media_id = as_id(content.get("id"))
    url = None if media_id else as_link(content.get("url"))
    if media_id is None and url is None:
        return None
    return MediaRef(
        id=media_id,
        url=url,
        mime_type=as_text(content.get("mime_type"), SHORT),
        size=as_integer(content.get("file_size")),
        sha256=_hex_of_base64(content.get("sha256")),
        filename=as_text(content.get("filename"), SHORT),
    )


def _hex_of_base64(value: JsonValue) -> str | None:
    text = as_text(value)
    if text is None or len(text) > 100:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == 32 else None


def _location(message: JsonObject) -> Part | None:
    content = as_object(message.get("location"))
    latitude, longitude = as_number(content.get("latitude")), as_number(content.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return LocationPart(
        latitude,
        longitude,
        name=as_text(content.get("name"), SHORT),
        address=as_text(content.get("address"), LONG),
        url=as_page(content.get("url")),
    )


def _contacts(message: JsonObject) -> Part | None:
    cards = tuple(_card(card) for card in objects(message.get("contacts")))
    return ContactsPart(cards) if cards else None


def _card(card: JsonObject) -> ContactCard:
    name = as_object(card.get("name"))
    parts = (as_text(name.get("first_name"), SHORT), as_text(name.get("last_name"), SHORT))
    phones = objects(card.get("phones"))
    ids = (address_of(phone.get(key)) for phone in phones for key in ("wa_id", "user_id"))
    return ContactCard(
        name=as_text(name.get("formatted_name"), SHORT) or " ".join(filter(None, parts)) or None,
        phones=_told(as_text(phone.get("phone"), SHORT) for phone in phones),
        emails=_told(as_text(email.get("email"), SHORT) for email in objects(card.get("emails"))),
        organisation=as_text(as_object(card.get("org")).get("company"), SHORT),
        vcard=as_text(card.get("vcard")),
        addresses=tuple(dict.fromkeys(address for address in ids if address)),
    )


def _told(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(value for value in values if value)


def _button(message: JsonObject) -> Part | None:
    content = message.get("button")
    if not isinstance(content, dict):
        return None
    title = as_text(content.get("text"), LONG)
    payload = as_text(content.get("payload"), LONG)
    return ChoicePart("button", payload, title) if title or payload else None


def _interactive(message: JsonObject) -> Part | None:
    content = as_object(message.get("interactive"))
    kind = as_text(content.get("type"), SHORT)
    answer = content.get(kind) if kind else None
    if not isinstance(answer, dict):
        return None
    if kind == "button_reply":
        return _tapped("button", answer)
    if kind == "list_reply":
        return _tapped("list", answer)
    if kind == "nfm_reply":
        return ChoicePart(
            "flow", as_text(answer.get("name"), SHORT), as_text(answer.get("body"), LONG), data=_flow_data(answer)
        )
    if kind == "call_permission_reply":
        return SystemPart("call_permission_reply", as_text(answer.get("response"), SHORT), kept_object(answer))
    return None


def _tapped(kind: ChoiceKind, answer: JsonObject) -> Part | None:
    payload, title = as_text(answer.get("id"), LONG), as_text(answer.get("title"), LONG)
    if payload is None and title is None:
        return None
    return ChoicePart(kind, payload, title, as_text(answer.get("description"), LONG))


def _flow_data(answer: JsonObject) -> JsonObject | None:
    """The answer of a flow is JSON within a string, now and then invalid: then the string itself is the answer."""
    raw = answer.get("response_json")
    if not isinstance(raw, str):
        return kept_object(raw)
    try:
        return kept_object(decode(raw.encode()))
    except Undecodable:
        return {"response_json": raw}


def _order(message: JsonObject) -> Part | None:
    content = message.get("order")
    if not isinstance(content, dict):
        return None
    items = tuple(filter(None, map(_order_item, objects(content.get("product_items")))))
    text = as_text(content.get("text"))
    return OrderPart(items, as_text(content.get("catalog_id"), SHORT), text) if items or text else None


def _order_item(item: JsonObject) -> OrderItem | None:
    product = as_text(item.get("product_retailer_id"), SHORT)
    if product is None:
        return None
    quantity = as_number(item.get("quantity"))
    return OrderItem(
        product,
        1.0 if quantity is None else quantity,
        as_number(item.get("item_price")),
        as_text(item.get("currency"), SHORT),
    )


def _system(message: JsonObject) -> Part | None:
    content = message.get("system")
    if not isinstance(content, dict):
        return None
    data = as_object(kept(content))
    if "identity" in message:
        data["identity"] = kept(message["identity"])
    return SystemPart(as_text(content.get("type"), SHORT) or "system", as_text(content.get("body"), LONG), data)


def _welcome(message: JsonObject) -> Part | None:
    return SystemPart("request_welcome")


_READERS: Final[Mapping[str, Reader]] = {
    "text": _text,
    "image": _media("image"),
    "video": _media("video"),
    "audio": _media("audio"),
    "document": _media("document"),
    "sticker": _media("sticker"),
    "location": _location,
    "contacts": _contacts,
    "button": _button,
    "interactive": _interactive,
    "order": _order,
    "system": _system,
    "request_welcome": _welcome,
}


# --- What surrounds the content ---------------------------------------------------------------------------------------


def referral_of(message: JsonObject) -> Referral | None:
    """The ad or post the person came from, or the product they ask about."""
    referral = message.get("referral")
    if isinstance(referral, dict) and referral:
        return Referral(
            source=as_text(referral.get("source_type"), SHORT) or "referral",
            id=as_text(referral.get("source_id"), SHORT),
            ref=as_text(referral.get("ctwa_clid"), LONG),
            url=as_page(referral.get("source_url")),
            headline=as_text(referral.get("headline"), LONG),
            body=as_text(referral.get("body"), LONG),
            data=kept_object(referral),
        )
    product = as_object(message.get("context")).get("referred_product")
    if not isinstance(product, dict) or not product:
        return None
    return Referral("product", id=as_text(product.get("product_retailer_id"), SHORT), data=kept_object(product))
