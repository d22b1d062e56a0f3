"""What the Cloud API refuses at once in a message of the business (facts, 1.4). Every check raises ``GraphError``."""

from __future__ import annotations

from collections.abc import Callable

from channels.simulator.graph_errors import bad, invalid, missing
from channels.simulator.template_sends import check_template
from channels.simulator.whatsapp_fields import body_of, text_field
from channels.simulator.whatsapp_interactive import check_interactive
from channels.simulator.whatsapp_media import MEDIA_LIMITS, check_reference
from channels.simulator.wire import as_number, as_object, as_text
from channels.simulator.world import Account, World
from channels.types import JsonObject

CAPTION_LIMIT = 1024
CORRELATION_LIMIT = 512

Check = Callable[[World, Account, JsonObject], None]


def check_kind(world: World, account: Account, fields: JsonObject, kind: str) -> None:
    if kind in MEDIA_LIMITS:
        _check_media(world, account, fields, kind)
    elif kind in _CHECKS:
        _CHECKS[kind](world, account, fields)
    else:
        raise bad(f"Param type must be one of {{{', '.join(sorted({*_CHECKS, *MEDIA_LIMITS})).upper()}}}.")


def _check_text(world: World, account: Account, fields: JsonObject) -> None:
    text_field(body_of(fields, "text"), "body", "text['body']", 4096)


def _check_media(world: World, account: Account, fields: JsonObject, kind: str) -> None:
    about = body_of(fields, kind)
    check_reference(world, account, about, kind)
    if kind in ("audio", "sticker") and "caption" in about:
        raise bad(f"Unexpected key 'caption' on param '{kind}'.")
    if kind != "document" and "filename" in about:
        raise bad(f"Unexpected key 'filename' on param '{kind}'.")
    if kind != "audio" and "voice" in about:
        raise bad(f"Unexpected key 'voice' on param '{kind}'.")
    text_field(about, "caption", f"{kind}['caption']", CAPTION_LIMIT, required=False)


def _check_location(world: World, account: Account, fields: JsonObject) -> None:
    place = body_of(fields, "location")
    for key, limit in (("latitude", 90.0), ("longitude", 180.0)):
        if place.get(key) is None:
            raise missing(f"location['{key}']")
        degrees = as_number(place[key])
        if degrees is None or abs(degrees) > limit:
            raise invalid(f"location['{key}'] is not a valid coordinate")


def _check_contacts(world: World, account: Account, fields: JsonObject) -> None:
    cards = fields.get("contacts")
    if not isinstance(cards, list) or not cards:
        raise missing("contacts")
    for card in cards:
        text_field(as_object(as_object(card).get("name")), "formatted_name", "contacts['name']['formatted_name']", 4096)


def _check_reaction(world: World, account: Account, fields: JsonObject) -> None:
    reaction = body_of(fields, "reaction")
    text_field(reaction, "message_id", "reaction['message_id']", 1024)
    if as_text(reaction.get("emoji")) is None:
        raise missing("reaction['emoji']")
    if "context" in fields:
        raise invalid("a reaction cannot carry context")


def _check_template(world: World, account: Account, fields: JsonObject) -> None:
    check_template(world, account, body_of(fields, "template"))


_CHECKS: dict[str, Check] = {
    "text": _check_text,
    "location": _check_location,
    "contacts": _check_contacts,
    "reaction": _check_reaction,
    "interactive": check_interactive,
    "template": _check_template,
}
