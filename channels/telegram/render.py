"""Neutral content as Bot API calls. A piece's payload is ``{"method", "params"}`` without recipient and quote, and
``"file"``: the field of the call into which the stored file goes. Texts go out as plain text with entities, so that
nothing a person typed can be taken for markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, assert_never

from channels.capabilities import MEDIA_WORDS, TextLimit
from channels.content import ContactCard, Entity, MediaKind
from channels.errors import ContentRefused
from channels.limits import in_album
from channels.outbound import (
    Choice,
    ChoiceSection,
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
from channels.split import fits, split_spans
from channels.telegram.capabilities import ALBUM, CAPABILITIES, PAYLOAD, REACTIONS, TEXT
from channels.telegram.entities import clip_entities, write_entities
from channels.telegram.message_key import MessageKey
from channels.types import JsonObject, JsonValue

_MEDIA_CALLS: Final[dict[MediaKind, tuple[str, str]]] = {
    "image": ("sendPhoto", "photo"),
    "video": ("sendVideo", "video"),
    "audio": ("sendAudio", "audio"),
    "voice": ("sendVoice", "voice"),
    "document": ("sendDocument", "document"),
    "animation": ("sendAnimation", "animation"),
    "sticker": ("sendSticker", "sticker"),
    "video_note": ("sendVideoNote", "video_note"),
}
_ALBUM_FAMILIES: Final[dict[MediaKind, str]] = {
    "image": "pictures",
    "video": "pictures",
    "audio": "audio",
    "document": "document",
}
"""What may stand together in one album."""
_MOST_LATITUDE, _MOST_LONGITUDE = 90, 180
_VARIATION: Final = "\ufe0f"


def render(parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
    """Raises ``ContentRefused``."""
    if not parts:
        raise ContentRefused("empty", "There is nothing to send.", limit="content")
    numbered = list(enumerate(parts))
    pieces: list[Piece] = []
    for family, group in groupby(numbered, key=lambda item: _album_family(item[1])):
        if family is None:
            for index, part in group:
                pieces += _render_part(index, part)
        else:
            pieces += _render_albums([(index, part) for index, part in group if isinstance(part, OutboundMedia)])
    return tuple(pieces)


def _render_part(index: int, part: OutboundPart) -> Iterator[Piece]:
    match part:
        case OutboundText():
            yield from render_text(part, index)
        case OutboundMedia():
            yield _render_media(part, index)
        case OutboundAlbum():
            for album in in_album(part, ALBUM, index):
                yield from _render_albums([(index, one) for one in album])
        case OutboundLocation():
            yield _render_location(part, index)
        case OutboundContacts():
            if not part.cards:
                raise ContentRefused("empty", "There is no contact to send.", limit="contacts", part=index)
            for card in part.cards:
                yield _render_contact(card, index)
        case OutboundChoices():
            yield from _render_choices(part, index)
        case OutboundReaction():
            yield _render_reaction(part, index)
        case OutboundTemplate():
            raise ContentRefused("not_offered", "Telegram has no templates.", limit="templates", part=index)
        case _:
            assert_never(part)


# --- Text -------------------------------------------------------------------------------------------------------------


def render_text(part: OutboundText, index: int = 0) -> list[Piece]:
    extras: JsonObject = {} if part.preview_links else {"link_preview_options": {"is_disabled": True}}
    return _text_pieces(part.text, part.entities, index, extras)


def _text_pieces(text: str, entities: Sequence[Entity], index: int, extras: JsonObject) -> list[Piece]:
    spans = split_spans(text, TEXT, [(entity.offset, entity.length) for entity in entities])
    if not spans:
        raise ContentRefused("empty", "The text has no visible character.", limit="text.minimum", part=index)
    pieces: list[Piece] = []
    for start, end in spans:
        words = text[start:end]
        params: JsonObject = {"text": words, **extras}
        written = write_entities(words, clip_entities(entities, start, end))
        if written:
            params["entities"] = written
        pieces.append(Piece({"method": "sendMessage", "params": params}, text=words))
    return pieces


# --- Media ------------------------------------------------------------------------------------------------------------


def _render_media(part: OutboundMedia, index: int) -> Piece:
    _check_media(part, index)
    method, field = _MEDIA_CALLS[part.kind]
    params: JsonObject = {} if part.url is None else {field: part.url}
    if part.caption:
        params["caption"] = part.caption
    payload: JsonObject = {"method": method, "params": params}
    if part.url is None:
        payload["file"] = field
    return Piece(payload, part.caption, part.stored, "media")


def _check_media(part: OutboundMedia, index: int) -> None:
    name, rule = f"media.{part.kind}", CAPABILITIES.media[part.kind]
    if not part.url and not part.media_id:
        raise ContentRefused("invalid", "The file is neither stored nor linked.", limit=name, part=index)
    most = rule.max_bytes_by_link if part.url and rule.max_bytes_by_link is not None else rule.max_bytes
    if most == 0:
        reason = f"Telegram takes {MEDIA_WORDS[part.kind]} only as uploads."
        raise ContentRefused("not_offered", reason, limit=f"{name}.max_bytes_by_link", allowed=0, part=index)
    if part.size is not None and part.size > most:
        limit = f"{name}.max_bytes_by_link" if part.url else f"{name}.max_bytes"
        raise ContentRefused("too_large", "The file is too large.", limit=limit, allowed=most, part=index)
    mime_type = (part.mime_type or "").partition(";")[0].strip().lower()
    if mime_type and rule.mime_types and mime_type not in rule.mime_types:
        allowed = ", ".join(rule.mime_types)
        reason = f"Telegram does not take {mime_type} files as {MEDIA_WORDS[part.kind]}."
        raise ContentRefused("media_type", reason, limit=f"{name}.mime_types", allowed=allowed, part=index)
    if part.caption and (rule.caption is None or not fits(part.caption, rule.caption)):
        limit, allowed_length = f"{name}.caption", rule.caption.maximum if rule.caption else 0
        reason = "The caption is too long." if rule.caption else "This kind takes no caption."
        raise ContentRefused("too_long", reason, limit=limit, allowed=allowed_length, part=index)


def _album_family(part: OutboundPart) -> str | None:
    """Only linked files: an upload carries one stored file."""
    return _ALBUM_FAMILIES.get(part.kind) if isinstance(part, OutboundMedia) and part.url else None


def _render_albums(parts: Sequence[tuple[int, OutboundMedia]]) -> Iterator[Piece]:
    for first in range(0, len(parts), ALBUM):
        chosen = parts[first : first + ALBUM]
        if len(chosen) == 1:
            yield _render_media(chosen[0][1], chosen[0][0])
            continue
        media: list[JsonValue] = []
        for index, part in chosen:
            _check_media(part, index)
            item: JsonObject = {"type": _MEDIA_CALLS[part.kind][1], "media": part.url}
            media.append({**item, "caption": part.caption} if part.caption else item)
        captions = "\n".join(part.caption for _, part in chosen if part.caption)
        yield Piece({"method": "sendMediaGroup", "params": {"media": media}}, captions or None, lane="media")


# --- Places, people, reactions ----------------------------------------------------------------------------------------


def _render_location(part: OutboundLocation, index: int) -> Piece:
    if not (abs(part.latitude) <= _MOST_LATITUDE and abs(part.longitude) <= _MOST_LONGITUDE):
        raise ContentRefused("invalid", "There is no such place on Earth.", limit="location", part=index)
    params: JsonObject = {"latitude": part.latitude, "longitude": part.longitude}
    if not (part.name or part.address):
        return Piece({"method": "sendLocation", "params": params})
    # A venue needs both words; what is missing is filled with what there is.
    title, address = part.name or part.address, part.address or part.name
    return Piece({"method": "sendVenue", "params": {**params, "title": title, "address": address}}, text=title)


def _render_contact(card: ContactCard, index: int) -> Piece:
    if not card.phones:
        raise ContentRefused("invalid", "A contact needs a phone number.", limit="contacts", part=index)
    params: JsonObject = {
        "phone_number": card.phones[0],
        "first_name": card.name or card.organisation or card.phones[0],
    }
    if card.vcard and fits(card.vcard, TextLimit(2048, "bytes")):
        params["vcard"] = card.vcard
    return Piece({"method": "sendContact", "params": params}, text=card.name)


def _render_reaction(part: OutboundReaction, index: int) -> Piece:
    target = MessageKey.find(part.target)
    if target is None or target.connection is not None:
        raise ContentRefused("invalid", "That message cannot be reacted to.", limit="reactions", part=index)
    reaction: list[JsonValue] = []
    if part.emoji:
        emoji = part.emoji.replace(_VARIATION, "")
        if emoji not in REACTIONS:
            raise ContentRefused(
                "not_offered",
                "Telegram does not offer this emoji as a reaction.",
                limit="reaction_emoji",
                allowed=" ".join(REACTIONS),
                part=index,
            )
        reaction.append({"type": "emoji", "emoji": emoji})
    return Piece({"method": "setMessageReaction", "params": {"message_id": target.message, "reaction": reaction}})


# --- Choices ----------------------------------------------------------------------------------------------------------


def _render_choices(part: OutboundChoices, index: int) -> list[Piece]:
    """The text, split where it is long, with the keyboard below its last piece."""
    rows = [_button(part, choice, index) for section in part.sections for choice in section.choices]
    limit, rule = f"choices.{part.style}", CAPABILITIES.choices[part.style]
    if not rows:
        raise ContentRefused("empty", "There is nothing to choose from.", limit=f"{limit}.minimum", part=index)
    if len(rows) > rule.maximum:
        reason = f"At most {rule.maximum} choices fit below a message."
        raise ContentRefused("too_many", reason, limit=f"{limit}.maximum", allowed=rule.maximum, part=index)
    keyboard: list[JsonValue] = [[row] for row in rows]
    markup: JsonObject = {"inline_keyboard": keyboard}
    if part.style == "quick_replies":
        markup = {"keyboard": keyboard, "one_time_keyboard": True, "resize_keyboard": True}
    text, entities = _choice_text(part)
    pieces = _text_pieces(text, entities, index, {})
    last = pieces[-1].payload["params"]
    assert isinstance(last, dict)
    pieces[-1] = Piece(
        {"method": "sendMessage", "params": {**last, "reply_markup": markup}},
        text=pieces[-1].text,
    )
    return pieces


def _choice_text(part: OutboundChoices) -> tuple[str, tuple[Entity, ...]]:
    """Telegram's buttons have neither header nor description, so what they say goes into the text."""
    blocks = [part.header, part.text, *(_section_text(section) for section in part.sections), part.footer]
    text = "\n\n".join(block for block in blocks if block and not block.isspace())
    return text, (Entity("bold", 0, len(part.header)),) if part.header and not part.header.isspace() else ()


