"""From neutral parts to pieces for the Send API: everything is checked here, against the product's capabilities.

A piece's payload has one key: ``message`` (a Send API message), ``upload`` (the attachment type of the stored file
named beside it) or ``reaction`` (target and emoji). Stored pieces of former versions must stay sendable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, assert_never

from channels.capabilities import MEDIA_WORDS, Capabilities, ChoiceRule, TextLimit
from channels.content import Entity, EntityKind, MediaKind
from channels.errors import ContentRefused
from channels.limits import in_album
from channels.outbound import (
    Choice,
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
from channels.split import fits, split
from channels.types import JsonObject, JsonValue

ATTACHMENT_TYPES: Final[Mapping[MediaKind, str]] = {
    "image": "image",
    "video": "video",
    "audio": "audio",
    "voice": "audio",
    "document": "file",
    "animation": "image",
    "video_note": "video",
}
CHOICE_WORDS: Final = {"buttons": "buttons", "quick_replies": "quick replies", "list": "lists"}
_WHOLE: Final[frozenset[EntityKind]] = frozenset({"link", "mention", "hashtag", "command", "email", "phone", "code"})
"""Entities that a cut would break, unlike a run of bold."""


def plan_parts(parts: Sequence[OutboundPart], capabilities: Capabilities) -> tuple[Piece, ...]:
    if not parts:
        raise ContentRefused("empty", "There is nothing to send.", limit="parts.minimum", allowed=1)
    return tuple(piece for index, part in enumerate(parts) for piece in _pieces(part, capabilities, index))


def _pieces(part: OutboundPart, capabilities: Capabilities, index: int) -> Iterator[Piece]:
    match part:
        case OutboundText():
            text, whole = plain_text(part.text, part.entities)
            yield from _texts(text, capabilities.text, index, whole)
        case OutboundMedia():
            yield _media(part, capabilities, index)
            # Media and text cannot share a message (facts 2.3): the caption follows as one of its own.
            if part.caption and not part.caption.isspace():
                yield from _texts(part.caption, capabilities.text, index)
        case OutboundAlbum():
            for album in in_album(part, 1, index):
                for one in album:
                    yield from _pieces(one, capabilities, index)
        case OutboundChoices():
            yield _choices(part, capabilities, index)
        case OutboundReaction():
            if not part.target:
                raise ContentRefused("invalid", "A reaction needs a target.", limit="reactions", part=index)
            yield Piece({"reaction": {"target": part.target, "emoji": part.emoji}})
        case OutboundTemplate():
            yield _template(part, capabilities, index)
        case OutboundLocation() | OutboundContacts():
            words = "locations" if isinstance(part, OutboundLocation) else "contact cards"
            raise ContentRefused(
                "not_offered", f"This channel cannot send {words}.", limit=part.type, allowed=0, part=index
            )
        case _:
            assert_never(part)


# --- Text -------------------------------------------------------------------------------------------------------------


def plain_text(text: str, entities: Sequence[Entity]) -> tuple[str, list[tuple[int, int]]]:
    """The text as a channel without formatting shows it, and the stretches (offset, length) that stay whole.

    A link hidden behind words is written out after them: without it the message would lose its point.
    """
    found: list[str] = []
    whole: list[tuple[int, int]] = []
    position = shift = 0
    for entity in sorted(entities, key=lambda entity: (entity.offset, entity.length)):
        end = entity.offset + entity.length
        if entity.offset < position or end > len(text) or entity.kind not in _WHOLE:
            continue
        words = text[entity.offset : end]
        added = f" ({entity.url})" if entity.kind == "link" and entity.url and entity.url != words else ""
        whole.append((entity.offset + shift, entity.length + len(added)))
        found += (text[position:end], added)
        position, shift = end, shift + len(added)
    return "".join((*found, text[position:])), whole


def _texts(text: str, limit: TextLimit, index: int, whole: Sequence[tuple[int, int]] = ()) -> Iterator[Piece]:
    pieces = split(text, limit, whole)
    if not pieces:
        raise ContentRefused("empty", "The text is empty.", limit="text.minimum", allowed=1, part=index)
    for piece in pieces:
        yield Piece({"message": {"text": piece}}, text=piece)


# --- Media ------------------------------------------------------------------------------------------------------------


def _media(part: OutboundMedia, capabilities: Capabilities, index: int) -> Piece:
    mime_type = part.mime_type.partition(";")[0].strip().lower() if part.mime_type else None
    kind: MediaKind = "animation" if part.kind == "image" and mime_type == "image/gif" else part.kind
    rule = capabilities.media.get(kind)
    if rule is None:
        raise ContentRefused(
            "not_offered", f"This channel cannot send {MEDIA_WORDS[kind]}.", limit=f"media.{kind}", part=index
        )
    if (part.url is None) == (part.media_id is None):
        raise ContentRefused(
            "invalid", "Media needs either a link or a stored file.", limit=f"media.{kind}", part=index
        )
    if mime_type and rule.mime_types and mime_type not in rule.mime_types:
        allowed = ", ".join(rule.mime_types)
        raise ContentRefused(
            "media_type", f"Files of type {mime_type} cannot be sent as {MEDIA_WORDS[kind]}; allowed: {allowed}.",
            limit=f"media.{kind}.mime_types", allowed=allowed, part=index,
        )  # fmt: skip
    by_link = part.url is not None and rule.max_bytes_by_link is not None
    name, most = ("max_bytes_by_link", rule.max_bytes_by_link or 0) if by_link else ("max_bytes", rule.max_bytes)
    if most == 0:
        raise ContentRefused(
            "not_offered",
            f"{MEDIA_WORDS[kind].capitalize()} must be uploaded here.",
            limit=f"media.{kind}.{name}",
            part=index,
        )
    if part.size is not None and part.size > most:
        raise ContentRefused(
            "too_large", f"The file has {part.size} bytes, more than the {most} allowed.",
            limit=f"media.{kind}.{name}", allowed=most, part=index,
        )  # fmt: skip
    moving = kind == "animation" and mime_type is not None and mime_type.startswith("video/")
    attachment = "video" if moving else ATTACHMENT_TYPES[kind]
    if part.url is None:
        return Piece({"upload": attachment}, media_ids=part.stored, lane="media")
    payload: JsonObject = {"type": attachment, "payload": {"url": part.url}}
    return Piece({"message": {"attachment": payload}}, lane="media")


# --- Choices and templates --------------------------------------------------------------------------------------------


def _choices(part: OutboundChoices, capabilities: Capabilities, index: int) -> Piece:
    name = f"choices.{part.style}"
    rule = capabilities.choices.get(part.style)
    if rule is None:
        raise ContentRefused("not_offered", f"This channel has no {CHOICE_WORDS[part.style]}.", limit=name, part=index)
    if len(part.sections) > rule.sections:
        raise ContentRefused(
            "too_many", "Sections cannot be shown here.", limit=f"{name}.sections", allowed=rule.sections, part=index
        )
    choices = [choice for section in part.sections for choice in section.choices]
    if not 1 <= len(choices) <= rule.maximum:
        raise ContentRefused(
            "too_many" if choices else "empty", f"Between 1 and {rule.maximum} choices are possible here.",
            limit=f"{name}.maximum", allowed=rule.maximum, part=index,
        )  # fmt: skip
    # Header and footer have no place of their own here, yet they are words that were meant to be read.
    text = "\n\n".join(words for words in (part.header, part.text, part.footer) if words)
    if not text.strip():
        raise ContentRefused("empty", "Choices need a text.", limit=f"{name}.text", allowed=1, part=index)
    _within(text, rule.text, f"{name}.text", index)
    rendered: list[JsonValue] = [_choice(choice, part.style, rule, name, index) for choice in choices]
    if part.style == "quick_replies":
        return Piece({"message": {"text": text, "quick_replies": rendered}}, text=text)
    template: JsonObject = {"template_type": "button", "text": text, "buttons": rendered}
    return Piece({"message": {"attachment": {"type": "template", "payload": template}}}, text=text)


def _choice(choice: Choice, style: str, rule: ChoiceRule, name: str, index: int) -> JsonObject:
    if not choice.title.strip():
        raise ContentRefused("empty", "A choice needs a title.", limit=f"{name}.title", allowed=1, part=index)
    _within(choice.title, rule.title, f"{name}.title", index)
    if choice.url is not None:
        if not rule.links:
            raise ContentRefused(
                "not_offered",
                f"Links are not possible in {CHOICE_WORDS[style]} here.",
                limit=f"{name}.links",
                part=index,
            )
        return {"type": "web_url", "title": choice.title, "url": choice.url}
    payload = choice.payload or choice.title
    _within(payload, rule.payload, f"{name}.payload", index)
    kind = {"content_type": "text"} if style == "quick_replies" else {"type": "postback"}
    return {**kind, "title": choice.title, "payload": payload}


def _within(text: str, limit: TextLimit, name: str, index: int) -> None:
    if not fits(text, limit):
        reason = f"“{text[:40]}” is longer than the {limit.maximum} {limit.unit} allowed."
        raise ContentRefused("too_long", reason, limit=name, allowed=limit.maximum, part=index)


def _template(part: OutboundTemplate, capabilities: Capabilities, index: int) -> Piece:
    if not capabilities.templates:
        raise ContentRefused("not_offered", "This channel has no templates.", limit="templates", part=index)
    if not part.name or not part.language:
        raise ContentRefused("invalid", "A template needs its name and language.", limit="templates", part=index)
    template: JsonObject = {"name": part.name, "language": {"code": part.language}}
    if part.components:
        template["components"] = list(part.components)
    return Piece({"message": {"template": template}})
