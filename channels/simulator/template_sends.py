"""A template as it is sent, held against its definition (facts, 1.4, 1.6). Checks raise ``GraphError``."""

from __future__ import annotations

import re

from channels.simulator.graph_errors import GraphError, bad, invalid, missing
from channels.simulator.whatsapp_media import check_reference
from channels.simulator.wire import as_list, as_number, as_object, as_text
from channels.simulator.world import Account, World
from channels.types import JsonObject

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_UNEVEN = re.compile(r"[\n\t]| {5,}")
_PLACES = frozenset({"header", "body", "button", "footer", "carousel", "limited_time_offer"})
_TEXT_TYPES = frozenset({"text", "currency", "date_time"})
_BUTTON_PARAMETERS = {
    "quick_reply": frozenset({"payload"}),
    "url": frozenset({"text", "payload"}),
    "copy_code": frozenset({"coupon_code"}),
    "flow": frozenset({"action"}),
    "catalog": frozenset({"action"}),
    "mpm": frozenset({"action"}),
}
_SUB_TYPES = {"OTP": "url", "PHONE_NUMBER": "", "VOICE_CALL": "voice_call"}
"""Type of a defined button → ``sub_type`` of its component, where it is not the same word."""
HEADER_LIMIT, BODY_LIMIT, COUPON_LIMIT, URL_LIMIT = 60, 1024, 15, 2000


def find_template(account: Account, name: str, language: str) -> JsonObject | None:
    for template in account.templates:
        if template.get("name") == name and template.get("language") == language:
            return template
    return None


def category_of(account: Account, content: JsonObject) -> str:
    """As ``pricing`` names it. ``content`` holds the ``template`` that was sent."""
    wanted = as_object(content.get("template"))
    found = find_template(account, as_text(wanted.get("name")) or "", _language(wanted)) or {}
    return (as_text(found.get("category")) or "utility").lower()


def _language(wanted: JsonObject) -> str:
    return as_text(as_object(wanted.get("language")).get("code")) or ""


# --- Checks -----------------------------------------------------------------------------------------------------------


def check_template(world: World, account: Account, wanted: JsonObject) -> None:
    name, language = as_text(wanted.get("name")), _language(wanted)
    if not name:
        raise missing("template['name']")
    if not language:
        raise missing("template['language']['code']")
    template = _sendable(account, name, language)
    given: dict[str, list[JsonObject]] = {}
    for component in map(as_object, as_list(wanted.get("components"))):
        place = (as_text(component.get("type")) or "").lower()
        if place not in _PLACES:
            raise bad(f"Param template['components']['type'] must be one of {{{', '.join(sorted(_PLACES)).upper()}}}.")
        given.setdefault(place, []).append(component)
    defined = {
        (as_text(part.get("type")) or "").lower(): part for part in map(as_object, as_list(template.get("components")))
    }
    named = template.get("parameter_format") == "NAMED"
    for place in ("header", "body"):
        parameters = [as_object(each) for part in given.get(place, []) for each in as_list(part.get("parameters"))]
        part = defined.get(place, {})
        media = (as_text(part.get("format")) or "TEXT").lower() if place == "header" else "text"
        if media == "text":
            _check_text(place, as_text(part.get("text")) or "", parameters, named=named)
        else:
            _check_header(world, account, media, parameters)
    buttons = [as_object(button) for button in as_list(defined.get("buttons", {}).get("buttons"))]
    _check_buttons(buttons, given.get("button", []))


def _sendable(account: Account, name: str, language: str) -> JsonObject:
    template = find_template(account, name, language)
    status = template.get("status") if template else None
    if status == "PAUSED":
        raise GraphError(132015, "(#132015) Template is Paused", details=f"template {name} is paused")
    if status == "DISABLED":
        raise GraphError(132016, "(#132016) Template is Disabled", details=f"template {name} is disabled")
    if template is None or status != "APPROVED":
        details = f"template name ({name}) does not exist in {language}"
        raise GraphError(
            132001, "(#132001) Template name does not exist in the translation", details=details, status=404
        )
    return template


def _mismatch(details: str) -> GraphError:
    return GraphError(
        132012, "(#132012) Parameter format does not match format in the created template", details=details
    )


def _check_text(place: str, text: str, parameters: list[JsonObject], *, named: bool) -> None:
    variables = list(dict.fromkeys(_VARIABLE.findall(text)))
    if len(parameters) != len(variables):
        details = f"{place}: number of localizable_params ({len(parameters)}) does not match the expected number of "
        raise GraphError(132000, "(#132000) Number of parameters does not match the expected number of params",
                         details=f"{details}params ({len(variables)})")  # fmt: skip
    names = [as_text(parameter.get("parameter_name")) for parameter in parameters]
    if named and variables and set(names) != set(variables):
        raise GraphError(100, "(#100) Invalid parameter", details="Parameter name is missing or empty")
    if not named and any(names):
        raise GraphError(100, "(#100) Invalid parameter", details="The template's parameters are positional")
    for parameter in parameters:
        _check_value(place, parameter)
    limit = HEADER_LIMIT if place == "header" else BODY_LIMIT
    if len(hydrated(text, parameters)) > limit:
        raise GraphError(132005, "(#132005) Translated text too long", details=f"{place}: more than {limit} characters")


