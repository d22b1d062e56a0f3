"""Calls of the Bot API. The token is part of every address, so no address ever enters an error or a result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import quote

import orjson

from channels.adapter import AccountFacts, Http, HttpAnswer, HttpStream, OutboundFile, Upload
from channels.capabilities import Capabilities
from channels.content import MediaRef
from channels.errors import ContentRefused, FetchError, SendError
from channels.outbound import Accepted, Envelope, OutboundPart, OutboundText, Piece
from channels.telegram.capabilities import CAPABILITIES
from channels.telegram.errors import NOT_MODIFIED, QUERY_TOO_OLD, Reply, fault_of, read_reply
from channels.telegram.message_key import MessageKey
from channels.telegram.people import BUSINESS, GROUP, USER, read_group, read_user
from channels.telegram.render import render, render_text
from channels.types import Account, Address, Fault, JsonObject, JsonValue, Person
from channels.wire import SHORT, as_integer, as_object, as_text, objects

API_BASE: Final = "https://api.telegram.org"
FILE_SCHEME: Final = "telegram-file:"
"""``Person.avatar_url`` of a Telegram person: ``telegram-file:<file id>``. No browser can load it, since the real
address contains the token: hand it to ``fetch`` as ``MediaRef(url=…)``."""


@dataclass(frozen=True, slots=True)
class _Chat:
    id: int
    connection: str | None = None

    @property
    def params(self) -> JsonObject:
        params: JsonObject = {"chat_id": self.id}
        return {**params, "business_connection_id": self.connection} if self.connection else params


class TelegramAdapter:
    kind = "telegram"
    provider = "telegram"
    capabilities: Capabilities = CAPABILITIES

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return render(parts)

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        file = next(iter(files), None)
        payload = envelope.piece.payload
        method, field = as_text(payload.get("method")), as_text(payload.get("file"))
        replied = MessageKey.find(envelope.reply_to)
        chat = _find_chat(envelope.recipient, replied)
        if method is None or chat is None or (field is not None and file is None):
            raise SendError(Fault("parameter_invalid", "The message has no recipient or lacks its file.", ours=True))
        params = {**as_object(payload.get("params")), **chat.params}
        if method == "setMessageReaction":
            params.pop("business_connection_id", None)
        elif replied is not None and replied.chat == chat.id and replied.connection == chat.connection:
            # Without the second field a quoted message that is gone would refuse the whole send.
            params["reply_parameters"] = {"message_id": replied.message, "allow_sending_without_reply": True}
        uploads = (
            (Upload(field, file.filename, file.mime_type, file.data),) if field is not None and file is not None else ()
        )
        reply = await _call(http, account, method, params, uploads)
        if reply.says(NOT_MODIFIED):
            return Accepted((), note="not_modified")
        if reply.ok is not True:
            raise SendError(fault_of(reply, token=account.token, group=chat.id < 0))
        return Accepted(_external_ids(reply.body.get("result"), chat))

    async def edit(
        self, http: Http, account: Account, peer: Sequence[Address], external_id: str, parts: Sequence[OutboundPart]
    ) -> None:
        """Replace the words of a text of ours. Raises ``ContentRefused`` or ``SendError``."""
        text = parts[0] if len(parts) == 1 else None
        if not isinstance(text, OutboundText):
            raise ContentRefused("not_offered", "Only a text can be edited here.", limit="edit")
        pieces = render_text(text)
        if len(pieces) > 1:
            limit = self.capabilities.text.maximum
            raise ContentRefused("too_long", "An edited text stays one message.", limit="text.maximum", allowed=limit)
        params = {**as_object(pieces[0].payload.get("params")), **_params_of(external_id)}
        reply = await _call(http, account, "editMessageText", params)
        if not reply.says(NOT_MODIFIED):
            _require(reply, account)

    async def delete(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        """Take a message back, within 48 hours. Raises ``SendError``."""
        params = _params_of(external_id)
        if "business_connection_id" in params:
            params = {
                "business_connection_id": params["business_connection_id"],
                "message_ids": [params["message_id"]],
            }
            _require(await _call(http, account, "deleteBusinessMessages", params), account)
        else:
            _require(await _call(http, account, "deleteMessage", params), account)

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        """Only a business account's chats know "read"."""
        key = MessageKey.find(external_id)
        if key is not None and key.connection is not None:
            _require(await _call(http, account, "readBusinessMessage", _params_of(external_id)), account)

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        chat = _find_chat(peer, MessageKey.find(external_id))
        if chat is not None:
            reply = await _call(http, account, "sendChatAction", {**chat.params, "action": "typing"})
            _require(reply, account, group=chat.id < 0)

    async def acknowledge(self, http: Http, account: Account, token: str) -> None:
        """An answer that comes too late changes nothing for the person, so it is no error."""
        reply = await _call(http, account, "answerCallbackQuery", {"callback_query_id": token})
        if not reply.says(QUERY_TOO_OLD):
            _require(reply, account)

    @asynccontextmanager
    async def fetch(self, http: Http, account: Account, media: MediaRef) -> AsyncIterator[HttpStream]:
        file_id = media.id or (media.url or "").removeprefix(FILE_SCHEME)
        if not file_id or (media.id is None and not (media.url or "").startswith(FILE_SCHEME)):
            raise FetchError(Fault("not_found", "Nothing tells which file is meant."))
        reply = await _call(http, account, "getFile", {"file_id": file_id})
        if reply.ok is not True:
            _refuse_fetch(reply, account)
        path = as_text(as_object(reply.body.get("result")).get("file_path"))
        # Our token goes along with whatever path is named, so it must not lead out of the files.
        if path is None or path.startswith("/") or ".." in path.split("/"):
            raise FetchError(Fault("not_found", "Telegram does not offer the file for download."))
        url = f"{_base(account)}/file/bot{account.token}/{quote(path)}"
        async with http.stream("GET", url) as stream:
            if stream.status != 200:
                retryable = stream.status == 429 or stream.status >= 500
                code = "temporary" if retryable else "not_found"
                reason = f"The download was refused with HTTP status {stream.status}."
                raise FetchError(Fault(code, reason, str(stream.status), retryable=retryable))
            yield stream

    async def profile(self, http: Http, account: Account, peer: Sequence[Address]) -> Person | None:
        chat = _find_chat(peer, None)
        if chat is None:
            return None
        reply = await _call(http, account, "getChat", {"chat_id": chat.id})
        if reply.ok is not True:
            _refuse_fetch(reply, account)
        described = as_object(reply.body.get("result"))
        person = read_group(described) if chat.id < 0 else read_user(described)
        if person is None:
            return None
        photo = as_object(described.get("photo"))
        picture = as_text(photo.get("big_file_id")) or as_text(photo.get("small_file_id"))
        return Person(
            addresses=person.addresses,
            name=person.name,
            first_name=person.first_name,
            last_name=person.last_name,
            username=person.username,
            avatar_url=f"{FILE_SCHEME}{picture}" if picture else None,
            is_group=person.is_group,
        )

    async def check(self, http: Http, account: Account) -> AccountFacts:
        reply = await _call(http, account, "getMe", {})
        if reply.ok is not True:
            _refuse_fetch(reply, account)
        bot = as_object(reply.body.get("result"))
        bot_id, username = as_integer(bot.get("id")), as_text(bot.get("username"), SHORT)
        if bot_id is None:
            raise FetchError(Fault("unknown_error", "Telegram's answer does not name the bot."))
        options = {"username": username} if username else {}
        for flag in ("can_join_groups", "can_read_all_group_messages", "can_connect_to_business"):
            if isinstance(bot.get(flag), bool):
                options[flag] = "true" if bot[flag] else "false"
        return AccountFacts(str(bot_id), as_text(bot.get("first_name"), SHORT) or username or str(bot_id), options)


