"""The Cloud API as the business calls it: messages, read marks, media, templates (facts, 1.3, 1.4).

A 200 means accepted: closed windows, unreachable people and links that cannot be fetched come as a later ``failed``.
"""

from __future__ import annotations

import asyncio
import hashlib
import re

from channels.simulator import wire
from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import GraphError, bad, invalid, missing, no_such_node
from channels.simulator.simulation import Simulation
from channels.simulator.whatsapp_checks import (
    CAPTION_LIMIT,
    CHECKS,
    CORRELATION_LIMIT,
    body_of,
    find_template,
    text_field,
)
from channels.simulator.wire import as_list, as_number, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, Media, Message
from channels.types import JsonObject

LINK_LIFE = 300
_MEGABYTE = 1024 * 1024
_MEDIA_LIMITS = {
    "image": 5 * _MEGABYTE, "video": 16 * _MEGABYTE, "audio": 16 * _MEGABYTE, "document": 100 * _MEGABYTE,
    "sticker": 500 * 1024,
}  # fmt: skip
_MEDIA_TYPES = {
    "image": {"image/jpeg", "image/png"},
    "video": {"video/mp4", "video/3gpp", "video/3gp"},
    "audio": {"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"},
    "sticker": {"image/webp"},
}
_BSUID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_PUNCTUATION = str.maketrans("", "", "+ ()-.")


