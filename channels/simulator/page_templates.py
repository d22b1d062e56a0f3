"""Structured messages of Messenger and Instagram: button, generic and other templates (facts, 2.3, 3.3)."""

from __future__ import annotations

from channels.simulator.graph_errors import GraphError, bad
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import Account
from channels.types import JsonObject


def too_long(name: str, limit: int) -> GraphError:
    return bad(f"Length of param {name} must be less than or equal to {limit}")


def check_template(account: Account, payload: JsonObject) -> None:
    match payload.get("template_type"):
        case "button":
            text = as_text(payload.get("text"))
            if not text or len(text) > 640:
                raise bad("The text of a button template must have between 1 and 640 characters.")
            _check_buttons(account, payload, least=1)
        case "generic":
            elements = [as_object(element) for element in as_list(payload.get("elements"))]
            if not 1 <= len(elements) <= 10:
                raise bad("A generic template must have between 1 and 10 elements.")
            for element in elements:
                title = as_text(element.get("title"))
                if not title or len(title) > 80 or len(as_text(element.get("subtitle")) or "") > 80:
                    raise bad("An element needs a title; title and subtitle have at most 80 characters.")
                _check_buttons(account, element, least=0)
        case "product":
            return
        case "image_grid" if account.kind == "messenger":
            if not 2 <= len(as_list(payload.get("elements"))) <= 6:
                raise bad("An image grid must have between 2 and 6 elements.")
        case "media" | "receipt" | "coupon" | "customer_feedback" if account.kind == "messenger":
            return
        case kind:
            raise bad(f"Unknown template_type {kind}")


def _check_buttons(account: Account, holder: JsonObject, *, least: int) -> None:
    buttons = [as_object(button) for button in as_list(holder.get("buttons"))]
    if not least <= len(buttons) <= 3:
        raise bad(f"A template must have between {least} and 3 buttons.")
    allowed = {"web_url", "postback"}
    if account.kind == "messenger":
        allowed |= {"phone_number", "account_link", "account_unlink"}
    for button in buttons:
        if button.get("type") not in allowed:
            raise bad(f"Param type of a button must be one of {{{', '.join(sorted(allowed))}}}")
        title = as_text(button.get("title")) or ""
        if len(title) > 20:
            raise too_long("button[title]", 20)
        payload = as_text(button.get("payload"))
        if button["type"] == "postback" and (not title or not payload or len(payload) > 1000):
            raise bad("A postback button needs a title and a payload of at most 1000 characters.")
        if button["type"] == "web_url" and not as_text(button.get("url")):
            raise bad("A web_url button needs a url.")
