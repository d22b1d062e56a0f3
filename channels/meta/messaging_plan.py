"""From neutral parts to pieces for the Send API: everything is checked here, against the product's capabilities.

A piece's payload has one key: ``message`` (a Send API message), ``upload`` (the attachment type of the stored file
named beside it), ``album`` (of each image its link, or null for the next stored file) or ``reaction`` (target and
emoji). Stored pieces of former versions must stay sendable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final, assert_never

from channels.capabilities import Capabilities
from channels.content import Entity, EntityKind, MediaKind
from channels.errors import ContentRefused
from channels.limits import bare_type, check_media, check_reaction, in_album
from channels.meta.messaging_choices import render_choices
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
from channels.wire import plain

ATTACHMENT_TYPES: Final[Mapping[MediaKind, str]] = {
    "image": "image",
    "video": "video",
    "audio": "audio",
    "voice": "audio",
    "document": "file",
    "animation": "image",
    "video_note": "video",
}
_VIDEO_PATIENCE: Final = 90.0
_LINK_PATIENCE: Final = 30.0
"""Meta fetches a linked file within the call, for up to 75 s (video) or 10 s (facts 2.3): giving up earlier would leave
the outcome unknown."""
_WHOLE: Final[frozenset[EntityKind]] = frozenset({"link", "mention", "hashtag", "command", "email", "phone", "code"})
"""Entities that a cut would break, unlike a run of bold."""


def plan_parts(parts: Sequence[OutboundPart], capabilities: Capabilities, channel: str) -> tuple[Piece, ...]:
    """``channel`` is the product's name, for refusals. Raises ``ContentRefused``."""
    if not parts:
        raise ContentRefused("empty", "There is nothing to send.", limit="parts.minimum", allowed=1)
    return tuple(piece for index, part in enumerate(parts) for piece in _pieces(part, capabilities, channel, index))


def _pieces(part: OutboundPart, capabilities: Capabilities, channel: str, index: int) -> Iterator[Piece]:
    match part:
        case OutboundText():
            text, whole = plain_text(part.text, part.entities)
            yield from _texts(text, capabilities, index, whole)
        case OutboundMedia():
            yield _media(part, capabilities, channel, index)
            yield from _caption(part.caption, part.entities, capabilities, index)
        case OutboundAlbum():
            yield from _album(part, capabilities, channel, index)
        case OutboundChoices():
            yield render_choices(part, capabilities, channel, index)
        case OutboundReaction():
            check_reaction(part, capabilities, part_index=index, channel=channel)
            yield Piece({"reaction": {"target": part.target, "emoji": part.emoji}})
        case OutboundTemplate():
            yield _template(part, capabilities, channel, index)
        case OutboundLocation() | OutboundContacts():
            words = "locations" if isinstance(part, OutboundLocation) else "contact cards"
            raise ContentRefused("not_offered", f"{channel} takes no {words}.", limit=part.type, allowed=0, part=index)
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


def _texts(text: str, capabilities: Capabilities, index: int, whole: Sequence[tuple[int, int]] = ()) -> Iterator[Piece]:
    pieces = split(text, capabilities.text, whole)
    if not pieces:
        raise ContentRefused("empty", "The text is empty.", limit="text.minimum", allowed=1, part=index)
    for piece in pieces:
        yield Piece({"message": {"text": piece}}, text=piece)


def _caption(
    caption: str | None, entities: Sequence[Entity], capabilities: Capabilities, index: int
) -> Iterator[Piece]:
    """Media and text cannot share a message (facts 2.3): a caption follows as one of its own."""
    words, whole = plain_text(plain(caption or ""), entities)
    if words.strip():
        yield from _texts(words, capabilities, index, whole)


# --- Media ------------------------------------------------------------------------------------------------------------


def _media(part: OutboundMedia, capabilities: Capabilities, channel: str, index: int) -> Piece:
    part = _checked(part, capabilities, channel, index)
    moving = part.kind == "animation" and bare_type(part).startswith("video/")
    attachment = "video" if moving else ATTACHMENT_TYPES[part.kind]
    if part.url is None:
        return Piece({"upload": attachment}, media_ids=part.stored, lane="media")
    linked: JsonObject = {"message": {"attachment": {"type": attachment, "payload": {"url": part.url}}}}
    return Piece(linked, lane="media", patience=_VIDEO_PATIENCE if attachment == "video" else _LINK_PATIENCE)


def _checked(part: OutboundMedia, capabilities: Capabilities, channel: str, index: int) -> OutboundMedia:
    """The file as the kind that it is to the product. Raises ``ContentRefused``."""
    if part.kind == "image" and bare_type(part) == "image/gif":
        part = replace(part, kind="animation")
    check_media(part, capabilities, part=index, channel=channel)
    return part


def _album(part: OutboundAlbum, capabilities: Capabilities, channel: str, index: int) -> Iterator[Piece]:
    """Neighbouring images go as one message where the product has albums, anything else one by one, in order.

    An image's own words follow the message that shows it; those of the album come last.
    """
    checked = tuple(_checked(one, capabilities, channel, index) for one in part.items)
    for chosen in in_album(OutboundAlbum(checked), capabilities.album, index):
        for is_image, run in groupby(chosen, key=lambda one: one.kind == "image"):
            files = tuple(run)
            if is_image and len(files) > 1:
                links: list[JsonValue] = [one.url for one in files]
                stored = tuple(media_id for one in files for media_id in one.stored)
                patience = _LINK_PATIENCE if any(links) else None
                yield Piece({"album": links}, media_ids=stored, lane="media", patience=patience)
                for one in files:
                    yield from _caption(one.caption, one.entities, capabilities, index)
            else:
                for one in files:
                    yield from _pieces(one, capabilities, channel, index)
    yield from _caption(part.caption, (), capabilities, index)


# --- Templates --------------------------------------------------------------------------------------------------------


def _template(part: OutboundTemplate, capabilities: Capabilities, channel: str, index: int) -> Piece:
    if not capabilities.templates:
        raise ContentRefused("not_offered", f"{channel} has no templates.", limit="templates", part=index)
    if not part.name or not part.language:
        raise ContentRefused("invalid", "A template needs its name and language.", limit="templates", part=index)
    if part.media:
        reason = f"{channel} takes the file of a template by link only."
        raise ContentRefused("not_offered", reason, limit="template.header", part=index)
    template: JsonObject = {"name": part.name, "language": {"code": part.language}}
    if part.components:
        template["components"] = list(part.components)
    return Piece({"message": {"template": template}}, text=part.text)