class WhatsAppApi:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    # --- POST /{phone_number_id}/messages -----------------------------------------------------------------------------

    async def messages(self, account: Account, call: Call) -> Reply:
        fields = call.fields
        if fields.get("messaging_product") != "whatsapp":
            raise bad("The parameter messaging_product is required.")
        if "status" in fields:
            return self._mark_read(account, fields)
        customer, contact = self._recipient(account, fields)
        kind = as_text(fields.get("type")) or "text"
        if kind in _MEDIA_LIMITS:
            self._check_media(account, fields, kind)
        elif kind in CHECKS:
            CHECKS[kind](account, fields)
        else:
            raise bad(f"Param type must be one of {{{', '.join(sorted({*CHECKS, *_MEDIA_LIMITS})).upper()}}}.")
        correlation = text_field(
            fields, "biz_opaque_callback_data", "biz_opaque_callback_data", CORRELATION_LIMIT, required=False
        )
        reply_to = None
        if "context" in fields:
            reply_to = text_field(as_object(fields["context"]), "message_id", "context['message_id']", 1024)
        if kind == "reaction":
            self._react(account, fields)
        message = Message(
            wire.whatsapp_message_id(customer.id), customer.id, False, kind, _visible_text(account, fields, kind),
            {kind: fields[kind]}, self._world.now(), correlation=correlation, reply_to=reply_to,
        )  # fmt: skip
        message.error_code = self._later_failure(account, customer, fields, kind)
        self._accept(account, customer, message, fields, kind)
        about: JsonObject = {"id": message.id}
        if kind == "template":
            about["message_status"] = "accepted"
        return Reply({"messaging_product": "whatsapp", "contacts": [contact], "messages": [about]}, sent=True)

    def _recipient(self, account: Account, fields: JsonObject) -> tuple[Customer, JsonObject]:
        to, user = fields.get("to"), as_text(fields.get("recipient"))
        if not to and not user:
            raise missing("to")
        if to:
            written = str(to)
            digits = written.translate(_PUNCTUATION)
            known = account.find_customer(written)
            if fields.get("recipient_type") == "group":
                if known is None:
                    raise invalid("to is not a group of this number")
                return known, {"input": written, "wa_id": written}
            if not digits.isdecimal() or not 7 <= len(digits) <= 15:
                raise invalid(f"to is not a valid WhatsApp number: {written[:40]}")
            if digits == account.display_phone_number.translate(_PUNCTUATION):
                raise GraphError(131021, "(#131021) Recipient cannot be sender", details="Sender and recipient are one")
            customer = account.find_customer(digits) or self._world.add_customer(
                account, Customer(digits, digits, phone=digits)
            )
            contact: JsonObject = {"input": written, "wa_id": customer.phone or digits}
            if customer.bsuid:
                contact["user_id"] = customer.bsuid
            return customer, contact
        assert user is not None
        if not _BSUID.fullmatch(user):
            raise invalid("recipient is not a business-scoped user id")
        found = account.find_customer(user)
        if found is None:
            raise invalid("recipient does not belong to this business portfolio")
        template = as_object(fields.get("template"))
        if template and self._category(account, template) == "AUTHENTICATION":
            raise GraphError(131062, "(#131062) Business-scoped user id not supported", details="A phone is needed")
        return found, {"input": user, "user_id": user}

    def _check_media(self, account: Account, fields: JsonObject, kind: str) -> None:
        about = body_of(fields, kind)
        media_id, link = as_text(about.get("id")), as_text(about.get("link"))
        if bool(media_id) == bool(link):
            raise bad(f"Param {kind} must have exactly one of id and link.")
        if link is not None and not link.startswith(("http://", "https://")):
            raise bad(f"Param {kind}['link'] is not a valid URI.")
        if media_id is not None:
            media = self._world.media.get(media_id)
            if media is None or media.account_id != account.account_id:
                raise bad(f"Param {kind}['id'] is not a valid whatsapp business account media attachment ID")
        if kind in ("audio", "sticker") and "caption" in about:
            raise bad(f"Unexpected key 'caption' on param '{kind}'.")
        if kind != "document" and "filename" in about:
            raise bad(f"Unexpected key 'filename' on param '{kind}'.")
        text_field(about, "caption", f"{kind}['caption']", CAPTION_LIMIT, required=False)

    def _react(self, account: Account, fields: JsonObject) -> None:
        reaction = as_object(fields["reaction"])
        target = account.messages.get(as_text(reaction.get("message_id")) or "")
        if target is None or target.kind == "reaction" or self._world.now() - target.at > 30 * DAY:
            raise invalid("reaction['message_id'] is not a message that can be reacted to")
        emoji = as_text(reaction.get("emoji"))
        target.reactions.pop("business", None)
        if emoji:
            target.reactions["business"] = emoji

    def _later_failure(self, account: Account, customer: Customer, fields: JsonObject, kind: str) -> int | None:
        fault = self._simulation.faults.strike("api", "fail_later", account.account_id)
        if fault is not None:
            return fault.code or 131000
        if customer.blocked or not customer.reachable:
            return 131026
        if kind == "template":
            marketing = self._category(account, as_object(fields["template"])) == "MARKETING"
            return 131050 if marketing and customer.marketing_stopped else None
        if self._world.window_age(customer) > DAY:
            return 131047
        media_id = as_text(as_object(fields[kind]).get("id")) if kind in _MEDIA_TYPES else None
        if media_id is not None and self._world.media[media_id].mime_type.split(";")[0] not in _MEDIA_TYPES[kind]:
            return 131053
        return None

    def _accept(self, account: Account, customer: Customer, message: Message, fields: JsonObject, kind: str) -> None:
        link = as_text(as_object(fields[kind]).get("link")) if kind in _MEDIA_LIMITS else None
        if link is None or message.error_code is not None:
            self._simulation.accepted(account, customer, message)
            return

        async def fetched() -> None:
            got = await self._simulation.fetch(link, _MEDIA_LIMITS[kind] + 1)
            if got is None or len(got[0]) > _MEDIA_LIMITS[kind]:
                message.error_code = 131053
            self._simulation.accepted(account, customer, message)

        self._simulation.background(asyncio.get_running_loop().create_task(fetched()))

    @staticmethod
    def _category(account: Account, template: JsonObject) -> str | None:
        language = as_text(as_object(template.get("language")).get("code")) or ""
        found = find_template(account, as_text(template.get("name")) or "", language)
        return as_text(found.get("category")) if found else None

    def _mark_read(self, account: Account, fields: JsonObject) -> Reply:
        if fields["status"] != "read":
            raise invalid("status must be read")
        message_id = text_field(fields, "message_id", "message_id", 1024) or ""
        message = account.messages.get(message_id)
        if message is None or not message.incoming or self._world.now() - message.at > 30 * DAY:
            raise invalid("message_id is not a message that was received on this number")
        typing = fields.get("typing_indicator")
        if typing is not None and as_object(typing).get("type") != "text":
            raise invalid("typing_indicator['type'] must be text")
        customer = account.customers.get(message.customer_id)
        for earlier in customer.thread if customer else ():
            if earlier.incoming and earlier.at <= message.at:
                earlier.raise_status("read")
        return Reply({"success": True})

    # --- Media --------------------------------------------------------------------------------------------------------

    def upload(self, account: Account, call: Call) -> Reply:
        if call.fields.get("messaging_product") != "whatsapp":
            raise bad("The parameter messaging_product is required.")
        file = call.files.get("file")
        if file is None:
            raise missing("file")
        mime_type = as_text(call.fields.get("type")) or file.content_type
        plain = mime_type.split(";")[0]
        kind = next((kind for kind, types in _MEDIA_TYPES.items() if plain in types), "document")
        if not file.data or len(file.data) > _MEDIA_LIMITS[kind]:
            raise GraphError(131053, "(#131053) Media upload error", details="The file size is not allowed.")
        media = self._world.add_media(account, kind, mime_type, file.filename, file.data)
        return Reply({"id": media.id})

    def media(self, account: Account, media: Media, call: Call) -> Reply:
        if call.method == "DELETE":
            self._world.drop_media(media.id)
            return Reply({"success": True})
        number = as_text(call.fields.get("phone_number_id"))
        if media.account_id != account.account_id or number not in (None, account.account_id):
            raise no_such_node(media.id, call.method)
        expires = int(self._world.now()) + LINK_LIFE
        return Reply({
            "url": f"{self._simulation.base_url}/media-download/{media.id}/{expires}/{media.ticket}",
            "mime_type": media.mime_type,
            "sha256": hashlib.sha256(media.data).hexdigest(),
            "file_size": len(media.data),
            "id": media.id,
            "messaging_product": "whatsapp",
        })  # fmt: skip

    # --- Nodes --------------------------------------------------------------------------------------------------------

    @staticmethod
    def number(account: Account) -> Reply:
        return Reply({
            "id": account.account_id,
            "display_phone_number": account.display_phone_number,
            "verified_name": account.name,
            "quality_rating": "GREEN",
            "messaging_limit_tier": "TIER_1K",
            "throughput": {"level": "STANDARD"},
            "code_verification_status": "VERIFIED",
            "platform_type": "CLOUD_API",
        })  # fmt: skip

    def templates(self, account: Account, call: Call) -> Reply:
        """Pages by an opaque cursor, as the edge does."""
        limit = int(as_number(call.fields.get("limit")) or 25)
        after = int(as_number(call.fields.get("after")) or 0)
        chosen = [
            template
            for template in account.templates
            if all(call.fields.get(key) in (None, template.get(key)) for key in ("name", "status", "language"))
        ]
        page = chosen[after : after + max(limit, 1)]
        paging: JsonObject = {"cursors": {"before": str(after), "after": str(after + len(page))}}
        if after + len(page) < len(chosen):
            base = f"{self._simulation.base_url}/graph/v26.0/{account.waba_id}/message_templates"
            paging["next"] = f"{base}?limit={limit}&after={after + len(page)}"
        return Reply({"data": [*page], "paging": paging})


def _visible_text(account: Account, fields: JsonObject, kind: str) -> str | None:
    about = as_object(fields.get(kind))
    match kind:
        case "text":
            return as_text(about.get("body"))
        case "interactive":
            return as_text(as_object(about.get("body")).get("text"))
        case "reaction":
            return as_text(about.get("emoji"))
        case "template":
            return _rendered(account, about)
        case _:
            return as_text(about.get("caption"))


def _rendered(account: Account, wanted: JsonObject) -> str:
    name = as_text(wanted.get("name")) or ""
    template = find_template(account, name, as_text(as_object(wanted.get("language")).get("code")) or "") or {}
    lines = []
    for part in map(as_object, as_list(template.get("components"))):
        line, kind = as_text(part.get("text")), (as_text(part.get("type")) or "").lower()
        if line is None:
            continue
        for given in map(as_object, as_list(wanted.get("components"))):
            if as_text(given.get("type")) == kind:
                for index, parameter in enumerate(map(as_object, as_list(given.get("parameters"))), 1):
                    variable = as_text(parameter.get("parameter_name")) or str(index)
                    line = line.replace("{{" + variable + "}}", as_text(parameter.get("text")) or "…")
        lines.append(line)
    return "\n".join(lines)
