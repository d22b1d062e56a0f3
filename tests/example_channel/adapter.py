"""The calls of Pigeon's API. One exchange each; what is decided about failures is decided elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

from channels.adapter import AccountFacts, Http, HttpAnswer, HttpStream, OutboundFile, Upload
from channels.content import MediaRef
from channels.errors import FetchError, SendError
from channels.outbound import Accepted, Envelope, OutboundPart, Piece
from channels.types import Account, Address, Fault, JsonObject, Person
from channels.wire import SHORT, Undecodable, as_id, as_link, as_object, as_text, decode
from example_channel.capabilities import CAPABILITIES
from example_channel.errors import fault_of
from example_channel.parse import USER
from example_channel.render import plan

API_BASE: Final = "https://api.pigeon.example"


class PigeonAdapter:
    kind = "pigeon"
    provider = "pigeon"
    capabilities = CAPABILITIES

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return plan(parts)

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        to = next((address.value for address in envelope.recipient if address.kind == USER), None)
        if to is None or len(files) != len(envelope.piece.media_ids):
            raise SendError(Fault("parameter_invalid", "The message has no recipient or lacks its file.", ours=True))
        message: JsonObject = {**envelope.piece.payload, "to": to, "reference": envelope.correlation}
        if envelope.reply_to:
            message["quotes"] = envelope.reply_to
        for file in files:
            message["file"] = await _upload(http, account, file)
        answer = await _post(http, account, "messages", message)
        if answer.status != 200:
            raise SendError(fault_of(answer))
        external_id = as_id(_body(answer).get("id"))
        # Accepted is accepted: a message whose id is not told is found again by its reference.
        return Accepted((external_id,) if external_id else ())

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        return None

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        return None

    async def acknowledge(self, http: Http, account: Account, token: str) -> None:
        return None

    @asynccontextmanager
    async def fetch(self, http: Http, account: Account, media: MediaRef) -> AsyncIterator[HttpStream]:
        if media.id is None:
            raise FetchError(Fault("not_found", "Nothing tells which file is meant."))
        url = f"{_base(account)}/v1/files/{quote(media.id, safe='')}"
        async with http.stream("GET", url, headers=_headers(account)) as stream:
            if stream.status != 200:
                retryable = stream.status == 429 or stream.status >= 500
                code = "temporary" if retryable else "not_found"
                raise FetchError(Fault(code, "The file cannot be had.", str(stream.status), retryable=retryable))
            yield stream

    async def profile(self, http: Http, account: Account, peer: Sequence[Address]) -> Person | None:
        address = next((address for address in peer if address.kind == USER), None)
        if address is None:
            return None
        told = await _read(http, account, f"people/{quote(address.value, safe='')}")
        return Person((address,), as_text(told.get("name"), SHORT), avatar_url=as_link(told.get("picture")))

    async def check(self, http: Http, account: Account) -> AccountFacts:
        told = await _read(http, account, "me")
        account_id = as_id(told.get("id"))
        if account_id is None:
            raise FetchError(Fault("unknown_error", "The answer does not name the account."))
        return AccountFacts(account_id, as_text(told.get("name"), SHORT) or account_id)


async def _upload(http: Http, account: Account, file: OutboundFile) -> str:
    """Nobody sees an upload that is not sent, so one without a clear answer may simply be made again."""
    upload = Upload("file", file.filename, file.mime_type, file.data)
    url = f"{_base(account)}/v1/files"
    answer = await http.request("POST", url, headers=_headers(account), form={}, files=(upload,))
    file_id = as_id(_body(answer).get("id")) if answer.status == 200 else None
    if file_id is None:
        raise SendError(fault_of(answer, repeatable=True))
    return file_id


async def _post(http: Http, account: Account, path: str, body: JsonObject) -> HttpAnswer:
    return await http.request("POST", f"{_base(account)}/v1/{path}", headers=_headers(account), json=body)


async def _read(http: Http, account: Account, path: str) -> JsonObject:
    answer = await http.request("GET", f"{_base(account)}/v1/{path}", headers=_headers(account))
    if answer.status != 200:
        raise FetchError(fault_of(answer, repeatable=True))
    return _body(answer)


def _body(answer: HttpAnswer) -> JsonObject:
    try:
        return as_object(decode(answer.body))
    except Undecodable:
        return {}


def _base(account: Account) -> str:
    return account.api_base or API_BASE


def _headers(account: Account) -> dict[str, str]:
    return {"authorization": f"Bearer {account.token}"}
