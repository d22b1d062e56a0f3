"""What Instagram messaging can do, and what of it each stack lacks. Figures: channel facts, sections 3.3 and 3.4."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from channels.capabilities import Capabilities, ChoiceRule, MediaRule, RateRule, Receipts, TextLimit, WindowRule

_FILE: Final = 25 * 1024 * 1024
_IMAGE: Final = 8 * 1024 * 1024
_AUDIO_TYPES: Final = (
    "audio/aac", "audio/mp4", "audio/m4a", "audio/x-m4a", "audio/wav", "audio/wave", "audio/x-wav",
)  # fmt: skip
_VIDEO_TYPES: Final = ("video/mp4", "video/ogg", "video/x-msvideo", "video/avi", "video/quicktime", "video/webm")
_TEXT: Final = TextLimit(1000, "bytes")
_TITLE: Final = TextLimit(20)
_PAYLOAD: Final = TextLimit(1000)

CAPABILITIES: Final = Capabilities(
    text=_TEXT,
    media={
        "image": MediaRule(_IMAGE, ("image/png", "image/jpeg")),
        # GIFs are taken by upload only.
        "animation": MediaRule(_IMAGE, ("image/gif",), max_bytes_by_link=0),
        "video": MediaRule(_FILE, _VIDEO_TYPES),
        "video_note": MediaRule(_FILE, _VIDEO_TYPES),
        "audio": MediaRule(_FILE, _AUDIO_TYPES),
        "voice": MediaRule(_FILE, _AUDIO_TYPES),
        "document": MediaRule(_FILE, ("application/pdf",)),
    },
    choices={
        "buttons": ChoiceRule(3, title=_TITLE, text=TextLimit(640), payload=_PAYLOAD, links=True),
        "quick_replies": ChoiceRule(13, title=_TITLE, text=_TEXT, payload=_PAYLOAD),
    },
    receipts=Receipts(delivered=None, read="id", correlation=False, echoes=True),
    rates=(
        RateRule("channel", 300, 1, burst=300),
        # The limit of audio and video; where images and files belong is not told, so they count against the lower one.
        RateRule("channel", 10, 1, burst=10, lane="media"),
    ),
    window=WindowRule(24, human_agent_hours=7 * 24),
    reply_to=True,
    reactions="any",
    typing_seconds=20.0,
    mark_read=True,
    blocks_people=True,
    profiles=True,
    album=10,
)
LOGIN_STACK: Final = replace(CAPABILITIES, blocks_people=False)
PAGE_STACK: Final = replace(CAPABILITIES, reactions="fixed", reaction_emoji=("❤️",))
