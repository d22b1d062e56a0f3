"""Choices as keyboards: buttons and lists below the message, quick replies in the place of the person's keyboard."""

from __future__ import annotations

from channels.content import Entity
from channels.errors import ContentRefused
from channels.limits import check_link, check_words
from channels.outbound import Choice, ChoiceSection, OutboundChoices, Piece
from channels.telegram.capabilities import CAPABILITIES, CHANNEL
from channels.telegram.texts import text_params
from channels.types import JsonObject, JsonValue

_OWN_LINK = "tg://"
"""Opens a person or a chat inside Telegram."""


def render_choices(part: OutboundChoices, index: int) -> list[Piece]:
    """The text, split where it is long, with the keyboard below its last piece."""
    keyboard = markup(part, index)
    text, entities = choice_text(part)
    found = text_params(text, entities, index)
    found[-1]["reply_markup"] = keyboard
    return [Piece({"method": "sendMessage", "params": params}, text=str(params["text"])) for params in found]


def markup(part: OutboundChoices, index: int) -> JsonObject:
    """One choice a row. Raises ``ContentRefused``."""
    rows = [_button(part, choice, index) for section in part.sections for choice in section.choices]
    limit, rule = f"choices.{part.style}", CAPABILITIES.choices[part.style]
    if not rows:
        reason = "There is nothing to choose from."
        raise ContentRefused("empty", reason, limit=f"{limit}.minimum", allowed=1, part=index)
    if len(rows) > rule.maximum:
        reason = f"At most {rule.maximum} choices fit below a message."
        raise ContentRefused("too_many", reason, limit=f"{limit}.maximum", allowed=rule.maximum, part=index)
    keyboard: list[JsonValue] = [[row] for row in rows]
    if part.style == "quick_replies":
        return {"keyboard": keyboard, "one_time_keyboard": True, "resize_keyboard": True}
    return {"inline_keyboard": keyboard}


def choice_text(part: OutboundChoices) -> tuple[str, tuple[Entity, ...]]:
    """Telegram's buttons have neither header nor description, so what they say goes into the text."""
    blocks = [part.header, part.text, *(_section_text(section) for section in part.sections), part.footer]
    text = "\n\n".join(block for block in blocks if block and not block.isspace())
    return text, (Entity("bold", 0, len(part.header)),) if part.header and not part.header.isspace() else ()


def _section_text(section: ChoiceSection) -> str:
    lines = [f"{choice.title}: {choice.description}" for choice in section.choices if choice.description]
    return "\n".join([section.title, *lines] if section.title else lines)


def _button(part: OutboundChoices, choice: Choice, index: int) -> JsonObject:
    limit, rule = f"choices.{part.style}", CAPABILITIES.choices[part.style]
    if not choice.title.strip():
        reason = "A choice needs a title."
        raise ContentRefused("empty", reason, limit=f"{limit}.title.minimum", allowed=1, part=index)
    title = check_words(choice.title, rule.title, f"{limit}.title.maximum", part=index, channel=CHANNEL)
    if choice.url is not None:
        if not rule.links:
            reason = "A quick reply cannot open a link."
            raise ContentRefused("not_offered", reason, limit=f"{limit}.links", allowed=0, part=index)
        if not choice.url.startswith(_OWN_LINK):
            check_link(choice.url, f"{limit}.url", part=index)
        return {"text": title, "url": choice.url}
    if part.style == "quick_replies":
        return {"text": title}
    payload = choice.payload or title
    return {
        "text": title,
        "callback_data": check_words(payload, rule.payload, f"{limit}.payload.maximum", part=index, channel=CHANNEL),
    }
