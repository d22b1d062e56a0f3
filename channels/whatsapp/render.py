"""From neutral parts to WhatsApp messages: checked against the capabilities, long texts split, one piece a message.

A piece's payload is the message object without recipient, context and correlation; for a stored file it lacks the
media id, which only the upload gives. Channel facts, section 1.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from channels.capabilities import MEDIA_WORDS
from channels.content import ContactCard
from channels.errors import ContentRefused
from channels.limits import in_album
from channels.outbound import (
    OutboundAlbum,
    OutboundChoices,
    OutboundContacts,
    OutboundLocation,
    OutboundMedia,
    OutboundPart,
    OutboundReaction,
    OutboundTemplate,
    OutboundText,
    Piece,
)
from channels.split import split
from channels.types import JsonObject, JsonValue
from channels.whatsapp.capabilities import CAPABILITIES
from channels.whatsapp.choices import render_choices
from channels.whatsapp.limits import checked
from channels.whatsapp.markup import marked_up
from channels.whatsapp.people import PHONE
from channels.wire import plain

_TYPE_OF: Final = {"voice": "audio"}


def plan(parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
    """The pieces of a message, in order. Raises ``ContentRefused`` naming the part and the limit."""
    if not parts:
        raise ContentRefused("empty", "There is nothing to send.", limit="parts")
    return tuple(piece for index, part in enumerate(parts) for piece in _render(part, index))


def _render(part: OutboundPart, index: int) -> list[Piece]:
    match part:
        case OutboundText():
            return _text(part, index)
        case OutboundMedia():
            return _media(part, index)
        case OutboundAlbum():
            return [piece for item in in_album(part, 1, index) for one in item for piece in _media(one, index)]
        case OutboundLocation():
            return [Piece(_location(part, index))]
        case OutboundContacts():
            return [Piece(_contacts(part, index))]
        case OutboundChoices():
            return [Piece(render_choices(part, index), text=plain(part.text))]
        case OutboundTemplate():
            return [Piece(_template(part, index))]
        case OutboundReaction():
            return [Piece(_reaction(part, index))]
        case _ as never:
            assert_never(never)


def _text(part: OutboundText, index: int) -> list[Piece]:
    marked, protected = marked_up(part.text, part.entities)
    pieces = split(plain(marked), CAPABILITIES.text, protected)
    if not pieces:
        raise ContentRefused("empty", "The text is empty.", limit="text.minimum", allowed=1, part=index)
    return [
        Piece({"type": "text", "text": {"body": body, "preview_url": part.preview_links}}, text=body) for body in pieces
    ]


def _media(part: OutboundMedia, index: int) -> list[Piece]:
    rule = CAPABILITIES.media.get(part.kind)
    if rule is None:
        allowed = ", ".join(CAPABILITIES.media)
        raise ContentRefused(
            "not_offered", f"WhatsApp has no {MEDIA_WORDS[part.kind]}.", limit="media", allowed=allowed, part=index
        )
    where = f"media.{part.kind}"
    mime_type = (part.mime_type or "").partition(";")[0].strip().lower()
    if mime_type and rule.mime_types and mime_type not in rule.mime_types:
        raise ContentRefused(
            "media_type",
            f"WhatsApp does not take {mime_type} files as {MEDIA_WORDS[part.kind]}.",
            limit=f"{where}.mime_types",
            allowed=", ".join(rule.mime_types),
            part=index,
        )
    if part.size is not None and part.size > rule.max_bytes:
        raise ContentRefused(
            "too_large",
            f"The file is too large for WhatsApp: {part.size} of {rule.max_bytes} bytes.",
            limit=f"{where}.max_bytes",
            allowed=rule.max_bytes,
            part=index,
        )
    content: JsonObject = {}
    if part.media_id is None:
        content["link"] = _link(part.url, index)
    if part.kind == "document" and part.filename:
        content["filename"] = plain(part.filename)
    if part.kind == "voice":
        content["voice"] = True
    caption = plain(part.caption or "").strip()
    if caption and rule.caption is not None:
        content["caption"] = checked(caption, rule.caption, f"{where}.caption.maximum", index)
    kind = _TYPE_OF.get(part.kind, part.kind)
    piece = Piece({"type": kind, kind: content}, text=caption or None, media_ids=part.stored)
    if caption and rule.caption is None:
        # This kind carries no words, so they follow as a message of their own.
        return [Piece(piece.payload, media_ids=part.stored), *_text(OutboundText(caption), index)]
    return [piece]


def _link(url: str | None, index: int) -> str:
    if url is None or not url.startswith(("https://", "http://")) or plain(url) != url or " " in url:
        raise ContentRefused("invalid", "The file has no usable link.", limit="media.url", part=index)
    return url


def _location(part: OutboundLocation, index: int) -> JsonObject:
    if not (-90 <= part.latitude <= 90 and -180 <= part.longitude <= 180):
        raise ContentRefused("invalid", "There is no such place on Earth.", limit="location", part=index)
    content: JsonObject = {"latitude": part.latitude, "longitude": part.longitude}
    if part.name:
        content["name"] = plain(part.name)
    if part.address:
        content["address"] = plain(part.address)
    return {"type": "location", "location": content}


def _contacts(part: OutboundContacts, index: int) -> JsonObject:
    if not part.cards:
        raise ContentRefused("empty", "There is no contact to send.", limit="contacts.minimum", allowed=1, part=index)
    return {"type": "contacts", "contacts": [_card(card, index) for card in part.cards]}


def _card(card: ContactCard, index: int) -> JsonObject:
    name = card.name or card.organisation or next(iter(card.phones), None) or next(iter(card.emails), None)
    if not name:
        raise ContentRefused("invalid", "A contact card needs a name.", limit="contacts.name", part=index)
    known = {address.value for address in card.addresses if address.kind == PHONE}
    # WhatsApp takes a formatted name only together with one of the name's parts.
    content: JsonObject = {"name": {"formatted_name": plain(name), "first_name": plain(name)}}
    phones: list[JsonValue] = []
    for phone in card.phones:
        digits = "".join(filter(str.isdigit, phone))
        phones.append({"phone": plain(phone), "wa_id": digits} if digits in known else {"phone": plain(phone)})
    if phones:
        content["phones"] = phones
    if card.emails:
        content["emails"] = [{"email": plain(email)} for email in card.emails]
    if card.organisation:
        content["org"] = {"company": plain(card.organisation)}
    return content


def _template(part: OutboundTemplate, index: int) -> JsonObject:
    if not part.name or not part.language:
        raise ContentRefused("invalid", "A template needs a name and a language.", limit="template", part=index)
    named = {"parameter_name" in parameter for parameter in _parameters(part.components)}
    if len(named) > 1:
        raise ContentRefused(
            "invalid", "Values of a template are named or numbered, never both.", limit="template", part=index
        )
    template: JsonObject = {"name": part.name, "language": {"code": part.language}}
    if part.components:
        template["components"] = list(part.components)
    return {"type": "template", "template": template}


def _parameters(components: Sequence[JsonObject]) -> list[JsonObject]:
    """The text values of header and body: the ones that may be named."""
    found: list[JsonObject] = []
    for component in components:
        parameters = component.get("parameters")
        if component.get("type") in ("header", "body") and isinstance(parameters, list):
            found += [item for item in parameters if isinstance(item, dict) and item.get("type") == "text"]
    return found


def _reaction(part: OutboundReaction, index: int) -> JsonObject:
    if not part.target:
        raise ContentRefused("invalid", "A reaction needs a message to react to.", limit="reactions", part=index)
    return {"type": "reaction", "reaction": {"message_id": part.target, "emoji": plain(part.emoji or "")}}
