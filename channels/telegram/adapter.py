"""The Telegram Bot API as a channel. What a call needs is in ``calls`` and ``chats``, what it carries in ``render``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from channels.abilities import Endpoint, Finding
from channels.adapter import AccountFacts, Http, HttpStream, OutboundFile, Upload
from channels.capabilities import Capabilities
from channels.content import MediaRef
from channels.errors import FetchError, SendError
from channels.outbound import Accepted, Envelope, OutboundPart, Piece
from channels.telegram import connecting
from channels.telegram.calls import base_of, call, refuse_fetch, require
from channels.telegram.capabilities import CAPABILITIES
from channels.telegram.chats import external_ids, find_chat, get_key, params_of
from channels.telegram.edits import plan_edit
from channels.telegram.errors import NO_TEXT, NOT_MODIFIED, NOTHING_TO_DELETE, QUERY_TOO_OLD
from channels.telegram.message_key import MessageKey
from channels.telegram.people import read_group, read_user
from channels.telegram.render import render
from channels.types import Account, Address, Fault, JsonObject, Person
from channels.wire import SHORT, as_integer, as_list, as_object, as_text

FILE_SCHEME: Final = "telegram-file:"
"""``Person.avatar_url`` of a Telegram person: ``telegram-file:<file id>``. No browser can load it, since the real
address contains the token: hand it to ``fetch`` as ``MediaRef(url=…)``."""


class TelegramAdapter:
    kind = "telegram"
    provider = "telegram"
    capabilities: Capabilities = CAPABILITIES

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return render(parts)

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        payload = envelope.piece.payload
        method, fields = as_text(payload.get("method")), _file_fields(payload)
        replied = MessageKey.find(envelope.reply_to)
        chat = find_chat(envelope.recipient, replied)
        if method is None or chat is None or len(fields) != len(files):
            raise SendError(Fault("parameter_invalid", "The message has no recipient or lacks its file.", ours=True))
        params = {**as_object(payload.get("params")), **chat.params}
        if method == "setMessageReaction":
            params.pop("business_connection_id", None)
        elif replied is not None and replied.chat == chat.id and replied.connection == chat.connection:
            # Without the second field a quoted message that is gone would refuse the whole send.
            params["reply_parameters"] = {"message_id": replied.message, "allow_sending_without_reply": True}
        uploads = [
            Upload(field, file.filename, file.mime_type, file.data) for field, file in zip(fields, files, strict=True)
        ]
        reply = await call(http, account, method, params, uploads)
        if reply.says(NOT_MODIFIED):
            return Accepted((), note="not_modified")
        require(reply, account, group=chat.is_group)
        return Accepted(external_ids(reply.body.get("result"), chat))

    async def edit(
        self, http: Http, account: Account, peer: Sequence[Address], external_id: str, parts: Sequence[OutboundPart]
    ) -> None:
        """The words, caption, file or buttons of one message. What it says already counts as done."""
        edit, key = plan_edit(parts), get_key(external_id)
        reply = await call(http, account, edit.method, {**edit.params, **params_of(key)})
        if edit.otherwise is not None and reply.says(NO_TEXT):
            edit = edit.otherwise
            reply = await call(http, account, edit.method, {**edit.params, **params_of(key)})
        if not reply.says(NOT_MODIFIED):
            require(reply, account, group=key.chat < 0)

    async def delete(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        """What is gone already counts as done."""
        key = get_key(external_id)
        if key.connection is not None:
            params: JsonObject = {"business_connection_id": key.connection, "message_ids": [key.message]}
            reply = await call(http, account, "deleteBusinessMessages", params)
        else:
            reply = await call(http, account, "deleteMessage", params_of(key))
        if not reply.says(NOTHING_TO_DELETE):
            require(reply, account, group=key.chat < 0)

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        """Only a business account's chats know "read"."""
        key = MessageKey.find(external_id)
        if key is not None and key.connection is not None:
            require(await call(http, account, "readBusinessMessage", params_of(key)), account)

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        chat = find_chat(peer, MessageKey.find(external_id))
        if chat is not None:
            reply = await call(http, account, "sendChatAction", {**chat.params, "action": "typing"})
            require(reply, account, group=chat.is_group)

    async def acknowledge(self, http: Http, account: Account, token: str) -> None:
        """An answer that comes too late changes nothing for the person, so it is no error."""
        reply = await call(http, account, "answerCallbackQuery", {"callback_query_id": token})
        if not reply.says(QUERY_TOO_OLD):
            require(reply, account)

    @asynccontextmanager
    async def fetch(self, http: Http, account: Account, media: MediaRef) -> AsyncIterator[HttpStream]:
        file_id = media.id or (media.url or "").removeprefix(FILE_SCHEME)
        if not file_id or (media.id is None and not (media.url or "").startswith(FILE_SCHEME)):
            raise FetchError(Fault("not_found", "Nothing tells which file is meant."))
        reply = await call(http, account, "getFile", {"file_id": file_id})
        if reply.ok is not True:
            refuse_fetch(reply, account)
        path = as_text(as_object(reply.body.get("result")).get("file_path"))
        # Our token goes along with whatever path is named, so it must not lead out of the files.
        if path is None or path.startswith("/") or ".." in path.split("/"):
            raise FetchError(Fault("not_found", "Telegram does not offer the file for download."))
        url = f"{base_of(account)}/file/bot{account.token}/{quote(path)}"
        async with http.stream("GET", url) as stream:
            if stream.status != 200:
                retryable = stream.status == 429 or stream.status >= 500
                code = "temporary" if retryable else "not_found"
                reason = f"The download was refused with HTTP status {stream.status}."
                raise FetchError(Fault(code, reason, str(stream.status), retryable=retryable))
            yield stream

    async def profile(self, http: Http, account: Account, peer: Sequence[Address]) -> Person | None:
        chat = find_chat(peer, None)
        if chat is None:
            return None
        reply = await call(http, account, "getChat", {"chat_id": chat.id})
        if reply.ok is not True:
            refuse_fetch(reply, account)
        described = as_object(reply.body.get("result"))
        person = read_group(described) if chat.is_group else read_user(described)
        if person is None:
            return None
        photo = as_object(described.get("photo"))
        picture = as_text(photo.get("big_file_id")) or as_text(photo.get("small_file_id"))
        return replace(person, avatar_url=f"{FILE_SCHEME}{picture}") if picture else person

    async def check(self, http: Http, account: Account) -> AccountFacts:
        reply = await call(http, account, "getMe", {})
        if reply.ok is not True:
            refuse_fetch(reply, account)
        bot = as_object(reply.body.get("result"))
        bot_id, username = as_integer(bot.get("id")), as_text(bot.get("username"), SHORT)
        if bot_id is None:
            raise FetchError(Fault("unknown_error", "Telegram's answer does not name the bot."))
        options = {"username": username} if username else {}
        for flag in ("can_join_groups", "can_read_all_group_messages", "can_connect_to_business"):
            if isinstance(bot.get(flag), bool):
                options[flag] = "true" if bot[flag] else "false"
        return AccountFacts(str(bot_id), as_text(bot.get("first_name"), SHORT) or username or str(bot_id), options)

    async def subscribe(self, http: Http, account: Account, endpoint: Endpoint) -> list[Finding]:
        return await connecting.subscribe(http, account, endpoint)

    async def inspect(self, http: Http, account: Account, endpoint: Endpoint | None) -> list[Finding]:
        return await connecting.inspect(http, account, endpoint)


def _file_fields(payload: JsonObject) -> list[str]:
    """Form fields of the files to upload. Pieces of the first version named one of them in ``file``."""
    fields = as_list(payload.get("files")) if "files" in payload else [payload.get("file")]
    return [field for field in fields if isinstance(field, str)]
