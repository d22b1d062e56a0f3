"""Neutral parts to the bodies of ``POST /messages``, checked and split. What Pigeon cannot carry is refused here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from channels.errors import ContentRefused
from channels.limits import check_media, check_reaction, check_words, in_album
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
from channels.types import JsonValue
from channels.wire import plain
from example_channel.capabilities import CAPABILITIES, CHANNEL


def plan(parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
    if not parts:
        raise ContentRefused("empty", "There is nothing to send.", limit="parts.minimum", allowed=1)
    return tuple(piece for index, part in enumerate(parts) for piece in _render(part, index))


def _render(part: OutboundPart, index: int) -> Iterator[Piece]:
    match part:
        case OutboundText():
            yield from _text(part.text, index)
        case OutboundMedia():
            yield _media(part, index)
        case OutboundAlbum():
            for [item] in in_album(part, CAPABILITIES.album, index):
                yield _media(item, index)
        case OutboundChoices():
            yield _choices(part, index)
        case OutboundReaction():
            check_reaction(part, CAPABILITIES, part_index=index, channel=CHANNEL)
        case OutboundTemplate():
            raise ContentRefused("not_offered", f"{CHANNEL} has no templates.", limit="templates", part=index)
        case OutboundLocation() | OutboundContacts():
            reason = f"{CHANNEL} has no such kind of message."
            raise ContentRefused("not_offered", reason, limit=part.type, allowed=0, part=index)
        case _:
            assert_never(part)


def _text(text: str, index: int) -> Iterator[Piece]:
    words = split(plain(text), CAPABILITIES.text)
    if not words:
        raise ContentRefused("empty", "The text is empty.", limit="text.minimum", allowed=1, part=index)
    for one in words:
        yield Piece({"text": one}, text=one)


def _media(part: OutboundMedia, index: int) -> Piece:
    rule = check_media(replace(part, caption=None), CAPABILITIES, part=index, channel=CHANNEL)
    caption = plain(part.caption or "").strip()
    if rule.caption is not None:
        limit = f"media.{part.kind}.caption.maximum"
        caption = check_words(caption, rule.caption, limit, part=index, channel=CHANNEL)
    content: dict[str, JsonValue] = {"text": caption} if caption else {}
    if part.url is not None:
        content["image"] = part.url
    # A stored file is uploaded by ``send``, which then knows its id.
    return Piece(content, caption or None, part.stored, lane="media")


def _choices(part: OutboundChoices, index: int) -> Piece:
    where, rule = f"choices.{part.style}", CAPABILITIES.choices.get(part.style)
    if rule is None:
        reason = f"{CHANNEL} has buttons only."
        raise ContentRefused("not_offered", reason, limit="choices", allowed="buttons", part=index)
    choices = [choice for section in part.sections for choice in section.choices]
    if not choices:
        reason = "There is nothing to choose from."
        raise ContentRefused("empty", reason, limit=f"{where}.minimum", allowed=1, part=index)
    if len(choices) > rule.maximum:
        reason = f"{CHANNEL} shows at most {rule.maximum} buttons."
        raise ContentRefused("too_many", reason, limit=f"{where}.maximum", allowed=rule.maximum, part=index)
    text = "\n\n".join(words for words in (part.header, part.text, part.footer) if words and not words.isspace())
    buttons: list[JsonValue] = []
    for choice in choices:
        if choice.url is not None:
            reason = "A button cannot open a link here."
            raise ContentRefused("not_offered", reason, limit=f"{where}.links", allowed=0, part=index)
        title = check_words(choice.title, rule.title, f"{where}.title.maximum", part=index, channel=CHANNEL)
        payload = choice.payload or title
        payload = check_words(payload, rule.payload, f"{where}.payload.maximum", part=index, channel=CHANNEL)
        buttons.append({"title": title, "tapped": payload})
    text = check_words(text, rule.text, f"{where}.text.maximum", part=index, channel=CHANNEL)
    if not text:
        raise ContentRefused("empty", "Buttons need a text.", limit=f"{where}.text.minimum", allowed=1, part=index)
    return Piece({"text": text, "buttons": buttons}, text=text)
