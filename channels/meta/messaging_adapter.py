"""Sending through the Send API, as Messenger and Instagram share it; each product names what is its own.

One send is one call; the upload of stored files precedes it, and as long as that breaks no message has left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NoReturn
from urllib.parse import quote

import orjson

from channels.abilities import Endpoint, Finding
from channels.adapter import AccountFacts, Http, HttpStream, OutboundFile, Upload
from channels.capabilities import Capabilities
from channels.content import MediaRef
from channels.errors import FetchError, SendError
from channels.meta import messaging_connect
from channels.meta.graph import GraphApi
from channels.meta.messaging_faults import SENT_ALL_THE_SAME
from channels.meta.messaging_plan import plan_parts
from channels.meta.token import token_facts
from channels.outbound import Accepted, Envelope, OutboundPart, Piece
from channels.types import Account, Address, Fault, JsonObject, JsonValue, Person
from channels.wire import SHORT, as_id, as_link, as_list, as_object, as_text

_LARGEST_FILE: Final = 25 * 1024 * 1024


def _now() -> datetime:
    return datetime.now(UTC)


class MessagingAdapter(ABC):
    """``kind``, ``name``, ``capabilities``, ``graph`` and the address kinds come from the product."""

    kind: str
    name: str
    """As a person calls it."""
    provider: str = "meta"
    capabilities: Capabilities
    graph: GraphApi
    address_kind: str
    ref_kind: str | None = None
    profile_fields: str
    profile_refusals: frozenset[int] = frozenset()
    """Codes with which only the person's profile is refused, whatever they mean elsewhere."""
    upload_form: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *, now: Callable[[], datetime] = _now) -> None:
        self._now = now

    # --- What differs -------------------------------------------------------------------------------------------------

    @abstractmethod
    def needs(self, account: Account) -> messaging_connect.Needs:
        """What the account must have at Meta."""

    def node(self, account: Account) -> str:
        """The object whose edges are called: the Page, or the Instagram account."""
        return quote(account.account_id, safe="")

    def host(self, account: Account) -> str | None:
        """``None``: the host of ``graph``."""
        return None

    def stamp(self, message: JsonObject, correlation: str) -> JsonObject:
        """``message`` with the value that the provider gives back, where it does."""
        return message

    def filename(self, filename: str) -> str:
        return filename

    def reaction_name(self, account: Account, emoji: str) -> str:
        """As the API calls it. Raises ``SendError`` where the account cannot react with it."""
        return emoji

    def messaging_type(self, envelope: Envelope, message: JsonObject) -> JsonObject:
        if envelope.purpose == "human_agent":
            return {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
        return {"messaging_type": "RESPONSE"}

    # --- Sending ------------------------------------------------------------------------------------------------------

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return plan_parts(parts, self.capabilities, self.name)

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        recipient = self._recipient(account, envelope.recipient, SendError)
        payload = envelope.piece.payload
        reaction = payload.get("reaction")
        if isinstance(reaction, dict):
            return await self._react(http, account, recipient, reaction)
        if "upload" in payload:
            kind = as_text(payload["upload"]) or "file"
            message: JsonObject = {"attachment": await self._uploaded(http, account, kind, next(iter(files), None))}
        elif "album" in payload:
            message = await self._album(http, account, as_list(payload["album"]), files)
        else:
            message = as_object(payload.get("message"))
        if not message:
            raise SendError(Fault("parameter_invalid", "The planned message has no content.", ours=True))
        body: JsonObject = {
            "recipient": self._target(recipient),
            **self.messaging_type(envelope, message),
            "message": self.stamp(message, envelope.correlation),
        }
        if envelope.reply_to:
            body["reply_to"] = {"mid": envelope.reply_to}
        try:
            answer = await self._post(http, account, body, timeout=envelope.piece.patience)
        except SendError as error:
            if error.fault.code == SENT_ALL_THE_SAME.code:
                return Accepted((), note=f"{error.fault.provider_code}: {SENT_ALL_THE_SAME.reason}")
            raise
        return self._accepted(account, recipient, answer)

    def _accepted(self, account: Account, recipient: Address, answer: JsonObject) -> Accepted:
        message_id, person = as_id(answer.get("message_id")), as_id(answer.get("recipient_id"))
        revealed = Address(self.address_kind, account.account_id, person) if person else None
        return Accepted(
            (message_id,) if message_id else (),
            addresses=(revealed,) if revealed and revealed != recipient else (),
            note=None if message_id else "The answer names no message id.",
        )

    async def _react(self, http: Http, account: Account, recipient: Address, reaction: JsonObject) -> Accepted:
        emoji = as_text(reaction.get("emoji"))
        payload: JsonObject = {"message_id": reaction.get("target")}
        if emoji:
            payload["reaction"] = self.reaction_name(account, emoji)
        action = "react" if emoji else "unreact"
        await self._post(
            http, account, {"recipient": self._target(recipient), "sender_action": action, "payload": payload}
        )
        return Accepted(())

    async def _album(
        self, http: Http, account: Account, links: Sequence[JsonValue], files: Sequence[OutboundFile]
    ) -> JsonObject:
        stored = iter(files)
        images: list[JsonValue] = []
        for link in links:
            if isinstance(link, str):
                images.append({"type": "image", "payload": {"url": link}})
            else:
                images.append(await self._uploaded(http, account, "image", next(stored, None)))
        return {"attachments": images}

    async def _uploaded(self, http: Http, account: Account, kind: str, file: OutboundFile | None) -> JsonObject:
        if file is None:
            raise SendError(Fault("media_refused", "The stored file is missing.", ours=True))
        attachment = {"attachment": {"type": kind, "payload": {"is_reusable": True}}}
        answer = await self.graph.upload(
            http,
            account,
            f"{self.node(account)}/message_attachments",
            form={**self.upload_form, "message": orjson.dumps(attachment).decode()},
            files=(Upload("filedata", self.filename(file.filename), file.mime_type, file.data),),
            host=self.host(account),
        )
        attachment_id = as_id(answer.get("attachment_id"))
        if attachment_id is None:
            raise SendError(Fault("temporary", "Meta took the file without naming it.", retryable=True))
        return {"type": kind, "payload": {"attachment_id": attachment_id}}

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        await self._act(http, account, peer, "mark_seen")

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        await self._act(http, account, peer, "typing_on")

    async def acknowledge(self, http: Http, account: Account, token: str) -> None:  # noqa: B027
        """A tap needs no answer here."""

    async def _act(self, http: Http, account: Account, peer: Sequence[Address], action: str) -> None:
        recipient = self._target(self._recipient(account, peer, SendError))
        await self._post(http, account, {"recipient": recipient, "sender_action": action}, repeatable=True)

    async def _post(
        self, http: Http, account: Account, body: JsonObject, *, timeout: float | None = None, repeatable: bool = False
    ) -> JsonObject:
        return await self.graph.call(
            http,
            account,
            "POST",
            f"{self.node(account)}/messages",
            json=body,
            timeout=timeout,
            host=self.host(account),
            repeatable=repeatable,
        )

    def _recipient(
        self, account: Account, addresses: Sequence[Address], error: type[SendError] | type[FetchError]
    ) -> Address:
        """The person's id before a reference; ids of another Page or account name nobody here."""
        for kind in (self.address_kind, self.ref_kind):
            for address in addresses:
                if address.kind == kind and address.scope == account.account_id:
                    return address
        raise error(
            Fault("recipient_unavailable", "This person has no address at this account.", ends_contact="unreachable")
        )

    def _target(self, address: Address) -> JsonObject:
        return {"id" if address.kind == self.address_kind else "user_ref": address.value}

    # --- Blocking people ----------------------------------------------------------------------------------------------

    async def block(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        await self._moderate(http, account, peer, "block_user")

    async def unblock(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        await self._moderate(http, account, peer, "unblock_user")

    async def _moderate(self, http: Http, account: Account, peer: Sequence[Address], action: str) -> None:
        person = self._recipient(account, peer, SendError)
        if person.kind != self.address_kind:
            reason = f"{self.name} can block a person only after they have written."
            raise SendError(Fault("not_offered", reason))
        await self.graph.call(
            http,
            account,
            "POST",
            f"{self.node(account)}/moderate_conversations",
            json={"user_ids": [{"id": person.value}], "actions": [action]},
            host=self.host(account),
            repeatable=True,
        )

    # --- Connecting ---------------------------------------------------------------------------------------------------

    async def subscribe(self, http: Http, account: Account, endpoint: Endpoint) -> list[Finding]:
        return await messaging_connect.subscribe(self.graph, http, account, self.needs(account), endpoint)

    async def inspect(self, http: Http, account: Account, endpoint: Endpoint | None) -> list[Finding]:
        try:
            facts = await self._owner(http, account)
        except FetchError as error:
            return [messaging_connect.dead_credentials(error.fault)]
        return await messaging_connect.inspect(self.graph, http, account, self.needs(account), facts, self._now())

    # --- Reading ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def fetch(self, http: Http, account: Account, media: MediaRef) -> AsyncIterator[HttpStream]:
        """The link is signed and needs no token, so it gets none (facts 2.2); it expires."""
        if media.url is None:
            raise FetchError(Fault("not_found", "The provider gave no link to this file."))
        async with http.stream("GET", media.url, max_bytes=_LARGEST_FILE) as stream:
            if not 200 <= stream.status < 300:
                _refuse_file(stream.status)
            yield stream

    async def profile(self, http: Http, account: Account, peer: Sequence[Address]) -> Person | None:
        address = self._recipient(account, peer, FetchError)
        if address.kind != self.address_kind:
            return None
        try:
            found = await self._get(http, account, quote(address.value, safe=""), self.profile_fields)
        except FetchError as error:
            if error.fault.code == "not_found" or self._refuses_profile_only(error.fault):
                return None
            raise
        person = Person(
            (address,),
            name=as_text(found.get("name"), SHORT),
            first_name=as_text(found.get("first_name"), SHORT),
            last_name=as_text(found.get("last_name"), SHORT),
            username=as_text(found.get("username"), SHORT),
            avatar_url=as_link(found.get("profile_pic")),
        )
        return None if person == Person((address,)) else person

    def _refuses_profile_only(self, fault: Fault) -> bool:
        code = (fault.provider_code or "").partition("/")[0]
        return code.isdecimal() and int(code) in self.profile_refusals

    async def check(self, http: Http, account: Account) -> AccountFacts:
        facts = await self._owner(http, account)
        # Only graph.facebook.com tells about tokens.
        token = await token_facts(self.graph, http, account) if self.host(account) is None else None
        return replace(facts, expires_at=token.expires_at) if token is not None else facts

    @abstractmethod
    async def _owner(self, http: Http, account: Account) -> AccountFacts:
        """Whose token it is. Raises ``FetchError``."""

    async def _get(self, http: Http, account: Account, path: str, fields: str) -> JsonObject:
        return await self.graph.call(
            http,
            account,
            "GET",
            path,
            query={"fields": fields},
            host=self.host(account),
            repeatable=True,
            error=FetchError,
        )


def _refuse_file(status: int) -> NoReturn:
    code = f"http {status}"
    if status == 429 or status >= 500:
        raise FetchError(Fault("temporary", "The file cannot be fetched now.", code, retryable=True))
    raise FetchError(Fault("not_found", "The link to this file no longer works.", code))
