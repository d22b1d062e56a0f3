"""What a Telegram bot can send (channel facts, 4.3-4.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from channels.capabilities import Capabilities, ChoiceRule, MediaRule, RateRule, Receipts, TextLimit

CHANNEL: Final = "Telegram"
"""As refusals call it."""

MEGABYTE: Final = 1024 * 1024
TEXT: Final = TextLimit(4096, "utf16")
CAPTION: Final = TextLimit(1024, "utf16")
PAYLOAD: Final = TextLimit(64, "bytes")
ALBUM: Final = 10

_TITLE: Final = TextLimit(256)
"""Telegram publishes no limit for the words on a button; clients show a line. This bound is ours."""
_AUDIO: Final = ("audio/mpeg", "audio/mp3", "audio/mp4", "audio/m4a", "audio/x-m4a", "audio/aac")


def _media(*mime_types: str, most: int = 50, by_link: int = 20, caption: TextLimit | None = CAPTION) -> MediaRule:
    return MediaRule(most * MEGABYTE, mime_types, by_link * MEGABYTE, caption)


REACTIONS: Final = (
    "❤", "👍", "👎", "🔥", "🥰", "👏", "😁", "🤔", "🤯", "😱", "🤬", "😢", "🎉", "🤩",
    "🤮", "💩", "🙏", "👌", "🕊", "🤡", "🥱", "🥴", "😍", "🐳", "❤\u200d🔥", "🌚", "🌭", "💯",
    "🤣", "⚡", "🍌", "🏆", "💔", "🤨", "😐", "🍓", "🍾", "💋", "🖕", "😈", "😴", "😭",
    "🤓", "👻", "👨\u200d💻", "👀", "🎃", "🙈", "😇", "😨", "🤝", "✍", "🤗", "🫡", "🎅", "🎄",
    "☃", "💅", "🤪", "🗿", "🆒", "💘", "🙉", "🦄", "😘", "💊", "🙊", "😎", "👾", "🤷\u200d♂",
    "🤷", "🤷\u200d♀", "😡",
)  # fmt: skip
"""The whole list, without variation selectors: Telegram refuses a heart that carries one."""

CAPABILITIES: Final = Capabilities(
    text=TEXT,
    media={
        "image": replace(
            _media("image/jpeg", "image/png", "image/webp", most=10, by_link=5), max_sides=10_000, max_ratio=20
        ),
        "video": _media("video/mp4"),
        "audio": _media(*_AUDIO),
        "voice": _media("audio/ogg", "audio/opus", *_AUDIO),
        "document": _media(),
        "animation": _media("image/gif", "video/mp4"),
        "sticker": _media("image/webp", "application/x-tgsticker", "video/webm", caption=None),
        "video_note": _media("video/mp4", by_link=0, caption=None),
    },
    choices={
        "buttons": ChoiceRule(100, _TITLE, TEXT, PAYLOAD, links=True, sections=100),
        # A tap sends the title as an ordinary text: the payload does not travel.
        "quick_replies": ChoiceRule(100, _TITLE, TEXT, PAYLOAD, sections=100),
        "list": ChoiceRule(100, _TITLE, TEXT, PAYLOAD, links=True, description=TextLimit(256), sections=100),
    },
    # Own sends are told back only in chats of business accounts: nothing to rely on.
    receipts=Receipts(delivered=None, read=None, correlation=False, echoes=False),
    rates=(
        RateRule("channel", 30, 1, 30),
        RateRule("recipient", 1, 1, 3),
        RateRule("group", 20, 60, 20),
    ),
    location=True,
    contacts=True,
    reply_to=True,
    reactions="fixed",
    reaction_emoji=REACTIONS,
    typing_seconds=5,
    mark_read=True,
    edit=True,
    delete=True,
    profiles=True,
    delete_within_hours=48,
    album=ALBUM,
)
"""``mark_read`` acts only in chats of business accounts; ``voice`` above 1 MB by link arrives as a file; a caption that
is too long for its file follows as a text."""