# --- One call ---------------------------------------------------------------------------------------------------------


def _base(account: Account) -> str:
    return account.api_base or API_BASE


async def _call(http: Http, account: Account, method: str, params: JsonObject, uploads: Sequence[Upload] = ()) -> Reply:
    url = f"{_base(account)}/bot{account.token}/{method}"
    answer: HttpAnswer
    if uploads:
        form = {name: _form_value(value) for name, value in params.items()}
        answer = await http.request("POST", url, form=form, files=uploads)
    else:
        answer = await http.request("POST", url, json=params)
    return read_reply(answer)


def _form_value(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _require(reply: Reply, account: Account, *, group: bool = False) -> None:
    if reply.ok is not True:
        raise SendError(fault_of(reply, token=account.token, group=group))


def _refuse_fetch(reply: Reply, account: Account) -> NoReturn:
    raise FetchError(fault_of(reply, token=account.token, repeatable=True))


# --- Where to ---------------------------------------------------------------------------------------------------------


def _find_chat(recipient: Sequence[Address], last: MessageKey | None) -> _Chat | None:
    """The chat to write into. ``last``, a message of the thread, decides between the bot's own chat with a person and
    that of a business account; without it the business account's is taken, since only its customers have one.
    """
    groups = [address.value for address in recipient if address.kind == GROUP]
    if groups:
        # An upgraded group keeps its old address beside the new one, under which alone it can be reached.
        supergroups = [value for value in groups if value.startswith("-100")]
        number = _number((supergroups or groups)[-1])
        return None if number is None else _Chat(number)
    users = [number for address in recipient if address.kind == USER and (number := _number(address.value))]
    connected = [
        _Chat(number, address.scope)
        for address in recipient
        if address.kind == BUSINESS and (number := _number(address.value))
    ]
    if last is not None and last.chat in (*users, *(chat.id for chat in connected)):
        return _Chat(last.chat, last.connection)
    if connected:
        return connected[-1]
    return _Chat(users[-1]) if users else None


def _number(value: str) -> int | None:
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def _params_of(external_id: str) -> JsonObject:
    key = MessageKey.find(external_id)
    if key is None:
        raise SendError(Fault("not_found", "Telegram knows no message by this id."))
    return {**_Chat(key.chat, key.connection).params, "message_id": key.message}


def _external_ids(result: JsonValue, chat: _Chat) -> tuple[str, ...]:
    """Of the message or the album sent; none after a reaction, whose result is ``true``."""
    found: list[str] = []
    for message in objects(result):
        number = as_integer(message.get("message_id"))
        chat_id = as_integer(as_object(message.get("chat")).get("id"))
        connection = as_text(message.get("business_connection_id"), SHORT) or chat.connection
        if number:
            found.append(str(MessageKey(chat.id if chat_id is None else chat_id, number, connection)))
    return tuple(found)
