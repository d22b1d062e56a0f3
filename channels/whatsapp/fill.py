"""From a template's definition and values to the components that WhatsApp wants (channel facts, section 1.4).

A header that shows a file of our own store has neither id nor link until the file is uploaded: ``slots`` finds these
places, in the order of ``Piece.media_ids``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from channels.capabilities import TextLimit
from channels.errors import ContentRefused
from channels.limits import check_location, check_media, check_words
from channels.outbound import OutboundMedia, OutboundTemplate, Piece, TemplateValues
from channels.split import fits
from channels.templates import GAP, Template, TemplateButton, TemplatePreview, gaps, preview
from channels.types import JsonObject, JsonValue
from channels.whatsapp.capabilities import CAPABILITIES, CHANNEL, TEMPLATE
from channels.wire import plain

_FILES: Final = frozenset(("image", "video", "document"))
_UNFIT: Final = re.compile(r"[\n\r\t]| {5}")


def fill(template: Template, values: TemplateValues) -> OutboundTemplate:
    """The template with its gaps filled, checked against its definition. Raises ``ContentRefused``."""
    shown = preview(template, values)
    _check_lengths(shown)
    components = [*_header(template, values), *_body(template, values), *_buttons(template, values)]
    media = values.header_media
    return OutboundTemplate(
        template.name,
        template.language,
        tuple(components),
        media=(media,) if media is not None and media.media_id is not None else (),
        text="\n\n".join(filter(None, (shown.header, shown.body, shown.footer))),
    )


def _check_lengths(shown: TemplatePreview) -> None:
    check_words(shown.body, TEMPLATE.body, "template.body.maximum", part=0, channel=CHANNEL)
    if shown.header is not None:
        check_words(shown.header, TEMPLATE.header, "template.header.maximum", part=0, channel=CHANNEL)


def _header(template: Template, values: TemplateValues) -> list[JsonObject]:
    header = template.header
    if header is None:
        return []
    parameters: list[JsonValue]
    if header.kind == "text":
        parameters = _texts(template, header.text, values.header, "header")
    elif header.kind == "location":
        place = values.header_location
        assert place is not None  # preview has seen to it
        check_location(place, part=0)
        if not place.name or not place.address:
            reason = "The location of a template needs a name and an address."
            raise ContentRefused("template_variables", reason, limit="template.header")
        location: JsonObject = {
            # The one place where WhatsApp wants coordinates as text.
            "latitude": str(place.latitude),
            "longitude": str(place.longitude),
            "name": plain(place.name),
            "address": plain(place.address),
        }
        parameters = [{"type": "location", "location": location}]
    else:
        media = values.header_media
        assert media is not None
        check_media(media, CAPABILITIES, part=0, channel=CHANNEL)
        parameters = [{"type": header.kind, header.kind: _file(media)}]
    return [{"type": "header", "parameters": parameters}] if parameters else []


def _file(media: OutboundMedia) -> JsonObject:
    file: JsonObject = {} if media.url is None else {"link": media.url}
    if media.kind == "document" and media.filename:
        file["filename"] = plain(media.filename)
    return file


def _body(template: Template, values: TemplateValues) -> list[JsonObject]:
    parameters = _texts(template, template.body, values.body, "body")
    return [{"type": "body", "parameters": parameters}] if parameters else []


def _texts(template: Template, text: str | None, values: Mapping[str, str], where: str) -> list[JsonValue]:
    """Numbered values in the order of their numbers, wherever they stand in the text; named ones with their names."""
    names = list(gaps(text))
    if template.parameter_format == "named":
        return [
            {"type": "text", "parameter_name": name, "text": _value(values[name], f"template.{where}")}
            for name in names
        ]
    names.sort(key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0))
    return [{"type": "text", "text": _value(values[name], f"template.{where}")} for name in names]


def _value(value: str, limit: str) -> str:
    value = plain(value)
    if _UNFIT.search(value):
        reason = "A value of a template takes no line breaks, no tabs and no more than four spaces in a row."
        raise ContentRefused("template_variables", reason, limit=limit)
    return value


def _buttons(template: Template, values: TemplateValues) -> list[JsonObject]:
    found: list[JsonObject] = []
    for place, button in enumerate(template.buttons):
        value = plain(values.buttons.get(place, ""))
        parameter = _button(button, value) if value.strip() else None
        if parameter is not None:
            found.append({"type": "button", "sub_type": button.kind, "index": str(place), "parameters": [parameter]})
    return found


def _button(button: TemplateButton, value: str) -> JsonObject | None:
    match button.kind:
        case "quick_reply":
            return {"type": "payload", "payload": _fitting(button, value, "button_payload")}
        case "url":
            whole = GAP.sub(lambda _gap: value, button.url or "")
            _fitting(button, whole, "button_link")
            return {"type": "text", "text": value}
        case "copy_code":
            return {"type": "coupon_code", "coupon_code": _fitting(button, value, "button_code")}
        case "flow":
            return {"type": "action", "action": {"flow_token": _fitting(button, value, "button_payload")}}
        case "phone" | "other":
            return None


def _fitting(button: TemplateButton, value: str, name: Literal["button_link", "button_payload", "button_code"]) -> str:
    limit: TextLimit = getattr(TEMPLATE, name)
    if not fits(value, limit):
        raise ContentRefused(
            "too_long",
            f"The value of the button “{button.title}” is too long: at most {limit.maximum} {limit.unit}.",
            limit=f"template.{name}.maximum",
            allowed=limit.maximum,
        )
    return value


# --- Sending a filled one ---------------------------------------------------------------------------------------------


def render_template(part: OutboundTemplate, index: int) -> Piece:
    """The ``template`` message. Raises ``ContentRefused``."""
    if not part.name or not part.language:
        raise ContentRefused("invalid", "A template needs a name and a language.", limit="template", part=index)
    named = {"parameter_name" in parameter for parameter in _parameters(part.components)}
    if len(named) > 1:
        raise ContentRefused(
            "invalid", "Values of a template are named or numbered, never both.", limit="template", part=index
        )
    for media in part.media:
        check_media(media, CAPABILITIES, part=index, channel=CHANNEL)
    template: JsonObject = {"name": part.name, "language": {"code": part.language}}
    if part.components:
        template["components"] = list(part.components)
    payload: JsonObject = {"type": "template", "template": template}
    stored = tuple(media_id for media in part.media for media_id in media.stored)
    if len(slots(payload)) != len(stored):
        reason = "The files of a template do not fit its components."
        raise ContentRefused("template_variables", reason, limit="template.header", part=index)
    return Piece(payload, text=part.text, media_ids=stored)


def _parameters(components: Sequence[JsonObject]) -> list[JsonObject]:
    """The text values of header and body: the ones that may be named."""
    found: list[JsonObject] = []
    for component in components:
        parameters = component.get("parameters")
        if component.get("type") in ("header", "body") and isinstance(parameters, list):
            found += [item for item in parameters if isinstance(item, dict) and item.get("type") == "text"]
    return found


def slots(message: JsonObject) -> list[JsonObject]:
    """The objects within ``message`` that lack the id of a file, in order: where uploads go."""
    kind = str(message.get("type"))
    content = message.get(kind)
    if not isinstance(content, dict):
        return []
    if kind != "template":
        return [content] if "link" not in content and "id" not in content else []
    found: list[JsonObject] = []
    components = content.get("components")
    for component in components if isinstance(components, list) else []:
        parameters = component.get("parameters") if isinstance(component, dict) else None
        for parameter in parameters if isinstance(parameters, list) else []:
            file = parameter.get(str(parameter.get("type"))) if isinstance(parameter, dict) else None
            if isinstance(file, dict) and isinstance(parameter, dict) and parameter.get("type") in _FILES:
                found += [file] if "link" not in file and "id" not in file else []
    return found
