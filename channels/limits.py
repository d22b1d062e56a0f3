"""Checks of neutral parts against a channel's capabilities, with one wording and one set of codes for all channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import regex

from channels.capabilities import MEDIA_WORDS, Capabilities, MediaRule, TextLimit
from channels.errors import ContentRefused
from channels.outbound import OutboundAlbum, OutboundLocation, OutboundMedia, OutboundReaction
from channels.split import fits
from channels.wire import plain

_VARIATION: Final = "\ufe0f"
_PICTURE: Final = regex.compile(r"\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\ufe0f?\u20e3")
"""How an emoji begins: a picture, a flag, or a key."""


def check_words(text: str, limit: TextLimit, name: str, *, part: int, channel: str) -> str:
    """``text``, storable and within ``limit``. Raises ``ContentRefused`` that names the limit."""
    text = plain(text)
    if not fits(text, limit):
        raise ContentRefused(
            "too_long",
            f"“{text[:40]}…” is too long for {channel}: at most {limit.maximum} {limit.unit}.",
            limit=name,
            allowed=limit.maximum,
            part=part,
        )
    return text


def check_media(media: OutboundMedia, capabilities: Capabilities, *, part: int, channel: str) -> MediaRule:
    """The rule of its kind, after a look at source, type and size. Raises ``ContentRefused``.

    What is not known (the size of a linked file) is not refused here: the provider has the last word. Captions are the
    adapter's: some channels format them, and where a kind carries none (``rule.caption`` None) they follow as a text.
    """
    words, where = MEDIA_WORDS[media.kind], f"media.{media.kind}"
    rule = capabilities.media.get(media.kind)
    if rule is None:
        offered = ", ".join(capabilities.media)
        raise ContentRefused("not_offered", f"{channel} takes no {words}.", limit="media", allowed=offered, part=part)
    if (media.url is None) == (media.media_id is None):
        raise ContentRefused("invalid", "A file is either linked or stored.", limit=where, part=part)
    if media.url is not None and not _is_link(media.url):
        raise ContentRefused("invalid", "The file has no usable link.", limit=f"{where}.url", part=part)
    mime_type = bare_type(media)
    if mime_type and rule.mime_types and not any(_is_of(mime_type, taken) for taken in rule.mime_types):
        allowed = ", ".join(rule.mime_types)
        reason = f"{channel} does not take {mime_type} files as {words}; it takes {allowed}."
        raise ContentRefused("media_type", reason, limit=f"{where}.mime_types", allowed=allowed, part=part)
    by_link = media.url is not None and rule.max_bytes_by_link is not None
    limit, most = ("max_bytes_by_link", rule.max_bytes_by_link or 0) if by_link else ("max_bytes", rule.max_bytes)
    if most == 0:
        reason = f"{channel} takes {words} only as uploads."
        raise ContentRefused("not_offered", reason, limit=f"{where}.{limit}", allowed=0, part=part)
    if media.size is not None and media.size > most:
        reason = f"The file is too large for {channel}: {media.size} of {most} bytes."
        raise ContentRefused("too_large", reason, limit=f"{where}.{limit}", allowed=most, part=part)
    _check_sides(media, rule, where, part=part, channel=channel)
    return rule


def _is_of(mime_type: str, taken: str) -> bool:
    return mime_type == taken or (taken.endswith("/*") and mime_type.startswith(taken[:-1]))


def _check_sides(media: OutboundMedia, rule: MediaRule, where: str, *, part: int, channel: str) -> None:
    if not media.width or not media.height:
        return
    shape = f"{media.width} × {media.height} pixels"
    if rule.max_sides is not None and media.width + media.height > rule.max_sides:
        reason = f"The picture is too large for {channel}: {shape}; both sides together at most {rule.max_sides}."
        raise ContentRefused("too_large", reason, limit=f"{where}.max_sides", allowed=rule.max_sides, part=part)
    shorter, longer = sorted((media.width, media.height))
    if rule.max_ratio is not None and longer > rule.max_ratio * shorter:
        reason = f"The picture is too long for {channel}: {shape}; one side at most {rule.max_ratio} times the other."
        raise ContentRefused("too_large", reason, limit=f"{where}.max_ratio", allowed=rule.max_ratio, part=part)


def check_reaction(part: OutboundReaction, capabilities: Capabilities, *, part_index: int, channel: str) -> None:
    """``capabilities``: of the very account, since accounts of one channel may differ. Raises ``ContentRefused``."""
    if capabilities.reactions is None:
        reason = f"{channel} has no reactions."
        raise ContentRefused("not_offered", reason, limit="reactions", part=part_index)
    if not part.target:
        reason = "A reaction needs a message to react to."
        raise ContentRefused("invalid", reason, limit="reactions", part=part_index)
    if not part.emoji:
        return
    if capabilities.reactions == "fixed":
        offered = capabilities.reaction_emoji
        # With and without a variation selector it is the same picture.
        if bare_emoji(part.emoji) not in map(bare_emoji, offered):
            allowed, reason = " ".join(offered), f"{channel} does not offer this emoji as a reaction."
            raise ContentRefused("not_offered", reason, limit="reaction_emoji", allowed=allowed, part=part_index)
    elif not (regex.fullmatch(r"\X", part.emoji) and _PICTURE.match(part.emoji)):
        raise ContentRefused("invalid", "A reaction is exactly one emoji.", limit="reactions", part=part_index)


def bare_emoji(emoji: str) -> str:
    """Without variation selectors."""
    return emoji.replace(_VARIATION, "")


def check_location(place: OutboundLocation, *, part: int) -> None:
    if not (-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180):
        raise ContentRefused("invalid", "There is no such place on Earth.", limit="location", part=part)


def check_link(url: str, name: str, *, part: int) -> str:
    """``url`` where it is one that a provider or a person can open. Raises ``ContentRefused``."""
    if not _is_link(url):
        raise ContentRefused("invalid", f"“{plain(url)[:40]}” is no usable link.", limit=name, part=part)
    return url


def bare_type(media: OutboundMedia) -> str:
    """The media type without its parameters, in lower case; empty where it is not known."""
    return (media.mime_type or "").partition(";")[0].strip().lower()


def in_album(album: OutboundAlbum, most: int, part: int) -> Iterator[tuple[OutboundMedia, ...]]:
    """The files in groups of at most ``most``; the caption is the first file's. Raises ``ContentRefused``."""
    if not album.items:
        raise ContentRefused("empty", "There is no file in the album.", limit="album.minimum", allowed=1, part=part)
    first, *rest = album.items
    if album.caption:
        first = replace(first, caption=album.caption)
    yield from _groups([first, *rest], most)


def _groups(items: list[OutboundMedia], most: int) -> Iterator[tuple[OutboundMedia, ...]]:
    for start in range(0, len(items), most):
        yield tuple(items[start : start + most])


def _is_link(url: str) -> bool:
    return url.startswith(("https://", "http://")) and plain(url) == url and " " not in url
