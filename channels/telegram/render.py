"""Neutral content as Bot API calls. A piece's payload is ``{"method", "params"}`` without recipient and quote, and
``"files"`` where stored files are uploaded with it (``channels.telegram.media``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from channels.capabilities import TextLimit
from channels.content import ContactCard
from channels.errors import ContentRefused
from channels.limits import bare_emoji, check_location, check_reaction
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
from channels.split import fits
from channels.telegram.capabilities import CAPABILITIES, CHANNEL
from channels.telegram.keyboard import render_choices
from channels.telegram.media import render_album, render_media
from channels.telegram.message_key import MessageKey
from channels.telegram.texts import render_text
from channels.types import JsonObject, JsonValue

_VCARD: Final = TextLimit(2048, "bytes")


def render(parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
    """Raises ``ContentRefused``."""
    if not parts:
        raise ContentRefused("empty", "There is nothing to send.", limit="parts.minimum", allowed=1)
    return tuple(piece for index, part in enumerate(parts) for piece in _render_part(index, part))


def _render_part(index: int, part: OutboundPart) -> Iterable[Piece]:
    match part:
        case OutboundText():
            return render_text(part, index)
        case OutboundMedia():
            return render_media(part, index)
        case OutboundAlbum():
            return render_album(part, index)
        case OutboundLocation():
            return [_render_location(part, index)]
        case OutboundContacts():
            return _render_contacts(part, index)
        case OutboundChoices():
            return render_choices(part, index)
        case OutboundReaction():
            return [_render_reaction(part, index)]
        case OutboundTemplate():
            raise ContentRefused("not_offered", "Telegram has no templates.", limit="templates", part=index)
        case _:
            assert_never(part)


def _render_location(part: OutboundLocation, index: int) -> Piece:
    check_location(part, part=index)
    params: JsonObject = {"latitude": part.latitude, "longitude": part.longitude}
    if not (part.name or part.address):
        return Piece({"method": "sendLocation", "params": params})
    # A venue needs both words; what is missing is filled with what there is.
    title, address = part.name or part.address, part.address or part.name
    return Piece({"method": "sendVenue", "params": {**params, "title": title, "address": address}}, text=title)


def _render_contacts(part: OutboundContacts, index: int) -> list[Piece]:
    """Telegram shows one person a message."""
    if not part.cards:
        raise ContentRefused("empty", "There is no contact to send.", limit="contacts.minimum", allowed=1, part=index)
    return [_render_contact(card, index) for card in part.cards]


def _render_contact(card: ContactCard, index: int) -> Piece:
    if not card.phones:
        raise ContentRefused("invalid", "A contact needs a phone number.", limit="contacts.phone", part=index)
    name = card.name or card.organisation or card.phones[0]
    params: JsonObject = {"phone_number": card.phones[0], "first_name": name}
    if card.vcard and fits(card.vcard, _VCARD):
        params["vcard"] = card.vcard
    return Piece({"method": "sendContact", "params": params}, text=card.name)


def _render_reaction(part: OutboundReaction, index: int) -> Piece:
    target = MessageKey.find(part.target)
    if target is None or target.connection is not None:
        raise ContentRefused("invalid", "That message cannot be reacted to.", limit="reactions", part=index)
    check_reaction(part, CAPABILITIES, part_index=index, channel=CHANNEL)
    reaction: list[JsonValue] = [{"type": "emoji", "emoji": bare_emoji(part.emoji)}] if part.emoji else []
    return Piece({"method": "setMessageReaction", "params": {"message_id": target.message, "reaction": reaction}})
