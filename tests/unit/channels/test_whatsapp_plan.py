"""What WhatsApp allows is checked before anything is queued, and every refusal names the limit."""

from __future__ import annotations

import pytest

from channels.content import ContactCard, Entity
from channels.errors import ContentRefused
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
from channels.types import Address, JsonObject
from channels.whatsapp.adapter import WhatsAppAdapter

LINK = "https://example.org/a.jpg"


def planned(*parts: OutboundPart) -> tuple[Piece, ...]:
    return WhatsAppAdapter().plan(parts)


def choices(style: str, *items: Choice, **facts: object) -> OutboundChoices:
    sections = (ChoiceSection(items),)
    return OutboundChoices(style, "Which one?", sections, **facts)  # type: ignore[arg-type]


def buttons(count: int) -> tuple[Choice, ...]:
    return tuple(Choice(f"Option {number}", f"o{number}") for number in range(count))


BODY: JsonObject = {"text": "Which one?"}

PAYLOADS: dict[str, tuple[OutboundPart, JsonObject]] = {
    "text": (OutboundText("hi"), {"type": "text", "text": {"body": "hi", "preview_url": True}}),
    "text without previews": (
        OutboundText("hi", preview_links=False),
        {"type": "text", "text": {"body": "hi", "preview_url": False}},
    ),
    "formatted text": (
        OutboundText(
            "bold, both and code",
            (Entity("bold", 0, 4), Entity("bold", 6, 5), Entity("italic", 6, 4), Entity("code", 15, 4)),
        ),
        {"type": "text", "text": {"body": "*bold*, *_both_* and `code`", "preview_url": True}},
    ),
    "named link": (
        OutboundText("see here!", (Entity("link", 4, 4, "https://example.org"),)),
        {"type": "text", "text": {"body": "see here (https://example.org)!", "preview_url": True}},
    ),
    "image by link": (
        OutboundMedia("image", url=LINK, mime_type="image/jpeg", size=10, caption=" look "),
        {"type": "image", "image": {"link": LINK, "caption": "look"}},
    ),
    "document to upload": (
        OutboundMedia("document", media_id="m1", mime_type="application/pdf", size=10, filename="a.pdf"),
        {"type": "document", "document": {"filename": "a.pdf"}},
    ),
    "voice": (
        OutboundMedia("voice", url=LINK, mime_type="audio/ogg; codecs=opus"),
        {"type": "audio", "audio": {"link": LINK, "voice": True}},
    ),
    "location": (
        OutboundLocation(48.2, 16.4, "Dom", "Platz 3"),
        {
            "type": "location",
            "location": {"latitude": 48.2, "longitude": 16.4, "name": "Dom", "address": "Platz 3"},
        },
    ),
    "contact": (
        OutboundContacts(
            (
                ContactCard(
                    "Bob Roe",
                    ("+1 555 123 0002",),
                    ("bob@example.org",),
                    "Roe Ltd",
                    addresses=(Address("whatsapp_phone", "", "15551230002"),),
                ),
            )
        ),
        {
            "type": "contacts",
            "contacts": [
                {
                    "name": {"formatted_name": "Bob Roe", "first_name": "Bob Roe"},
                    "phones": [{"phone": "+1 555 123 0002", "wa_id": "15551230002"}],
                    "emails": [{"email": "bob@example.org"}],
                    "org": {"company": "Roe Ltd"},
                }
            ],
        },
    ),
    "buttons": (
        choices("buttons", Choice("Yes", "y"), Choice("No"), header="Order", footer="Shop"),
        {
            "type": "interactive",
            "interactive": {
                "type": "button",
                "header": {"type": "text", "text": "Order"},
                "body": BODY,
                "footer": {"text": "Shop"},
                "action": {
                    "buttons": [
                        {"type": "reply", "reply": {"id": "y", "title": "Yes"}},
                        {"type": "reply", "reply": {"id": "No", "title": "No"}},
                    ]
                },
            },
        },
    ),
    "quick replies are buttons": (
        choices("quick_replies", Choice("Yes", "y")),
        {
            "type": "interactive",
            "interactive": {
                "type": "button",
                "body": BODY,
                "action": {"buttons": [{"type": "reply", "reply": {"id": "y", "title": "Yes"}}]},
            },
        },
    ),
    "link button": (
        choices("buttons", Choice("Open", url="https://example.org")),
        {
            "type": "interactive",
            "interactive": {
                "type": "cta_url",
                "body": BODY,
                "action": {
                    "name": "cta_url",
                    "parameters": {"display_text": "Open", "url": "https://example.org"},
                },
            },
        },
    ),
    "list": (
        OutboundChoices(
            "list",
            "Which one?",
            (
                ChoiceSection((Choice("Red", "r", description="warm"),), "Colours"),
                ChoiceSection((Choice("Big", "b"),), "Sizes"),
            ),
            label="Choose",
        ),
        {
            "type": "interactive",
            "interactive": {
                "type": "list",
                "body": BODY,
                "action": {
                    "button": "Choose",
                    "sections": [
                        {"title": "Colours", "rows": [{"id": "r", "title": "Red", "description": "warm"}]},
                        {"title": "Sizes", "rows": [{"id": "b", "title": "Big"}]},
                    ],
                },
            },
        },
    ),
    "template": (
        OutboundTemplate("order_update", "en_US", ({"type": "body", "parameters": [{"type": "text", "text": "Ann"}]},)),
        {
            "type": "template",
            "template": {
                "name": "order_update",
                "language": {"code": "en_US"},
                "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}],
            },
        },
    ),
    "reaction": (
        OutboundReaction("wamid.B", "👍"),
        {"type": "reaction", "reaction": {"message_id": "wamid.B", "emoji": "👍"}},
    ),
    "reaction taken back": (
        OutboundReaction("wamid.B", None),
        {"type": "reaction", "reaction": {"message_id": "wamid.B", "emoji": ""}},
    ),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_part_becomes_this_payload(name: str) -> None:
    part, payload = PAYLOADS[name]
    [piece] = planned(part)
    assert piece.payload == payload


TOO_LONG = "x" * 5000

REFUSALS: dict[str, tuple[OutboundPart, str, int | str | None]] = {
    "blank text": (OutboundText(" \n"), "text.minimum", 1),
    "unknown kind of media": (
        OutboundMedia("video_note", url=LINK),
        "media",
        "image, video, audio, voice, document, sticker",
    ),
    "type of media": (
        OutboundMedia("image", url=LINK, mime_type="image/gif"),
        "media.image.mime_types",
        "image/jpeg, image/png",
    ),
    "size of media": (
        OutboundMedia("image", media_id="m", size=6 * 1024 * 1024),
        "media.image.max_bytes",
        5 * 1024 * 1024,
    ),
    "caption": (OutboundMedia("image", url=LINK, caption=TOO_LONG), "media.image.caption.maximum", 1024),
    "size of a linked file": (
        OutboundMedia("video", url=LINK, size=17 * 1024 * 1024),
        "media.video.max_bytes",
        16 * 1024 * 1024,
    ),
    "size of a document": (
        OutboundMedia("document", media_id="m", mime_type="application/x-anything", size=101 * 1024 * 1024),
        "media.document.max_bytes",
        100 * 1024 * 1024,
    ),
    "voice that is no ogg": (
        OutboundMedia("voice", media_id="m", mime_type="audio/mpeg"),
        "media.voice.mime_types",
        "audio/ogg",
    ),
    "voice that is no opus": (
        OutboundMedia("voice", media_id="m", mime_type="audio/ogg; codecs=vorbis"),
        "media.voice.mime_types",
        "audio/ogg; codecs=opus",
    ),
    "neither link nor file": (OutboundMedia("image"), "media.image", None),
    "both link and file": (OutboundMedia("image", url=LINK, media_id="m"), "media.image", None),
    "local link": (OutboundMedia("image", url="file:///etc/passwd"), "media.image.url", None),
    "second file of an album": (
        OutboundAlbum((OutboundMedia("image", url=LINK), OutboundMedia("image", url="ftp://x"))),
        "media.image.url",
        None,
    ),
    "empty album": (OutboundAlbum(()), "album.minimum", 1),
    "button that leads nowhere": (
        choices("buttons", Choice("Open", url="javascript:alert(1)")),
        "choices.buttons.url",
        None,
    ),
    "template with a file and no place for it": (
        OutboundTemplate("t", "en", media=(OutboundMedia("image", media_id="m"),)),
        "template.header",
        None,
    ),
    "template with a place and no file": (
        OutboundTemplate("t", "en", ({"type": "header", "parameters": [{"type": "image", "image": {}}]},)),
        "template.header",
        None,
    ),
    "template with a file that is too large": (
        OutboundTemplate(
            "t",
            "en",
            ({"type": "header", "parameters": [{"type": "image", "image": {}}]},),
            media=(OutboundMedia("image", media_id="m", size=6 * 1024 * 1024),),
        ),
        "media.image.max_bytes",
        5 * 1024 * 1024,
    ),
    "impossible place": (OutboundLocation(91, 0), "location", None),
    "place that is no number": (OutboundLocation(float("nan"), 0), "location", None),
    "no contacts": (OutboundContacts(()), "contacts.minimum", 1),
    "contact without a name": (OutboundContacts((ContactCard(None),)), "contacts.name", None),
    "no choices": (choices("buttons"), "choices.buttons.minimum", 1),
    "four buttons": (choices("buttons", *buttons(4)), "choices.buttons.maximum", 3),
    "eleven rows": (choices("list", *buttons(11), label="Choose"), "choices.list.maximum", 10),
    "long title": (choices("buttons", Choice("x" * 21)), "choices.buttons.title.maximum", 20),
    "no title": (choices("buttons", Choice(" ")), "choices.buttons.title.minimum", 1),
    "long payload": (choices("buttons", Choice("a", TOO_LONG)), "choices.buttons.payload.maximum", 256),
    "equal payloads": (choices("buttons", Choice("a", "p"), Choice("b", "p")), "choices.buttons.payload", None),
    "link beside a button": (
        choices("buttons", Choice("a"), Choice("b", url="https://example.org")),
        "choices.buttons.links",
        1,
    ),
    "link in a list": (
        choices("list", Choice("b", url="https://example.org"), label="Choose"),
        "choices.list.links",
        0,
    ),
    "list without a label": (choices("list", Choice("a")), "choices.list.label", None),
    "long footer": (choices("buttons", Choice("a"), footer="x" * 61), "choices.buttons.footer.maximum", 60),
    "long description": (
        choices("list", Choice("a", description="x" * 73), label="Choose"),
        "choices.list.description.maximum",
        72,
    ),
    "section without a title": (
        OutboundChoices(
            "list", "t", (ChoiceSection((Choice("a"),)), ChoiceSection((Choice("b"),), "B")), label="Choose"
        ),
        "choices.list.section_title",
        None,
    ),
    "template without a name": (OutboundTemplate("", "en"), "template", None),
    "template with named and numbered values": (
        OutboundTemplate(
            "t",
            "en",
            (
                {
                    "type": "body",
                    "parameters": [
                        {"type": "text", "text": "a"},
                        {"type": "text", "text": "b", "parameter_name": "n"},
                    ],
                },
            ),
        ),
        "template",
        None,
    ),
    "reaction to nothing": (OutboundReaction("", "👍"), "reactions", None),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_names_the_limit_and_the_part(name: str) -> None:
    part, limit, allowed = REFUSALS[name]
    with pytest.raises(ContentRefused) as refused:
        planned(OutboundText("fine"), part)
    assert (refused.value.limit, refused.value.allowed, refused.value.part) == (limit, allowed, 1)


def test_nothing_is_no_message() -> None:
    with pytest.raises(ContentRefused, match="nothing to send"):
        planned()


def test_a_long_text_becomes_several_messages() -> None:
    paragraph = "word " * 700 + "end."
    pieces = planned(OutboundText(f"{paragraph}\n\n{paragraph}"))
    assert [piece.text for piece in pieces] == [paragraph, paragraph]


def test_no_cut_falls_inside_marks() -> None:
    text = "x" * 4000 + " " + "bold words " * 10
    entity = Entity("bold", 4001, len(text) - 4002)
    first, second = planned(OutboundText(text, (entity,)))
    assert first.text == "x" * 4000
    assert second.text == "*" + ("bold words " * 10).strip() + "*"


def test_words_of_a_file_that_carries_none_follow_it() -> None:
    audio, words = planned(OutboundMedia("audio", media_id="m1", mime_type="audio/mpeg", caption="listen"))
    assert audio.payload == {"type": "audio", "audio": {}}
    assert (audio.media_ids, audio.text) == (("m1",), None)
    assert words.payload == {"type": "text", "text": {"body": "listen", "preview_url": True}}


def test_an_album_goes_one_by_one_and_its_words_with_the_first() -> None:
    items = (OutboundMedia("image", media_id="m1"), OutboundMedia("video", url=LINK))
    first, second = planned(OutboundAlbum(items, caption="our trip"))
    assert (first.payload, first.media_ids) == ({"type": "image", "image": {"caption": "our trip"}}, ("m1",))
    assert (second.payload, second.media_ids) == ({"type": "video", "video": {"link": LINK}}, ())
