"""Keyboards as the Bot API checks them (facts, 4.4)."""

from __future__ import annotations

import re

from channels.simulator.wire import as_list, as_object, as_text
from channels.types import JsonObject, JsonValue

CALLBACK_BYTES = 64
_MOST_BUTTONS = 100
_LINK = re.compile(r"(?:https?|tg|ton)://\S+|[\w-]+(?:\.[\w-]+)+(?:[/?#]\S*)?")
_ACTIONS = frozenset({
    "url", "callback_data", "web_app", "login_url", "switch_inline_query", "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat", "copy_text", "callback_game", "pay",
})  # fmt: skip
_OTHERS = ("keyboard", "remove_keyboard", "force_reply")


def markup_trouble(markup: JsonValue) -> str | None:
    """What is wrong with ``reply_markup``; ``None`` when nothing is."""
    if markup is None or markup == "":
        return None
    if not isinstance(markup, dict):
        return "object expected as reply markup"
    if "inline_keyboard" in markup:
        return _inline_trouble(markup["inline_keyboard"])
    if "keyboard" in markup:
        return _keyboard_trouble(markup)
    if not any(markup.get(key) is True for key in _OTHERS):
        return "can't parse reply keyboard markup JSON object"
    return _placeholder_trouble(markup)


def _rows(keyboard: JsonValue, name: str) -> list[list[JsonValue]] | str:
    if not isinstance(keyboard, list):
        return f'field "{name}" of the ReplyMarkup must be of type Array'
    rows: list[list[JsonValue]] = []
    for row in keyboard:
        if not isinstance(row, list):
            return f'field "{name}" of the ReplyMarkup must be an Array of Arrays'
        rows.append(row)
    return rows


def _inline_trouble(keyboard: JsonValue) -> str | None:
    rows = _rows(keyboard, "inline_keyboard")
    if isinstance(rows, str):
        return rows
    if sum(len(row) for row in rows) > _MOST_BUTTONS:
        return "REPLY_MARKUP_TOO_LONG"
    for row in rows:
        for button in map(as_object, row):
            trouble = _button_trouble(button)
            if trouble is not None:
                return trouble
    return None


def _button_trouble(button: JsonObject) -> str | None:
    where = "can't parse inline keyboard button:"
    if not as_text(button.get("text")):
        return f'{where} Field "text" must be non-empty'
    chosen = _ACTIONS & button.keys()
    if not chosen:
        return f"{where} Text buttons are unallowed in the inline keyboard"
    data = button.get("callback_data")
    if "callback_data" in chosen and not 1 <= len((as_text(data) or "").encode()) <= CALLBACK_BYTES:
        return "BUTTON_DATA_INVALID"
    url = as_text(button.get("url"))
    if "url" in chosen and not _LINK.fullmatch(url or ""):
        return f"inline keyboard button URL '{url or ''}' is invalid: URL host is empty"
    return None


def _keyboard_trouble(markup: JsonObject) -> str | None:
    rows = _rows(markup["keyboard"], "keyboard")
    if isinstance(rows, str):
        return rows
    for button in (button for row in rows for button in row):
        if not (as_text(button) or as_text(as_object(button).get("text"))):
            return 'can\'t parse keyboard button: Field "text" must be non-empty'
    return _placeholder_trouble(markup)


def _placeholder_trouble(markup: JsonObject) -> str | None:
    placeholder = as_text(markup.get("input_field_placeholder"))
    return "input field placeholder is too long" if placeholder is not None and len(placeholder) > 64 else None


def shown_markup(markup: JsonValue) -> JsonObject:
    """What a message shows of it: only buttons below the message belong to it."""
    inline = as_list(as_object(markup).get("inline_keyboard"))
    return {"reply_markup": {"inline_keyboard": inline}} if inline else {}
