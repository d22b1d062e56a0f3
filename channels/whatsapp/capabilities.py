"""What WhatsApp allows, as data. Source: channel facts, sections 1.3 to 1.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from channels.capabilities import (
    Capabilities,
    ChoiceRule,
    MediaRule,
    RateRule,
    Receipts,
    TemplateRule,
    TextLimit,
    WindowRule,
)

CHANNEL: Final = "WhatsApp"
"""What people call it, for refusals."""
MEGABYTE: Final = 1024 * 1024

CAPTION: Final = TextLimit(1024)
STILL_STICKER: Final = 100 * 1024
_LINE: Final = TextLimit(60)
"""Of a header or footer."""
TEMPLATE: Final = TemplateRule(
    header=_LINE,
    body=TextLimit(1024),
    button_link=TextLimit(2000),
    button_payload=TextLimit(256),
    button_code=TextLimit(15),
)

_QUICK_REPLIES: Final = ChoiceRule(
    maximum=3, title=TextLimit(20), text=TextLimit(1024), payload=TextLimit(256), header=_LINE, footer=_LINE
)

CAPABILITIES: Final = Capabilities(
    text=TextLimit(4096),
    media={
        "image": MediaRule(5 * MEGABYTE, ("image/jpeg", "image/png"), caption=CAPTION),
        "video": MediaRule(16 * MEGABYTE, ("video/mp4", "video/3gpp"), caption=CAPTION),
        "audio": MediaRule(16 * MEGABYTE, ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")),
        "voice": MediaRule(16 * MEGABYTE, ("audio/ogg",)),
        "document": MediaRule(100 * MEGABYTE, caption=CAPTION),
        "sticker": MediaRule(500 * 1024, ("image/webp",), still_max_bytes=STILL_STICKER),
    },
    choices={
        "buttons": replace(_QUICK_REPLIES, links=True),
        # WhatsApp has no replies above the keyboard; reply buttons are the same thing in another place.
        "quick_replies": _QUICK_REPLIES,
        "list": ChoiceRule(
            maximum=10,
            title=TextLimit(24),
            text=TextLimit(4096),
            payload=TextLimit(200),
            description=TextLimit(72),
            sections=10,
            header=_LINE,
            footer=_LINE,
            label=TextLimit(20),
            section_title=TextLimit(24),
        ),
    },
    receipts=Receipts(delivered="id", read="id", correlation=True, echoes=True),
    rates=(
        # The throughput every number starts with; numbers that were upgraded reach 1000, coexisting ones 20.
        RateRule("channel", count=80, seconds=1, burst=80),
        RateRule("recipient", count=1, seconds=6, burst=45),
    ),
    window=WindowRule(hours=24, templates_outside=True),
    location=True,
    contacts=True,
    reply_to=True,
    reactions="any",
    typing_seconds=25,
    typing_marks_read=True,
    mark_read=True,
    blocks_people=True,
    templates="synced",
    template=TEMPLATE,
    starts_conversations=True,
)

_RECIPIENT: Final = CAPABILITIES.rates[1]
UPGRADED: Final = replace(CAPABILITIES, rates=(RateRule("channel", count=1000, seconds=1, burst=1000), _RECIPIENT))
COEXISTING: Final = replace(CAPABILITIES, rates=(RateRule("channel", count=20, seconds=1, burst=20), _RECIPIENT))
"""A number that the phone app uses too: it never gets more."""


def of_account(options: Mapping[str, str]) -> Capabilities:
    """By its throughput (channel facts, section 1.5). ``coexistence`` is entered by who connects: no answer tells."""
    if options.get("coexistence") == "true":
        return COEXISTING
    return UPGRADED if options.get("throughput") == "HIGH" else CAPABILITIES
