"""The Cloud API as the business calls it: messages and read marks (facts, 1.4).

A 200 means accepted: closed windows, unreachable people and links that cannot be fetched come as a later ``failed``.
"""

from __future__ import annotations

import asyncio
import re

from channels.simulator import wire
from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import GraphError, bad, invalid, missing
from channels.simulator.meta_state import PAIR_BURST, PAIR_SECONDS
from channels.simulator.simulation import Simulation
from channels.simulator.template_sends import category_of, rendered
from channels.simulator.whatsapp_checks import CORRELATION_LIMIT, check_kind
from channels.simulator.whatsapp_fields import text_field
from channels.simulator.whatsapp_media import MEDIA_LIMITS, acceptable, plain_type
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, Message
from channels.types import JsonObject

_BSUID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
_PUNCTUATION = str.maketrans("", "", "+ ()-.")
_UNKNOWN_TYPE = "application/octet-stream"
"""Of a link that was trusted unseen."""


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
        if account.meta.restricted:
            raise GraphError(131031, "(#131031) Business account locked", details="The account has been locked.")
        customer, contact = self._recipient(account, fields)
        kind = as_text(fields.get("type")) or "text"
        check_kind(self._world, account, fields, kind)
        correlation = text_field(
            fields, "biz_opaque_callback_data", "biz_opaque_callback_data", CORRELATION_LIMIT, required=False
        )
        reply_to = None
        if "context" in fields:
            reply_to = text_field(as_object(fields["context"]), "message_id", "context['message_id']", 1024)
        self._check_pace(account, customer)
        if kind == "reaction":
            self._react(account, fields)
        message = Message(
            wire.whatsapp_message_id(customer.id), customer.id, False, kind, _visible_text(account, fields, kind),
            {kind: fields[kind]}, self._world.now(), correlation=correlation, reply_to=reply_to,
        )  # fmt: skip
        about: JsonObject = {"id": message.id}
        reply = Reply({"messaging_product": "whatsapp", "contacts": [contact], "messages": [about]}, sent=True)
        if kind == "template":
            about["message_status"] = "accepted"
            if self._simulation.faults.strike("api", "hold", account.account_id):
                about["message_status"] = "held_for_quality_assessment"
                self._world.add_message(account, customer, message)
                return reply
        message.error_code = self._later_failure(account, customer, fields, kind)
        self._accept(account, customer, message, fields, kind)
        return reply

    # --- To whom ------------------------------------------------------------------------------------------------------

    def _recipient(self, account: Account, fields: JsonObject) -> tuple[Customer, JsonObject]:
        """If both a phone and a BSUID are given, the phone wins (facts, 1.2)."""
        if fields.get("to"):
            return self._phone_recipient(account, fields)
        user = as_text(fields.get("recipient"))
        if not user:
            raise missing("to")
        if not _BSUID.fullmatch(user):
            raise invalid("recipient is not a business-scoped user id")
        found = account.find_customer(user)
        if found is None or user in found.former:
            raise invalid("recipient does not belong to this business portfolio")
        if "template" in fields and category_of(account, fields) == "authentication":
            raise GraphError(131062, "(#131062) Business-scoped user id not supported", details="A phone is needed")
        return found, {"input": user, "user_id": user}

    def _phone_recipient(self, account: Account, fields: JsonObject) -> tuple[Customer, JsonObject]:
        written = str(fields["to"])
        if fields.get("recipient_type") == "group":
            known = account.find_customer(written)
            if known is None or not known.is_group:
                raise invalid("to is not a group of this number")
            return known, {"input": written, "wa_id": written}
        digits = written.translate(_PUNCTUATION)
        if not digits.isdecimal() or not 7 <= len(digits) <= 15:
            raise invalid(f"to is not a valid WhatsApp number: {written[:40]}")
        if digits == account.display_phone_number.translate(_PUNCTUATION):
            raise GraphError(131021, "(#131021) Recipient cannot be sender", details="Sender and recipient are one")
        customer = account.find_customer(digits) or self._world.add_customer(
            account, Customer(digits, digits, phone=digits)
        )
        former = digits in customer.former  # nobody answers there any more, and nobody is named
        contact: JsonObject = {"input": written, "wa_id": digits if former else customer.phone or digits}
        if customer.bsuid and not former:
            contact["user_id"] = customer.bsuid
        return customer, contact

    def _check_pace(self, account: Account, customer: Customer) -> None:
        """A burst is lent from the time to come and has to be waited off (facts, 1.5)."""
        if not account.meta.pair_rate:
            return
        now = self._world.now()
        free = max(customer.next_free, now)
        if free - now > (PAIR_BURST - 1) * PAIR_SECONDS:
            raise GraphError(
                131056, "(#131056) (Business Account, Consumer Account) pair rate limit hit",
                details="Message failed to send because there were too many messages sent from this phone number to "
                "the same phone number in a short period of time.",
            )  # fmt: skip
        customer.next_free = free + PAIR_SECONDS

    # --- What becomes of it -------------------------------------------------------------------------------------------

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
        dialled = str(fields.get("to", "")).translate(_PUNCTUATION)
        if customer.blocked or customer.shut_out or not customer.reachable or dialled in customer.former:
            return 131026
        if customer.send_error is not None:
            return customer.send_error
        if kind == "template":
            marketing = category_of(account, fields) == "marketing"
            return 131050 if marketing and customer.marketing_stopped else None
        if self._world.window_age(customer) > DAY:
            return 131047
        return None

    def _accept(self, account: Account, customer: Customer, message: Message, fields: JsonObject, kind: str) -> None:
        """Files are looked at after the answer; what cannot be had or taken fails later."""
        files = _files(fields, kind)
        if message.error_code is None:
            for file_kind, about in files:
                media = self._world.media.get(as_text(about.get("id")) or "")
                if media is not None and not acceptable(file_kind, media.mime_type, media.data):
                    message.error_code = 131053
        links = [(file_kind, link) for file_kind, about in files if (link := as_text(about.get("link")))]
        if not links or message.error_code is not None:
            self._simulation.accepted(account, customer, message)
            return

        async def fetched() -> None:
            for file_kind, link in links:
                if not await self._deliverable(file_kind, link):
                    message.error_code = 131053
            self._simulation.accepted(account, customer, message)

        self._simulation.background(asyncio.get_running_loop().create_task(fetched()))

    async def _deliverable(self, kind: str, link: str) -> bool:
        got = await self._simulation.fetch(link, MEDIA_LIMITS[kind] + 1)
        if got is None:
            return False
        data, mime_type = got
        return (not data and plain_type(mime_type) == _UNKNOWN_TYPE) or acceptable(kind, mime_type, data)

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


def _files(fields: JsonObject, kind: str) -> list[tuple[str, JsonObject]]:
    """Every file of the message: its kind, and how it is named."""
    about = as_object(fields[kind])
    if kind in MEDIA_LIMITS:
        return [(kind, about)]
    holders: list[JsonObject] = []
    if kind == "interactive":
        holders = [as_object(about.get("header"))]
    elif kind == "template":
        for component in map(as_object, as_list(about.get("components"))):
            holders += [as_object(parameter) for parameter in as_list(component.get("parameters"))]
    named = [(as_text(holder.get("type")) or "", holder) for holder in holders]
    return [(shape, as_object(holder.get(shape))) for shape, holder in named if shape in MEDIA_LIMITS]


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
            return rendered(account, about)
        case _:
            return as_text(about.get("caption"))
