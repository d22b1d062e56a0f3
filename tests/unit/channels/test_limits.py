"""What is refused by data alone, alike on every channel."""

from __future__ import annotations

import pytest

from channels.capabilities import Capabilities
from channels.content import MediaKind
from channels.errors import ContentRefused
from channels.instagram.capabilities import LOGIN_STACK, PAGE_STACK
from channels.limits import check_media, check_reaction
from channels.messenger.capabilities import CAPABILITIES as MESSENGER
from channels.outbound import OutboundMedia, OutboundReaction
from channels.telegram.capabilities import CAPABILITIES as TELEGRAM
from channels.whatsapp.capabilities import CAPABILITIES as WHATSAPP

# --- Reactions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("can", [PAGE_STACK, TELEGRAM], ids=["instagram page", "telegram"])
def test_only_the_published_reactions_are_taken(can: Capabilities) -> None:
    for emoji in (*can.reaction_emoji, "❤", "❤\ufe0f", None):
        check_reaction(OutboundReaction("m1", emoji), can, part_index=0, channel="It")
    with pytest.raises(ContentRefused) as refused:
        check_reaction(OutboundReaction("m1", "😂"), can, part_index=3, channel="It")
    told = refused.value
    assert (told.code, told.limit, told.part) == ("not_offered", "reaction_emoji", 3)
    assert told.allowed == " ".join(can.reaction_emoji)


@pytest.mark.parametrize("emoji", ["👍", "👍🏽", "❤", "❤️", "🇩🇪", "1️⃣", "👩‍👩‍👧", "☺", "🫡", None])
@pytest.mark.parametrize("can", [LOGIN_STACK, WHATSAPP], ids=["instagram login", "whatsapp"])
def test_any_emoji_is_one(can: Capabilities, emoji: str | None) -> None:
    check_reaction(OutboundReaction("m1", emoji), can, part_index=0, channel="It")


@pytest.mark.parametrize("emoji", ["abc", "a", "1", "👍👍", "👍 hello", "👍👍 hello", "love", " 👍", "🇩", "\ufe0f"])
def test_words_and_several_emoji_are_no_reaction(emoji: str) -> None:
    with pytest.raises(ContentRefused) as refused:
        check_reaction(OutboundReaction("m1", emoji), WHATSAPP, part_index=0, channel="It")
    assert (refused.value.code, refused.value.limit) == ("invalid", "reactions")


# --- Files ------------------------------------------------------------------------------------------------------------


def photo(width: int | None, height: int | None) -> OutboundMedia:
    return OutboundMedia("image", media_id="m1", mime_type="image/png", width=width, height=height)


@pytest.mark.parametrize("sides", [(5000, 5000), (2000, 100), (100, 2000), (None, None), (None, 90_000)])
def test_a_photo_of_a_size_that_telegram_takes(sides: tuple[int | None, int | None]) -> None:
    check_media(photo(*sides), TELEGRAM, part=0, channel="Telegram")


@pytest.mark.parametrize(
    ("sides", "limit", "allowed"),
    [
        ((5001, 5000), "media.image.max_sides", 10_000),
        ((2001, 100), "media.image.max_ratio", 20),
        ((100, 2001), "media.image.max_ratio", 20),
    ],
)
def test_a_photo_that_telegram_would_refuse_is_refused(sides: tuple[int, int], limit: str, allowed: int) -> None:
    with pytest.raises(ContentRefused) as refused:
        check_media(photo(*sides), TELEGRAM, part=2, channel="Telegram")
    told = refused.value
    assert (told.code, told.limit, told.allowed, told.part) == ("too_large", limit, allowed, 2)
    assert f"{sides[0]} × {sides[1]} pixels" in told.reason


@pytest.mark.parametrize(
    ("kind", "fits", "does_not"),
    [
        ("image", "image/webp", "application/pdf"),
        ("video", "video/mp4", "image/png"),
        ("audio", "audio/mpeg; codecs=mp3", "video/mp4"),
        ("voice", "audio/ogg", "text/plain"),
        ("video_note", "video/mp4", "audio/ogg"),
    ],
)
def test_a_file_for_messenger_is_what_it_is_sent_as(kind: MediaKind, fits: str, does_not: str) -> None:
    for mime_type in (fits, None):
        check_media(OutboundMedia(kind, media_id="m1", mime_type=mime_type), MESSENGER, part=0, channel="Messenger")
    with pytest.raises(ContentRefused) as refused:
        check_media(OutboundMedia(kind, media_id="m1", mime_type=does_not), MESSENGER, part=0, channel="Messenger")
    assert (refused.value.code, refused.value.limit) == ("media_type", f"media.{kind}.mime_types")
