"""What Messenger can do. Figures: channel facts, sections 2.3 and 2.4."""

from __future__ import annotations

from typing import Final

from channels.capabilities import Capabilities, ChoiceRule, MediaRule, RateRule, Receipts, TextLimit, WindowRule

_FILE: Final = 25 * 1024 * 1024
_LINKED_IMAGE: Final = 8 * 1024 * 1024
_TITLE: Final = TextLimit(20)
_PAYLOAD: Final = TextLimit(1000)

# No albums: there is an image grid of two to six (facts 2.3), but how it is asked for is not told.
CAPABILITIES: Final = Capabilities(
    text=TextLimit(2000),
    media={
        "image": MediaRule(_FILE, ("image/*",), max_bytes_by_link=_LINKED_IMAGE),
        "video": MediaRule(_FILE, ("video/*",)),
        "audio": MediaRule(_FILE, ("audio/*",)),
        "voice": MediaRule(_FILE, ("audio/*",)),
        "document": MediaRule(_FILE),
        "animation": MediaRule(_FILE, ("image/gif", "video/mp4"), max_bytes_by_link=_LINKED_IMAGE),
        "video_note": MediaRule(_FILE, ("video/*",)),
    },
    choices={
        "buttons": ChoiceRule(3, title=_TITLE, text=TextLimit(640), payload=_PAYLOAD, links=True),
        "quick_replies": ChoiceRule(13, title=_TITLE, text=TextLimit(2000), payload=_PAYLOAD),
    },
    receipts=Receipts(delivered="watermark", read="watermark", correlation=True, echoes=True),
    rates=(
        # Above 40 a second the Page's own inbox fails and the Page cannot send, far below the 300 that are allowed.
        RateRule("channel", 40, 1, burst=40),
        # The limit of audio and video; where images and files belong is not told, so they count against the lower one.
        RateRule("channel", 10, 1, burst=10, lane="media"),
    ),
    window=WindowRule(24, human_agent_hours=7 * 24, templates_outside=True),
    reply_to=True,
    reactions="any",
    typing_seconds=20.0,
    mark_read=True,
    blocks_people=True,
    profiles=True,
    templates="given",
)
