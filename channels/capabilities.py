"""What a channel can do, as data: published by the API and enforced before a message is queued.

Figures and their sources: channel facts, sections 1.3-1.5, 2.3-2.4, 3.3-3.4, 4.3-4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from channels.content import MediaKind

MEDIA_WORDS: Final[Mapping[MediaKind, str]] = {
    "image": "images",
    "video": "videos",
    "audio": "audio files",
    "voice": "voice messages",
    "document": "documents",
    "sticker": "stickers",
    "animation": "animations",
    "video_note": "video notes",
}
"""The kinds as a person calls them, for refusals."""

TextUnit = Literal["characters", "bytes", "utf16"]
TemplateSource = Literal["synced", "given"]
"""``synced``: the provider lists its templates, so a send names values for their gaps. ``given``: it does not, so a
send carries the components as the provider wants them."""


@dataclass(frozen=True, slots=True)
class TextLimit:
    maximum: int
    unit: TextUnit = "characters"


@dataclass(frozen=True, slots=True)
class MediaRule:
    """``mime_types`` empty: any; ``image/*``: any image. Sizes in bytes, by upload and by link."""

    max_bytes: int
    mime_types: tuple[str, ...] = ()
    max_bytes_by_link: int | None = None
    caption: TextLimit | None = None
    still_max_bytes: int | None = None
    """Where what does not move has a lower limit. Known from the bytes only, so it is checked at the upload."""
    max_sides: int | None = None
    """Width and height together, in pixels."""
    max_ratio: int | None = None
    """How many times the shorter side the longer one may be."""


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """Limits of one style of choices."""

    maximum: int
    title: TextLimit
    text: TextLimit
    payload: TextLimit
    links: bool = False
    description: TextLimit | None = None
    sections: int = 1
    header: TextLimit | None = None
    """``None``, of these: no limit of its own; where there is no place for it, its words go into the text."""
    footer: TextLimit | None = None
    label: TextLimit | None = None
    """Of the button that opens a list."""
    section_title: TextLimit | None = None


@dataclass(frozen=True, slots=True)
class TemplateRule:
    """Limits of a template that is filled in: of its whole header and body, and of what its buttons are given."""

    header: TextLimit
    body: TextLimit
    button_link: TextLimit
    button_payload: TextLimit
    button_code: TextLimit


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How long after the customer's last opening event free messages may go out."""

    hours: int
    human_agent_hours: int | None = None
    templates_outside: bool = False


@dataclass(frozen=True, slots=True)
class RateRule:
    """``count`` per ``seconds``, with ``burst`` on top of an empty history; one bucket per ``scope``."""

    scope: Literal["channel", "recipient", "group"]
    count: float
    seconds: float
    burst: int
    lane: Literal["any", "message", "media"] = "any"


@dataclass(frozen=True, slots=True)
class Receipts:
    delivered: Literal["id", "watermark"] | None
    read: Literal["id", "watermark"] | None
    correlation: bool
    """Whether the provider gives our correlation value back, in receipts or echoes."""
    echoes: bool


@dataclass(frozen=True, slots=True)
class Capabilities:
    text: TextLimit
    media: Mapping[MediaKind, MediaRule]
    choices: Mapping[Literal["buttons", "quick_replies", "list"], ChoiceRule]
    receipts: Receipts
    rates: tuple[RateRule, ...]
    window: WindowRule | None = None
    location: bool = False
    contacts: bool = False
    reply_to: bool = False
    reactions: Literal["any", "fixed"] | None = None
    reaction_emoji: tuple[str, ...] = ()
    typing_seconds: float | None = None
    """How long a typing sign stands; ``None``: the channel has none."""
    typing_marks_read: bool = False
    mark_read: bool = False
    edit: bool = False
    delete: bool = False
    delete_within_hours: int | None = None
    """How long after the send a message can be deleted; ``None``: as long as it is there."""
    blocks_people: bool = False
    """Whether the provider itself can keep a person from writing to us."""
    profiles: bool = False
    """Whether the provider can be asked who somebody is."""
    templates: TemplateSource | None = None
    template: TemplateRule | None = None
    """``None``: only the provider knows."""
    starts_conversations: bool = False
    album: int = 1
    """Files in one message."""
