"""What the Cloud API refuses at once in a message of the business (facts, 1.4). Every check raises ``GraphError``."""

from __future__ import annotations

import re
from collections.abc import Callable

from channels.simulator.graph_errors import GraphError, bad, invalid, missing
from channels.simulator.wire import as_list, as_number, as_object, as_text
from channels.simulator.world import Account
from channels.types import JsonObject, JsonValue

CAPTION_LIMIT = 1024
CORRELATION_LIMIT = 512
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")

Check = Callable[[Account, JsonObject], None]


def text_field(holder: JsonObject, key: str, path: str, limit: int, *, required: bool = True) -> str | None:
    value = holder.get(key)
    if value is None or value == "":
        if required:
            raise missing(path)
        return None
    if not isinstance(value, str):
        raise bad(f"Param {path} must be a string.")
    if len(value) > limit:
        raise bad(f"Param {path} must be at most {limit} characters long.")
    return value


def body_of(fields: JsonObject, kind: str) -> JsonObject:
    body = fields.get(kind)
    if body is None:
        raise missing(kind)
    if not isinstance(body, dict):
        raise bad(f"Param {kind} must be a JSON object.")
    return body


# --- Plain kinds ------------------------------------------------------------------------------------------------------


def check_text(account: Account, fields: JsonObject) -> None:
    text_field(body_of(fields, "text"), "body", "text['body']", 4096)


def check_location(account: Account, fields: JsonObject) -> None:
    place = body_of(fields, "location")
    for key, limit in (("latitude", 90.0), ("longitude", 180.0)):
        if place.get(key) is None:
            raise missing(f"location['{key}']")
        degrees = as_number(place[key])
        if degrees is None or abs(degrees) > limit:
            raise invalid(f"location['{key}'] is not a valid coordinate")


def check_contacts(account: Account, fields: JsonObject) -> None:
    cards = fields.get("contacts")
    if not isinstance(cards, list) or not cards:
        raise missing("contacts")
    for card in cards:
        text_field(as_object(as_object(card).get("name")), "formatted_name", "contacts['name']['formatted_name']", 4096)


def check_reaction(account: Account, fields: JsonObject) -> None:
    reaction = body_of(fields, "reaction")
    text_field(reaction, "message_id", "reaction['message_id']", 1024)
    if as_text(reaction.get("emoji")) is None:
        raise missing("reaction['emoji']")
    if "context" in fields:
        raise invalid("a reaction cannot carry context")


# --- Interactive ------------------------------------------------------------------------------------------------------


def check_interactive(account: Account, fields: JsonObject) -> None:
    interactive = body_of(fields, "interactive")
    kind = as_text(interactive.get("type"))
    if kind is None:
        raise missing("interactive['type']")
    action = as_object(interactive.get("action"))
    if not action:
        raise missing("interactive['action']")
    body = as_object(interactive.get("body"))
    if kind not in ("product", "catalog_message"):
        text_field(body, "text", "interactive['body']['text']", 4096 if kind == "list" else CAPTION_LIMIT)
    text_field(as_object(interactive.get("footer")), "text", "interactive['footer']['text']", 60, required=False)
    match kind:
        case "button":
            _check_buttons(action)
        case "list":
            _check_list(interactive, action)
        case "cta_url":
            parameters = as_object(action.get("parameters"))
            text_field(parameters, "display_text", "interactive['action']['parameters']['display_text']", 20)
            text_field(parameters, "url", "interactive['action']['parameters']['url']", 2000)
        case "location_request_message":
            if action.get("name") != "send_location":
                raise invalid("interactive['action']['name'] must be send_location")
        case "request_contact_info" | "flow" | "product" | "product_list" | "catalog_message" | "order_details":
            pass
        case "order_status" | "carousel" | "call_permission_request" | "address_message" | "voice_call":
            pass
        case _:
            raise invalid(f"interactive['type'] {kind} is not supported")


def _check_buttons(action: JsonObject) -> None:
    buttons = as_list(action.get("buttons"))
    if not 1 <= len(buttons) <= 3:
        raise invalid("Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3")
    replies = [as_object(as_object(button).get("reply")) for button in buttons]
    for reply in replies:
        text_field(reply, "id", "interactive['action']['buttons']['reply']['id']", 256)
        text_field(reply, "title", "interactive['action']['buttons']['reply']['title']", 20)
    _check_distinct(replies, "id")
    _check_distinct(replies, "title")


