"""What the Cloud API refuses in interactive messages (facts, 1.4)."""

from __future__ import annotations

from channels.simulator.graph_errors import GraphError, bad, invalid, missing
from channels.simulator.whatsapp_fields import body_of, text_field
from channels.simulator.whatsapp_media import check_reference
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import Account, World
from channels.types import JsonObject

_ACTION = "interactive['action']"
_NAMED_ACTIONS = {
    "location_request_message": "send_location",
    "request_contact_info": "request_contact_info",
    "call_permission_request": "call_permission_request",
    "cta_url": "cta_url",
    "flow": "flow",
    "catalog_message": "catalog_message",
    "order_details": "review_and_pay",
    "order_status": "review_order",
    "address_message": "address_message",
    "voice_call": "voice_call",
}
"""Kind → the only ``name`` that its action may have."""
_KINDS = frozenset({*_NAMED_ACTIONS, "button", "list", "product", "product_list", "carousel"})
_BODILESS = frozenset({"product", "call_permission_request"})
_HEADED = frozenset({"button", "cta_url", "flow", "order_details"})
"""Kinds whose header may be a picture, a video or a document."""


def check_interactive(world: World, account: Account, fields: JsonObject) -> None:
    interactive = body_of(fields, "interactive")
    kind = as_text(interactive.get("type"))
    if kind is None:
        raise missing("interactive['type']")
    if kind not in _KINDS:
        raise invalid(f"interactive['type'] {kind} is not supported")
    action = as_object(interactive.get("action"))
    if not action:
        raise missing(_ACTION)
    body_limit = 4096 if kind == "list" else 1024
    body = as_object(interactive.get("body"))
    text_field(body, "text", "interactive['body']['text']", body_limit, required=kind not in _BODILESS)
    text_field(as_object(interactive.get("footer")), "text", "interactive['footer']['text']", 60, required=False)
    _check_header(world, account, interactive, kind)
    if kind in _NAMED_ACTIONS and action.get("name") != _NAMED_ACTIONS[kind]:
        raise invalid(f"{_ACTION}['name'] must be {_NAMED_ACTIONS[kind]}")
    match kind:
        case "button":
            _check_buttons(action)
        case "list":
            _check_list(action)
        case "cta_url":
            _check_link(action)
        case "flow":
            _check_flow(action)
        case "product" | "product_list":
            _check_products(kind, action)
        case "carousel":
            cards = as_list(action.get("cards"))
            if not 2 <= len(cards) <= 10:
                raise invalid("Invalid cards count. Min allowed cards: 2, Max allowed cards: 10")


def _check_header(world: World, account: Account, interactive: JsonObject, kind: str) -> None:
    header = as_object(interactive.get("header"))
    if not header:
        if kind == "product_list":
            raise missing("interactive['header']")
        return
    shape = as_text(header.get("type"))
    if shape == "text":
        text_field(header, "text", "interactive['header']['text']", 60)
    elif shape in ("image", "video", "document") and kind in _HEADED:
        check_reference(world, account, as_object(header.get(shape)), f"interactive['header']['{shape}']")
    else:
        raise invalid(f"interactive['header'] of a {kind} cannot be of type {shape}")


def _check_buttons(action: JsonObject) -> None:
    buttons = [as_object(button) for button in as_list(action.get("buttons"))]
    if not 1 <= len(buttons) <= 3:
        raise invalid("Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3")
    if any(button.get("type") != "reply" for button in buttons):
        raise bad(f"Param {_ACTION}['buttons']['type'] must be one of {{REPLY}}.")
    replies = [as_object(button.get("reply")) for button in buttons]
    for reply in replies:
        text_field(reply, "id", f"{_ACTION}['buttons']['reply']['id']", 256)
        text_field(reply, "title", f"{_ACTION}['buttons']['reply']['title']", 20)
    _check_distinct(replies, "id")
    _check_distinct(replies, "title")


def _check_list(action: JsonObject) -> None:
    text_field(action, "button", f"{_ACTION}['button']", 20)
    sections = [as_object(section) for section in as_list(action.get("sections"))]
    if not 1 <= len(sections) <= 10:
        raise invalid("Invalid sections count. Min allowed sections: 1, Max allowed sections: 10")
    rows: list[JsonObject] = []
    for section in sections:
        text_field(section, "title", f"{_ACTION}['sections']['title']", 24, required=len(sections) > 1)
        rows += [as_object(row) for row in as_list(section.get("rows"))]
    if not 1 <= len(rows) <= 10:
        raise invalid(f"Total row count exceed max allowed count: 10. Given: {len(rows)}")
    for row in rows:
        text_field(row, "id", f"{_ACTION}['sections']['rows']['id']", 200)
        text_field(row, "title", f"{_ACTION}['sections']['rows']['title']", 24)
        text_field(row, "description", f"{_ACTION}['sections']['rows']['description']", 72, required=False)
    _check_distinct(rows, "id")


def _check_link(action: JsonObject) -> None:
    parameters = as_object(action.get("parameters"))
    text_field(parameters, "display_text", f"{_ACTION}['parameters']['display_text']", 20)
    url = text_field(parameters, "url", f"{_ACTION}['parameters']['url']", 2000) or ""
    if not url.startswith(("http://", "https://")):
        raise invalid(f"{_ACTION}['parameters']['url'] is not a valid URL")


def _check_flow(action: JsonObject) -> None:
    parameters = as_object(action.get("parameters"))
    text_field(parameters, "flow_message_version", f"{_ACTION}['parameters']['flow_message_version']", 10)
    text_field(parameters, "flow_cta", f"{_ACTION}['parameters']['flow_cta']", 30)
    if bool(parameters.get("flow_id")) == bool(parameters.get("flow_name")):
        raise invalid(f"{_ACTION}['parameters'] must have exactly one of flow_id and flow_name")
    if parameters.get("flow_action", "navigate") not in ("navigate", "data_exchange"):
        raise invalid(f"{_ACTION}['parameters']['flow_action'] must be navigate or data_exchange")


def _check_products(kind: str, action: JsonObject) -> None:
    text_field(action, "catalog_id", f"{_ACTION}['catalog_id']", 200)
    if kind == "product":
        text_field(action, "product_retailer_id", f"{_ACTION}['product_retailer_id']", 200)
        return
    sections = [as_object(section) for section in as_list(action.get("sections"))]
    products = sum(len(as_list(section.get("product_items"))) for section in sections)
    if not 1 <= len(sections) <= 10 or not 1 <= products <= 30:
        raise GraphError(131009, "(#131009) Parameter value is not valid",
                         details=f"{_ACTION}: 1 to 10 sections and 1 to 30 products are allowed")  # fmt: skip


def _check_distinct(replies: list[JsonObject], key: str) -> None:
    if len({str(reply.get(key)) for reply in replies}) != len(replies):
        raise invalid(f"Duplicated {key} in {_ACTION}")
