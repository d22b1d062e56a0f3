"""One check of words against a limit, with a refusal that names it."""

from __future__ import annotations

from channels.capabilities import TextLimit
from channels.errors import ContentRefused
from channels.split import fits
from channels.wire import plain


def checked(text: str, limit: TextLimit, name: str, index: int) -> str:
    """``text``, storable and within ``limit``; else ``ContentRefused`` with the limit's ``name``."""
    text = plain(text)
    if not fits(text, limit):
        raise ContentRefused(
            "too_long",
            f"Too long for WhatsApp: at most {limit.maximum} {limit.unit}.",
            limit=name,
            allowed=limit.maximum,
            part=index,
        )
    return text
