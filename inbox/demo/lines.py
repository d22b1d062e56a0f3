"""Lines for a terminal: what a message says, safe to print whatever a customer wrote, coloured on demand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from inbox.messages.schemas import MessageView

Tone = Literal["in", "out", "auto", "receipt", "quiet", "bad"]
"""``auto``: what happens by itself."""

COLOURS: dict[Tone, str] = {"in": "1", "out": "36", "auto": "33", "receipt": "32", "quiet": "2", "bad": "31"}
CHANNEL_COLOURS = {"whatsapp": "32", "messenger": "34", "instagram": "35", "telegram": "36"}
AFTER_NAME: dict[Tone, str] = {"in": ": ", "out": ": ", "auto": " · "}
EXCERPT = 40
NAME = 48

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Line:
    """``at`` is an ISO time in UTC; ``number`` the conversation's short number."""

    at: str | None
    number: int | None = None
    channel: str = ""
    who: str = ""
    text: str = ""
    tone: Tone = "quiet"


def rendered(line: Line, *, colour: bool) -> str:
    """Without a line break at its end, and without one inside."""
    at = datetime.fromisoformat(line.at).astimezone() if line.at else datetime.now().astimezone()
    number = f"[{line.number}]" if line.number is not None else ""
    head = f"{at:%H:%M:%S} {number:>5} "
    channel, text = f"{line.channel:<10}", safe(line.text)
    who = f"{safe(line.who)[:NAME]}{AFTER_NAME.get(line.tone, ' ')}" if line.who else ""
    if not colour:
        return f"{head}{channel} {who}{text}".rstrip()
    channel = _coloured(channel, CHANNEL_COLOURS.get(line.channel, "0"))
    return f"{_coloured(head, '2')}{channel} {_coloured(f'{who}{text}', COLOURS[line.tone])}"


def safe(text: str) -> str:
    """No control character of a customer's reaches the terminal: an escape sequence could do anything there."""
    return _CONTROL.sub(" ", text)


def words_of(message: MessageView) -> str:
    return words_of_parts(message.parts)


def excerpt(message: MessageView) -> str:
    return quoted(words_of(message))


def quoted(words: str) -> str:
    return f"“{words[:EXCERPT]}{'…' if len(words) > EXCERPT else ''}”"


def words_of_parts(parts: Iterable[Any]) -> str:
    """All of them in one line."""
    return safe(" · ".join(_part(part) for part in parts) or "(nothing)")


def author_of(message: MessageView, me: UUID | None) -> str:
    if me is not None and message.author.id == me:
        return "you"
    if message.author.kind == "native_app":
        return "the provider's app"
    name = message.author.name or message.author.kind
    return f"{name} (bot)" if message.author.kind == "bot" else name


def _part(part: Any) -> str:
    """A stored part of any kind; one that we do not know is named by its type."""
    if not isinstance(part, dict):
        return "[?]"
    kind = str(part.get("type", "?"))
    match kind:
        case "text":
            return str(part.get("text", ""))
        case "location":
            place = part.get("name") or part.get("address") or f"{part.get('latitude')}, {part.get('longitude')}"
            return f"[location] {place}"
        case "contacts":
            names = ", ".join(str(card.get("name") or "?") for card in part.get("cards") or ())
            return f"[contact] {names}"
        case "choice":
            return f"[tapped] {part.get('title') or part.get('payload') or ''}"
        case "choices":
            return f"[choices] {part.get('text', '')}"
        case "template":
            return f"[template] {part.get('name', '')}"
        case "unsupported":
            return f"[unsupported: {part.get('what', '?')}]"
        case "media":
            kind = str(part.get("kind", "media"))
    said = part.get("caption") or part.get("text") or part.get("emoji") or _filename(part)
    return f"[{kind}] {said}" if said else f"[{kind}]"


def _filename(part: dict[str, Any]) -> str | None:
    media = part.get("media")
    found = media.get("filename") if isinstance(media, dict) else part.get("filename")
    return str(found) if found else None


def _coloured(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"
