"""Which call an edit becomes: words, caption, file or buttons (channel facts, 4.4). Pure.

An id does not tell whether its message is a text or a file with a caption. So an edit of words has a second call, for
when Telegram says that there is no text in that message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from channels.content import MediaKind
from channels.errors import ContentRefused
from channels.outbound import OutboundChoices, OutboundMedia, OutboundPart, OutboundText
from channels.split import fits
from channels.telegram.capabilities import CAPABILITIES, CAPTION, TEXT
from channels.telegram.keyboard import choice_text, markup
from channels.telegram.media import CALLS, caption_params, checked_caption
from channels.telegram.texts import text_params
from channels.types import JsonObject

_REPLACEABLE: Final[frozenset[MediaKind]] = frozenset({"image", "video", "animation", "audio", "document"})


@dataclass(frozen=True, slots=True)
class Edit:
    method: str
    params: JsonObject
    otherwise: Edit | None = None


def plan_edit(parts: Sequence[OutboundPart]) -> Edit:
    """Raises ``ContentRefused``. A message stays one message, of the kind that it was sent as."""
    [part] = parts if len(parts) == 1 else [None]
    match part:
        case OutboundText():
            [params] = _one(text_params(part.text, part.entities, 0, preview=part.preview_links))
            return Edit("editMessageText", params, _as_caption(params))
        case OutboundChoices():
            return _edit_choices(part)
        case OutboundMedia():
            return _edit_media(part)
        case _:
            reason = "On Telegram an edit replaces the words, the file or the buttons of one message."
            raise ContentRefused("not_offered", reason, limit="edit")


def _one(found: list[JsonObject]) -> list[JsonObject]:
    if len(found) > 1:
        reason = "An edited text stays one message."
        raise ContentRefused("too_long", reason, limit="text.maximum", allowed=TEXT.maximum)
    return found


def _as_caption(params: JsonObject) -> Edit | None:
    """The same words below a file, where they fit there."""
    words = str(params["text"])
    if not fits(words, CAPTION):
        return None
    caption: JsonObject = {"caption": words}
    if "entities" in params:
        caption["caption_entities"] = params["entities"]
    return Edit("editMessageCaption", caption)


def _edit_choices(part: OutboundChoices) -> Edit:
    """Choices without words change the buttons and leave the words as they are."""
    if part.style == "quick_replies":
        reason = "Quick replies belong to the keyboard, not to a message: they cannot be edited."
        raise ContentRefused("not_offered", reason, limit="edit")
    keyboard = markup(part, 0)
    text, entities = choice_text(part)
    if not text:
        return Edit("editMessageReplyMarkup", {"reply_markup": keyboard})
    [params] = _one(text_params(text, entities, 0))
    return Edit("editMessageText", {**params, "reply_markup": keyboard})


def _edit_media(part: OutboundMedia) -> Edit:
    """A linked file takes the place of the one that is there. An edit carries no upload, so a stored file stands for
    the one that is there, and only its caption changes.
    """
    rule = CAPABILITIES.media[part.kind]
    caption, rest = checked_caption(part, 0)
    if rest:
        allowed = rule.caption.maximum if rule.caption else 0
        reason = f"An edited caption has at most {allowed} characters." if allowed else "This kind takes no caption."
        limit = f"media.{part.kind}.caption"
        raise ContentRefused("too_long", reason, limit=f"{limit}.maximum" if rule.caption else limit, allowed=allowed)
    if part.url is None and rule.caption is not None:
        return Edit("editMessageCaption", caption_params(part, caption))
    if part.url is None or part.kind not in _REPLACEABLE:
        raise ContentRefused("not_offered", "Telegram cannot exchange a file of this kind.", limit="edit")
    media: JsonObject = {"type": CALLS[part.kind][1], "media": part.url}
    return Edit("editMessageMedia", {"media": {**media, **caption_params(part, caption)}})