def _check_value(place: str, parameter: JsonObject) -> None:
    kind = as_text(parameter.get("type")) or ""
    if kind not in (_TEXT_TYPES if place == "body" else {"text"}):
        raise _mismatch(f"{place}: Format mismatch, expected TEXT, received {kind.upper() or 'UNKNOWN'}")
    if kind == "text":
        value = as_text(parameter.get("text"))
        if not value:
            raise missing(f"template['components']['{place}']['parameters']['text']")
        if _UNEVEN.search(value):
            details = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
            raise GraphError(132018, "(#132018) There is an issue with the parameters in your template",
                             details=details)  # fmt: skip
        return
    about = as_object(parameter.get(kind))
    if not as_text(about.get("fallback_value")):
        raise missing(f"template['components']['{place}']['parameters']['{kind}']['fallback_value']")
    amount = as_number(about.get("amount_1000"))
    if kind == "currency" and (len(as_text(about.get("code")) or "") != 3 or amount is None):
        raise _mismatch(f"{place}: currency needs code and amount_1000")


def _check_header(world: World, account: Account, media: str, parameters: list[JsonObject]) -> None:
    kinds = [as_text(parameter.get("type")) or "unknown" for parameter in parameters]
    if kinds != [media]:
        received = kinds[0] if kinds else "unknown"
        raise _mismatch(f"header: Format mismatch, expected {media.upper()}, received {received.upper()}")
    about = as_object(parameters[0].get(media))
    if media == "location":
        if any(as_number(about.get(key)) is None for key in ("latitude", "longitude")):
            raise invalid("template['components']['header']: the location needs latitude and longitude")
        return
    check_reference(world, account, about, f"template['components']['header']['{media}']")


def _check_buttons(defined: list[JsonObject], given: list[JsonObject]) -> None:
    filled: set[int] = set()
    for component in given:
        index = as_number(component.get("index"))
        if index is None or not 0 <= index < len(defined):
            raise invalid("template['components']['button']['index'] is not the index of a button of the template")
        kind = as_text(defined[int(index)].get("type")) or ""
        expected = _SUB_TYPES.get(kind, kind.lower())
        sub_type = (as_text(component.get("sub_type")) or "").lower()
        if not expected or sub_type != expected:
            raise _mismatch(f"buttons: Button at index {int(index)} is of type {kind}, received {sub_type or 'none'}")
        parameters = [as_object(parameter) for parameter in as_list(component.get("parameters"))]
        for parameter in parameters:
            _check_button_value(int(index), sub_type, defined[int(index)], parameter)
        if parameters:
            filled.add(int(index))
    for place, button in enumerate(defined):
        needs = button.get("type") in ("COPY_CODE", "OTP") or _VARIABLE.search(as_text(button.get("url")) or "")
        if needs and place not in filled:
            kind = (as_text(button.get("type")) or "").title()
            details = f"buttons: Button at index {place} of type {kind} requires a parameter"
            raise GraphError(131008, "(#131008) Required parameter is missing", details=details)


def _check_button_value(index: int, sub_type: str, button: JsonObject, parameter: JsonObject) -> None:
    kind = as_text(parameter.get("type")) or ""
    if kind not in _BUTTON_PARAMETERS.get(sub_type, {kind}):
        raise _mismatch(f"buttons: Button at index {index} does not take a parameter of type {kind or 'UNKNOWN'}")
    if kind == "action":
        return
    value = as_text(parameter.get(kind))
    if not value:
        raise missing(f"template['components']['button']['parameters']['{kind}']")
    if kind == "coupon_code" and len(value) > COUPON_LIMIT:
        raise bad(f"Param coupon_code must be at most {COUPON_LIMIT} characters long.")
    if kind == "text" and len(hydrated(as_text(button.get("url")) or "", [parameter])) > URL_LIMIT:
        raise bad(f"The url of the button at index {index} must be at most {URL_LIMIT} characters long.")


# --- What the customer sees -------------------------------------------------------------------------------------------


def hydrated(text: str, parameters: list[JsonObject]) -> str:
    for index, parameter in enumerate(parameters, 1):
        name = as_text(parameter.get("parameter_name")) or str(index)
        kind = as_text(parameter.get("type")) or "text"
        value = as_text(parameter.get(kind)) or as_text(as_object(parameter.get(kind)).get("fallback_value")) or "…"
        text = re.sub(r"\{\{\s*" + re.escape(name) + r"\s*\}\}", lambda _, value=value: value, text)  # type: ignore[misc]
    return text


def rendered(account: Account, wanted: JsonObject) -> str:
    template = find_template(account, as_text(wanted.get("name")) or "", _language(wanted)) or {}
    lines = []
    for part in map(as_object, as_list(template.get("components"))):
        line, kind = as_text(part.get("text")), (as_text(part.get("type")) or "").lower()
        if line is None:
            continue
        parameters = [
            as_object(parameter)
            for given in map(as_object, as_list(wanted.get("components")))
            if (as_text(given.get("type")) or "").lower() == kind
            for parameter in as_list(given.get("parameters"))
        ]
        lines.append(hydrated(line, parameters))
    return "\n".join(lines)
