"""The calls of one WhatsApp business phone number: send, mark as read, typing, files, credential check.

An envelope goes to the phone number where one is known and to the business-scoped id otherwise; our correlation value
rides along and comes back in every status (channel facts, sections 1.2 to 1.4).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final
from urllib.parse import quote

from channels.adapter import AccountFacts, Http, HttpStream, OutboundFile, Upload
from channels.content import MediaRef
from channels.errors import FetchError, SendError
from channels.meta.files import open_file
from channels.meta.graph import GraphApi
from channels.outbound import Accepted, Envelope, OutboundPart, Piece
from channels.types import Account, Address, Fault, JsonObject, JsonValue, Person
from channels.whatsapp.capabilities import CAPABILITIES, MEGABYTE
from channels.whatsapp.errors import FAULTS
from channels.whatsapp.people import GROUP, PHONE, USER, address_of
from channels.whatsapp.render import plan
from channels.wire import SHORT, as_id, as_object, as_text, objects

_LARGEST_FILE: Final = 100 * MEGABYTE
_CHECKED_FIELDS: Final = "id,display_phone_number,verified_name,quality_rating,name_status,platform_type,throughput"
_FIELDS_AS_OPTIONS: Final = ("display_phone_number", "quality_rating", "name_status", "platform_type")


class WhatsAppAdapter:
    kind = "whatsapp"
    provider = "meta"
    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._graph = GraphApi(FAULTS)

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return plan(parts)

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        message = _message(envelope)
        if envelope.piece.media_ids:
            await self._attach(http, account, message, next(iter(files), None))
        answer = await self._graph.call(http, account, "POST", f"{account.account_id}/messages", json=message)
        return _accepted(answer)

    async def _attach(self, http: Http, account: Account, message: JsonObject, file: OutboundFile | None) -> None:
        """Upload ``file`` and put its id into ``message``. Nothing has been sent should this fail."""
        if file is None:
            raise SendError(Fault("parameter_invalid", "The file of this message is missing.", ours=True))
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
        kind = str(message["type"])
        message[kind] = {**as_object(message.get(kind)), "id": media_id}

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
        answer = await self._graph.call(
            http,
            account,
            "GET",
            account.account_id,
            query={"fields": _CHECKED_FIELDS},
            repeatable=True,
            error=FetchError,
        )
        options = {name: text for name in _FIELDS_AS_OPTIONS if (text := as_text(answer.get(name), SHORT))}
        throughput = as_text(as_object(answer.get("throughput")).get("level"), SHORT)
        if throughput:
            options["throughput"] = throughput
        name = as_text(answer.get("verified_name"), SHORT) or options.get("display_phone_number", "")
        return AccountFacts(as_id(answer.get("id")) or account.account_id, name, options)


def _message(envelope: Envelope) -> JsonObject:
    message: JsonObject = {
        "messaging_product": "whatsapp",
        **_recipient(envelope.recipient),
        **envelope.piece.payload,
        "biz_opaque_callback_data": envelope.correlation,
    }
    if envelope.reply_to is not None and message.get("type") != "reaction":  # a reaction is refused with a context
        message["context"] = {"message_id": envelope.reply_to}
    return message


def _recipient(addresses: Sequence[Address]) -> dict[str, JsonValue]:
    by_kind: dict[str, str] = {}
    for address in addresses:
        by_kind.setdefault(address.kind, address.value)
    if GROUP in by_kind:
        return {"recipient_type": "group", "to": by_kind[GROUP]}
    if PHONE in by_kind:
        # Without the plus a number may be read as one of the business's own country.
        return {"recipient_type": "individual", "to": f"+{by_kind[PHONE]}"}
    if USER in by_kind:
        return {"recipient_type": "individual", "recipient": by_kind[USER]}
    reason = "The person is known by neither a phone number nor an id that WhatsApp delivers to."
    raise SendError(Fault("recipient_unavailable", reason))


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
