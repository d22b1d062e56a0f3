"""From neutral parts to WhatsApp messages: checked against the capabilities, long texts split, one piece a message.

A piece's payload is the message object without recipient, context and correlation; for a stored file it lacks the
media id, which only the upload gives. Channel facts, section 1.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, assert_never

from channels.content import ContactCard
from channels.errors import ContentRefused
from channels.limits import bare_type, check_location, check_media, check_reaction, check_words, in_album
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
from channels.whatsapp.capabilities import CAPABILITIES, CHANNEL
from channels.whatsapp.choices import render_choices
from channels.whatsapp.fill import render_template
from channels.whatsapp.markup import marked_up
from channels.whatsapp.people import PHONE
from channels.wire import plain

_TYPE_OF: Final = {"voice": "audio"}
_CODEC: Final = re.compile(r"codecs\s*=\s*[\"']?([\w.-]+)", re.IGNORECASE)


def plan(parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
    """The pieces of a message, in order. Raises ``ContentRefused`` naming the part and the limit."""
    if not parts:
        raise ContentRefused("empty", "There is nothing to send.", limit="parts.minimum", allowed=1)
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
            return [render_template(part, index)]
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
    rule = check_media(part, CAPABILITIES, part=index, channel=CHANNEL)
    _check_codec(part, index)
    content: JsonObject = {} if part.url is None else {"link": part.url}
    if part.kind == "document" and part.filename:
        content["filename"] = plain(part.filename)
    if part.kind == "voice":
        content["voice"] = True
    kind = _TYPE_OF.get(part.kind, part.kind)
    payload: JsonObject = {"type": kind, kind: content}
    words = plain(part.caption or "")
    caption = marked_up(words, part.entities)[0].strip()
    if not caption:
        return [Piece(payload, media_ids=part.stored)]
    if rule.caption is None:
        # This kind carries no words, so they follow as a message of their own.
        return [Piece(payload, media_ids=part.stored), *_text(OutboundText(words, part.entities), index)]
    where = f"media.{part.kind}.caption.maximum"
    content["caption"] = check_words(caption, rule.caption, where, part=index, channel=CHANNEL)
    return [Piece(payload, text=caption, media_ids=part.stored)]


def _check_codec(part: OutboundMedia, index: int) -> None:
    """Of Ogg files WhatsApp takes only those with Opus. Few names of a type tell; those that do are believed."""
    codec = _CODEC.search(part.mime_type or "")
    if bare_type(part) == "audio/ogg" and codec is not None and codec[1].lower() != "opus":
        raise ContentRefused(
            "media_type",
            f"WhatsApp takes Ogg files with Opus only, not with {codec[1]}.",
            limit=f"media.{part.kind}.mime_types",
            allowed="audio/ogg; codecs=opus",
            part=index,
        )


def _location(part: OutboundLocation, index: int) -> JsonObject:
    check_location(part, part=index)
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


def _reaction(part: OutboundReaction, index: int) -> JsonObject:
    check_reaction(part, CAPABILITIES, part_index=index, channel=CHANNEL)
    return {"type": "reaction", "reaction": {"message_id": part.target, "emoji": plain(part.emoji or "")}}
