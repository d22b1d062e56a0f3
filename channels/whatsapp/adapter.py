"""The calls of one WhatsApp business phone number: send, mark as read, typing, files, templates, blocking.

An envelope goes to the phone number where one is known and to the business-scoped id otherwise; our correlation value
rides along and comes back in every status (channel facts, sections 1.2 to 1.4).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

from channels.abilities import Endpoint, Finding
from channels.adapter import AccountFacts, Http, HttpStream, OutboundFile, Upload
from channels.capabilities import Capabilities
from channels.content import MediaRef
from channels.errors import FetchError, SendError
from channels.meta.files import open_file
from channels.meta.graph import GraphApi
from channels.outbound import Accepted, Envelope, OutboundPart, OutboundTemplate, Piece, TemplateValues
from channels.templates import Template
from channels.types import Account, Address, Fault, JsonObject, JsonValue, Person
from channels.whatsapp import connection
from channels.whatsapp.capabilities import CAPABILITIES, MEGABYTE, STILL_STICKER, of_account
from channels.whatsapp.connection import waba_of
from channels.whatsapp.definitions import LISTED_FIELDS, definition
from channels.whatsapp.errors import FAULTS, fault_of_webhook
from channels.whatsapp.fill import fill, slots
from channels.whatsapp.people import GROUP, PHONE, USER, address_of
from channels.whatsapp.render import plan
from channels.wire import SHORT, as_id, as_object, as_text, objects

_LARGEST_FILE: Final = 100 * MEGABYTE


class WhatsAppAdapter:
    kind = "whatsapp"
    provider = "meta"
    capabilities = CAPABILITIES

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._graph = GraphApi(FAULTS)
        self._now = now

    def capabilities_of(self, account: Account) -> Capabilities:
        return of_account(account.options)

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return plan(parts)

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        message = _message(envelope)
        if envelope.piece.media_ids:
            await self._attach(http, account, message, files)
        answer = await self._graph.call(http, account, "POST", f"{account.account_id}/messages", json=message)
        return _accepted(answer)

    async def _attach(self, http: Http, account: Account, message: JsonObject, files: Sequence[OutboundFile]) -> None:
        """Upload ``files`` and put their ids into ``message``. Nothing has been sent should this fail."""
        places = slots(message)
        if not files or len(places) != len(files):
            raise SendError(Fault("parameter_invalid", "A file of this message is missing.", ours=True))
        for place, file in zip(places, files, strict=True):
            if message.get("type") == "sticker":
                _check_sticker(file)
            answer = await self._graph.upload(
                http,
                account,
                f"{account.account_id}/media",
                form={"messaging_product": "whatsapp", "type": file.mime_type},
                files=[Upload("file", file.filename, file.mime_type, file.data)],
            )
            media_id = as_id(answer.get("id"))
            if media_id is None:
                raise SendError(Fault("temporary", "WhatsApp took the file without naming it.", retryable=True))
            place["id"] = media_id

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        await self._receipt(http, account, {"message_id": external_id})

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        # The sign hangs on an inbound message, which it also marks as read.
        if external_id is not None:
            await self._receipt(http, account, {"message_id": external_id, "typing_indicator": {"type": "text"}})

    async def _receipt(self, http: Http, account: Account, content: JsonObject) -> None:
        body: JsonObject = {"messaging_product": "whatsapp", "status": "read", **content}
        await self._graph.call(http, account, "POST", f"{account.account_id}/messages", json=body, repeatable=True)

    async def acknowledge(self, http: Http, account: Account, token: str) -> None:
        """WhatsApp expects no answer to a tap."""

    def fetch(self, http: Http, account: Account, media: MediaRef) -> AbstractAsyncContextManager[HttpStream]:
        return self._fetch(http, account, media)

    @asynccontextmanager
    async def _fetch(self, http: Http, account: Account, media: MediaRef) -> AsyncIterator[HttpStream]:
        url = media.url
        if media.id is not None:
            # The link lives five minutes, so it is asked for anew each time.
            answer = await self._graph.call(
                http,
                account,
                "GET",
                quote(media.id, safe=""),
                query={"phone_number_id": account.account_id},
                repeatable=True,
                error=FetchError,
            )
            url = as_text(answer.get("url"))
        async with open_file(http, account, url, max_bytes=_LARGEST_FILE) as stream:
            yield stream

    async def profile(self, http: Http, account: Account, peer: Sequence[Address]) -> Person | None:
        """WhatsApp tells names only within webhooks."""
        return None

    async def check(self, http: Http, account: Account) -> AccountFacts:
        return await connection.check(self._graph, http, account)

    # --- Connects -----------------------------------------------------------------------------------------------------

    async def subscribe(self, http: Http, account: Account, endpoint: Endpoint) -> list[Finding]:
        return await connection.subscribe(self._graph, http, account, endpoint)

    async def inspect(self, http: Http, account: Account, endpoint: Endpoint | None) -> list[Finding]:
        return await connection.inspect(self._graph, http, account, endpoint, self._now())

    # --- HasTemplates -------------------------------------------------------------------------------------------------

    async def templates(self, http: Http, account: Account) -> list[Template]:
        path, query = f"{waba_of(account)}/message_templates", {"fields": LISTED_FIELDS, "limit": "100"}
        listed = await self._graph.pages(http, account, path, query=query)
        return [template for template in map(definition, listed) if template is not None]

    def fill(self, template: Template, values: TemplateValues) -> OutboundTemplate:
        return fill(template, values)

    # --- Moderates ----------------------------------------------------------------------------------------------------

    async def block(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        await self._moderate(http, account, peer, "POST")

    async def unblock(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        await self._moderate(http, account, peer, "DELETE")

    async def _moderate(
        self, http: Http, account: Account, peer: Sequence[Address], method: Literal["POST", "DELETE"]
    ) -> None:
        body: JsonObject = {"messaging_product": "whatsapp", "block_users": [_blocked(peer)]}
        path = f"{account.account_id}/block_users"
        answer = await self._graph.call(http, account, method, path, json=body, repeatable=True)
        for failed in objects(as_object(answer.get("block_users")).get("failed_users")):
            # The reason is one of blocking, not of sending: it must neither close a window nor end a contact.
            fault = fault_of_webhook(failed.get("errors"))
            raise SendError(replace(fault, closes_window=False, ends_contact=None))


def _check_sticker(file: OutboundFile) -> None:
    """Raises ``SendError``: WhatsApp itself would call it a passing trouble, and it would be tried in vain."""
    # RFC 9649, section 2.7: the second bit of the flags of an extended file says that it moves.
    moves = file.data[12:16] == b"VP8X" and bool(file.data[20:21] and file.data[20] & 0b10)
    if not moves and len(file.data) > STILL_STICKER:
        reason = f"A sticker that does not move may have at most {STILL_STICKER} bytes on WhatsApp."
        raise SendError(Fault("media_refused", reason))


def _message(envelope: Envelope) -> JsonObject:
    message: JsonObject = {
        "messaging_product": "whatsapp",
        **_recipient(envelope.recipient),
        # A copy, since ids of uploads go into it: the piece is stored and may be sent again.
        **deepcopy(envelope.piece.payload),
        "biz_opaque_callback_data": envelope.correlation,
    }
    if envelope.reply_to is not None and message.get("type") != "reaction":  # a reaction is refused with a context
        message["context"] = {"message_id": envelope.reply_to}
    return message


def _recipient(addresses: Sequence[Address]) -> dict[str, JsonValue]:
    newest = _newest(addresses)
    if GROUP in newest:
        return {"recipient_type": "group", "to": newest[GROUP]}
    if PHONE in newest:
        # Without the plus a number may be read as one of the business's own country.
        return {"recipient_type": "individual", "to": f"+{newest[PHONE]}"}
    if USER in newest:
        return {"recipient_type": "individual", "recipient": newest[USER]}
    raise SendError(_NOBODY)


def _blocked(addresses: Sequence[Address]) -> JsonObject:
    newest = _newest(addresses)
    name = f"+{newest[PHONE]}" if PHONE in newest else newest.get(USER)
    if name is None:
        raise SendError(_NOBODY)
    return {"user": name}


def _newest(addresses: Sequence[Address]) -> dict[str, str]:
    """By kind. Addresses come oldest first: after a change of number or id the later one is in use."""
    return {address.kind: address.value for address in addresses}


_NOBODY: Final = Fault(
    "recipient_unavailable", "The person is known by neither a phone number nor an id that WhatsApp delivers to."
)


def _accepted(answer: JsonObject) -> Accepted:
    found: list[Address] = []
    for contact in objects(answer.get("contacts")):
        for key in ("wa_id", "user_id"):
            address = address_of(contact.get(key))
            if address is not None and address not in found:
                found.append(address)
    ids: list[str] = []
    note = None
    for message in objects(answer.get("messages")):
        external_id = as_id(message.get("id"))
        if external_id is not None:
            ids.append(external_id)
        state = as_text(message.get("message_status"), SHORT)
        if state is not None and state != "accepted":
            note = state
    if not ids:
        reason = "WhatsApp answered without naming the message; its receipts will tell."
        raise SendError(Fault("outcome_unknown", reason))
    return Accepted(tuple(ids), tuple(found), note)