def _check_list(interactive: JsonObject, action: JsonObject) -> None:
    header = as_object(interactive.get("header"))
    if header and header.get("type") != "text":
        raise invalid("interactive['header'] of a list must be text")
    text_field(header, "text", "interactive['header']['text']", 60, required=False)
    text_field(action, "button", "interactive['action']['button']", 20)
    sections = [as_object(section) for section in as_list(action.get("sections"))]
    if not 1 <= len(sections) <= 10:
        raise invalid("Invalid sections count. Min allowed sections: 1, Max allowed sections: 10")
    rows: list[JsonObject] = []
    for section in sections:
        title_path = "interactive['action']['sections']['title']"
        text_field(section, "title", title_path, 24, required=len(sections) > 1)
        rows += [as_object(row) for row in as_list(section.get("rows"))]
    if not 1 <= len(rows) <= 10:
        raise invalid(f"Total row count exceed max allowed count: 10. Given: {len(rows)}")
    for row in rows:
        text_field(row, "id", "interactive['action']['sections']['rows']['id']", 200)
        text_field(row, "title", "interactive['action']['sections']['rows']['title']", 24)
        text_field(row, "description", "interactive['action']['sections']['rows']['description']", 72, required=False)
    _check_distinct(rows, "id")


def _check_distinct(replies: list[JsonObject], key: str) -> None:
    if len({str(reply.get(key)) for reply in replies}) != len(replies):
        raise invalid(f"Duplicated {key} in interactive['action']")


# --- Templates --------------------------------------------------------------------------------------------------------


def check_template(account: Account, fields: JsonObject) -> None:
    wanted = body_of(fields, "template")
    name = text_field(wanted, "name", "template['name']", 512) or ""
    language = text_field(as_object(wanted.get("language")), "code", "template['language']['code']", 20) or ""
    template = find_template(account, name, language)
    if template is None or template.get("status") not in ("APPROVED", "PAUSED", "DISABLED"):
        details = f"template name ({name}) does not exist in {language}"
        raise GraphError(
            132001, "(#132001) Template name does not exist in the translation", details=details, status=404
        )
    if template.get("status") == "PAUSED":
        raise GraphError(132015, "(#132015) Template is Paused", details=f"template {name} is paused")
    if template.get("status") == "DISABLED":
        raise GraphError(132016, "(#132016) Template is Disabled", details=f"template {name} is disabled")
    given = [as_object(component) for component in as_list(wanted.get("components"))]
    for component in as_list(template.get("components")):
        _check_component(as_object(component), given)


def find_template(account: Account, name: str, language: str) -> JsonObject | None:
    for template in account.templates:
        if template.get("name") == name and template.get("language") == language:
            return template
    return None


def _check_component(defined: JsonObject, given: list[JsonObject]) -> None:
    kind = (as_text(defined.get("type")) or "").lower()
    if kind == "buttons":
        for index, button in enumerate(as_list(defined.get("buttons"))):
            _check_url_button(as_object(button), index, given)
        return
    parameters: list[JsonValue] = []
    for component in given:
        if (as_text(component.get("type")) or "").lower() == kind:
            parameters = as_list(component.get("parameters"))
    header_format = (as_text(defined.get("format")) or "TEXT").lower()
    if kind == "header" and header_format != "text":
        if [as_object(parameter).get("type") for parameter in parameters] != [header_format]:
            details = f"header: Format mismatch, expected {header_format.upper()}, received UNKNOWN"
            raise GraphError(132012, "(#132012) Parameter format does not match format in the created template",
                             details=details)  # fmt: skip
        return
    variables = list(dict.fromkeys(_VARIABLE.findall(as_text(defined.get("text")) or "")))
    if len(parameters) != len(variables):
        details = f"{kind}: number of localizable_params ({len(parameters)}) does not match the expected number of "
        raise GraphError(132000, "(#132000) Number of parameters does not match the expected number of params",
                         details=f"{details}params ({len(variables)})")  # fmt: skip
    named = [as_text(as_object(parameter).get("parameter_name")) for parameter in parameters]
    if variables and not variables[0].isdigit() and set(named) != set(variables):
        raise bad("Invalid parameter")


def _check_url_button(button: JsonObject, index: int, given: list[JsonObject]) -> None:
    if not _VARIABLE.search(as_text(button.get("url")) or ""):
        return
    for component in given:
        if str(component.get("index")) == str(index) and as_list(component.get("parameters")):
            return
    raise GraphError(131008, "(#131008) Required parameter is missing",
                     details=f"buttons: Button at index {index} of type Url requires a parameter")  # fmt: skip


CHECKS: dict[str, Check] = {
    "text": check_text,
    "location": check_location,
    "contacts": check_contacts,
    "reaction": check_reaction,
    "interactive": check_interactive,
    "template": check_template,
}
