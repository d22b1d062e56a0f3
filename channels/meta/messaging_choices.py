"""Choices for the Send API: quick replies above the keyboard, or a button template (channel facts, 2.3 and 3.3)."""

from __future__ import annotations

from typing import Final

from channels.capabilities import Capabilities, ChoiceRule
from channels.errors import ContentRefused
from channels.limits import check_link, check_words
from channels.outbound import Choice, OutboundChoices, Piece
from channels.types import JsonObject, JsonValue

_WORDS: Final = {"buttons": "buttons", "quick_replies": "quick replies", "list": "lists"}


def render_choices(part: OutboundChoices, capabilities: Capabilities, channel: str, index: int) -> Piece:
    """Raises ``ContentRefused``."""
    where, rule = f"choices.{part.style}", capabilities.choices.get(part.style)
    if rule is None:
        offered, reason = ", ".join(capabilities.choices), f"{channel} has no {_WORDS[part.style]}."
        raise ContentRefused("not_offered", reason, limit="choices", allowed=offered, part=index)
    choices = _within_number(part, rule, where, channel, index)
    # Header and footer have no place of their own here, yet they are words that were meant to be read.
    text = "\n\n".join(words for words in (part.header, part.text, part.footer) if words and words.strip())
    if not text:
        raise ContentRefused("empty", "Choices need a text.", limit=f"{where}.text.minimum", allowed=1, part=index)
    text = check_words(text, rule.text, f"{where}.text.maximum", part=index, channel=channel)
    rendered: list[JsonValue] = [_choice(choice, part.style, rule, channel, index) for choice in choices]
    if part.style == "quick_replies":
        return Piece({"message": {"text": text, "quick_replies": rendered}}, text=text)
    template: JsonObject = {"template_type": "button", "text": text, "buttons": rendered}
    return Piece({"message": {"attachment": {"type": "template", "payload": template}}}, text=text)


def _within_number(part: OutboundChoices, rule: ChoiceRule, where: str, channel: str, index: int) -> list[Choice]:
    if len(part.sections) > rule.sections:
        reason, limit = f"{channel} shows no sections of choices.", f"{where}.sections"
        raise ContentRefused("too_many", reason, limit=limit, allowed=rule.sections, part=index)
    choices = [choice for section in part.sections for choice in section.choices]
    if not choices:
        raise ContentRefused("empty", "There is nothing to choose.", limit=f"{where}.minimum", allowed=1, part=index)
    if len(choices) > rule.maximum:
        reason = f"{channel} takes at most {rule.maximum} {_WORDS[part.style]}."
        raise ContentRefused("too_many", reason, limit=f"{where}.maximum", allowed=rule.maximum, part=index)
    return choices


def _choice(choice: Choice, style: str, rule: ChoiceRule, channel: str, index: int) -> JsonObject:
    where = f"choices.{style}"
    if not choice.title.strip():
        raise ContentRefused("empty", "A choice needs a title.", limit=f"{where}.title.minimum", allowed=1, part=index)
    title = check_words(choice.title, rule.title, f"{where}.title.maximum", part=index, channel=channel)
    if choice.url is not None:
        if not rule.links:
            reason = f"{channel} has no links among its {_WORDS[style]}."
            raise ContentRefused("not_offered", reason, limit=f"{where}.links", allowed=0, part=index)
        return {"type": "web_url", "title": title, "url": check_link(choice.url, f"{where}.url", part=index)}
    payload = choice.payload or choice.title
    payload = check_words(payload, rule.payload, f"{where}.payload.maximum", part=index, channel=channel)
    kind = {"content_type": "text"} if style == "quick_replies" else {"type": "postback"}
    return {**kind, "title": title, "payload": payload}
