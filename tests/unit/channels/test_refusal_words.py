"""What a refusal says to the person who wrote the message: words, not names of our own types."""

import pytest

from channels.errors import ContentRefused
from channels.outbound import Choice, ChoiceSection, OutboundChoices, OutboundContacts, OutboundLocation, OutboundMedia
from channels.outbound import OutboundPart as Part
from channels.registry import ADAPTERS

LINK = "https://a.test/f"
CHOICES = (ChoiceSection((Choice("A"),)),)


@pytest.mark.parametrize(
    ("channel", "part", "words"),
    [
        ("telegram", OutboundMedia("video_note", url=LINK), "Telegram takes video notes only as uploads."),
        (
            "telegram",
            OutboundMedia("voice", media_id="m", mime_type="text/plain"),
            "Telegram does not take text/plain files as voice messages; it takes audio/ogg, audio/opus, audio/mpeg, "
            "audio/mp3, audio/mp4, audio/m4a, audio/x-m4a, audio/aac.",
        ),
        ("messenger", OutboundContacts(()), "Messenger takes no contact cards."),
        ("instagram", OutboundLocation(1.0, 2.0), "Instagram takes no locations."),
        ("messenger", OutboundMedia("sticker", url=LINK), "Messenger takes no stickers."),
        (
            "instagram",
            OutboundMedia("image", url=LINK, mime_type="image/gif"),
            "Instagram takes animations only as uploads.",
        ),
        ("messenger", OutboundChoices("list", "x", CHOICES), "Messenger has no lists."),
        ("whatsapp", OutboundMedia("video_note", url=LINK), "WhatsApp takes no video notes."),
        (
            "whatsapp",
            OutboundMedia("image", url=LINK, mime_type="image/gif"),
            "WhatsApp does not take image/gif files as images; it takes image/jpeg, image/png.",
        ),
    ],
)
def test_a_refusal_is_in_natural_words(channel: str, part: Part, words: str) -> None:
    with pytest.raises(ContentRefused) as refused:
        ADAPTERS[channel].plan([part])
    assert refused.value.reason == words
