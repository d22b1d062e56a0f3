"""What is refused by data alone, alike on every channel."""

from __future__ import annotations

import pytest

from channels.capabilities import Capabilities
from channels.errors import ContentRefused
from channels.instagram.capabilities import LOGIN_STACK, PAGE_STACK
from channels.limits import check_reaction
from channels.outbound import OutboundReaction
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