def _section_text(section: ChoiceSection) -> str:
    lines = [f"{choice.title}: {choice.description}" for choice in section.choices if choice.description]
    return "\n".join([section.title, *lines] if section.title else lines)


def _button(part: OutboundChoices, choice: Choice, index: int) -> JsonObject:
    limit, rule = f"choices.{part.style}", CAPABILITIES.choices[part.style]
    if not choice.title.strip() or not fits(choice.title, rule.title):
        reason = f"A choice needs a title of 1 to {rule.title.maximum} characters."
        raise ContentRefused("too_long", reason, limit=f"{limit}.title", allowed=rule.title.maximum, part=index)
    if choice.url is not None:
        if not rule.links:
            reason = "A quick reply cannot open a link."
            raise ContentRefused("not_offered", reason, limit=f"{limit}.links", part=index)
        return {"text": choice.title, "url": choice.url}
    if part.style == "quick_replies":
        return {"text": choice.title}
    payload = choice.payload or choice.title
    if not fits(payload, PAYLOAD):
        reason = f"What a button gives back may have {PAYLOAD.maximum} bytes."
        raise ContentRefused("too_long", reason, limit=f"{limit}.payload", allowed=PAYLOAD.maximum, part=index)
    return {"text": choice.title, "callback_data": payload}
