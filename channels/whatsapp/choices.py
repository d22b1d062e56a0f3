"""Interactive messages: reply buttons, one link button, a list of rows (channel facts, section 1.4)."""

from __future__ import annotations

from typing import Final

from channels.capabilities import ChoiceRule, TextLimit
from channels.errors import ContentRefused
from channels.limits import check_link, check_words
from channels.outbound import Choice, ChoiceSection, OutboundChoices
from channels.types import JsonObject, JsonValue
from channels.whatsapp.capabilities import CAPABILITIES, CHANNEL
from channels.wire import plain

_REPLY_STYLES: Final = frozenset(("buttons", "quick_replies"))


def render_choices(part: OutboundChoices, index: int) -> JsonObject:
    """The ``interactive`` message. Raises ``ContentRefused``."""
    rule = CAPABILITIES.choices[part.style]
    where = f"choices.{part.style}"
    choices = [choice for section in part.sections for choice in section.choices]
    _check_number(choices, rule, where, index)
    interactive: JsonObject = {}
    if part.header:
        interactive["header"] = {
            "type": "text",
            "text": _words(part.header, rule.header, f"{where}.header.maximum", index),
        }
    if not part.text.strip():
        raise ContentRefused("empty", "Choices need a text.", limit=f"{where}.text.minimum", allowed=1, part=index)
    interactive["body"] = {"text": _words(part.text, rule.text, f"{where}.text.maximum", index)}
    if part.footer:
        interactive["footer"] = {"text": _words(part.footer, rule.footer, f"{where}.footer.maximum", index)}
    if part.style in _REPLY_STYLES:
        kind, action = _link(choices, rule, where, index) or _buttons(choices, rule, where, index)
    else:
        kind, action = _list(part, rule, where, index)
    return {"type": "interactive", "interactive": {"type": kind, **interactive, "action": action}}


def _check_number(choices: list[Choice], rule: ChoiceRule, where: str, index: int) -> None:
    if not choices:
        raise ContentRefused("empty", "There is nothing to choose.", limit=f"{where}.minimum", allowed=1, part=index)
    if len(choices) > rule.maximum:
        raise ContentRefused(
            "too_many",
            f"WhatsApp takes at most {rule.maximum} of these.",
            limit=f"{where}.maximum",
            allowed=rule.maximum,
            part=index,
        )


def _link(choices: list[Choice], rule: ChoiceRule, where: str, index: int) -> tuple[str, JsonObject] | None:
    """A button that opens a link stands alone in its message; ``None`` where no choice is a link."""
    linked = [choice for choice in choices if choice.url]
    if not linked:
        return None
    if not rule.links or len(choices) > 1:
        raise ContentRefused(
            "not_offered",
            "On WhatsApp a link button stands alone in its message.",
            limit=f"{where}.links",
            allowed=1 if rule.links else 0,
            part=index,
        )
    title = _title(linked[0], rule.title, where, index)
    url = check_link(linked[0].url or "", f"{where}.url", part=index)
    return "cta_url", {"name": "cta_url", "parameters": {"display_text": title, "url": url}}


def _buttons(choices: list[Choice], rule: ChoiceRule, where: str, index: int) -> tuple[str, JsonObject]:
    buttons: list[JsonValue] = [
        {"type": "reply", "reply": {"id": identifier, "title": _title(choice, rule.title, where, index)}}
        for choice, identifier in _identified(choices, rule, where, index)
    ]
    return "button", {"buttons": buttons}


def _list(part: OutboundChoices, rule: ChoiceRule, where: str, index: int) -> tuple[str, JsonObject]:
    sections = [section for section in part.sections if section.choices]
    if len(sections) > rule.sections:
        raise ContentRefused(
            "too_many",
            f"WhatsApp takes at most {rule.sections} sections.",
            limit=f"{where}.sections",
            allowed=rule.sections,
            part=index,
        )
    if not part.label:
        raise ContentRefused(
            "invalid", "A list needs a label for the button that opens it.", limit=f"{where}.label", part=index
        )
    label = _words(part.label, rule.label, f"{where}.label.maximum", index)
    identified = iter(_identified([choice for section in sections for choice in section.choices], rule, where, index))
    rendered: list[JsonValue] = []
    for section in sections:
        rows: list[JsonValue] = [
            _row(choice, identifier, rule, where, index)
            for choice, identifier in (next(identified) for _ in section.choices)
        ]
        rendered.append({**_section_title(section, len(sections), rule, where, index), "rows": rows})
    return "list", {"button": label, "sections": rendered}


def _section_title(section: ChoiceSection, sections: int, rule: ChoiceRule, where: str, index: int) -> JsonObject:
    if section.title:
        return {"title": _words(section.title, rule.section_title, f"{where}.section_title.maximum", index)}
    if sections > 1:
        raise ContentRefused(
            "invalid", "Every section needs a title when there are several.", limit=f"{where}.section_title", part=index
        )
    return {}


def _row(choice: Choice, identifier: str, rule: ChoiceRule, where: str, index: int) -> JsonObject:
    if choice.url:
        raise ContentRefused(
            "not_offered", "A row of a list cannot be a link.", limit=f"{where}.links", allowed=0, part=index
        )
    row: JsonObject = {"id": identifier, "title": _title(choice, rule.title, where, index)}
    if choice.description and rule.description:
        row["description"] = _words(choice.description, rule.description, f"{where}.description.maximum", index)
    return row


def _title(choice: Choice, limit: TextLimit, where: str, index: int) -> str:
    if not choice.title.strip():
        raise ContentRefused("empty", "A choice needs a title.", limit=f"{where}.title.minimum", allowed=1, part=index)
    return _words(choice.title, limit, f"{where}.title.maximum", index)


def _identified(choices: list[Choice], rule: ChoiceRule, where: str, index: int) -> list[tuple[Choice, str]]:
    """Each choice with the id that a tap gives back: its payload, else its title. WhatsApp refuses equal ones."""
    found = [
        (choice, _words(choice.payload or choice.title, rule.payload, f"{where}.payload.maximum", index))
        for choice in choices
    ]
    if len({identifier for _, identifier in found}) < len(found):
        raise ContentRefused("invalid", "Two choices have the same payload.", limit=f"{where}.payload", part=index)
    return found


def _words(text: str, limit: TextLimit | None, name: str, index: int) -> str:
    """``limit`` None: there is none."""
    return plain(text) if limit is None else check_words(text, limit, name, part=index, channel=CHANNEL)
