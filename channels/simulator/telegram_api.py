"""The Bot API as a bot calls it: methods under ``/bot<token>/``, files under ``/file/bot<token>/`` (facts, 4.3-4.6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response

from channels.simulator.calls import Call, Reply, logged, mishap_after, mishap_before, read_call
from channels.simulator.simulation import Simulation
from channels.simulator.telegram import (
    NOT_BY_DEFAULT,
    bot_object,
    chat_object,
    sent_message,
)
from channels.simulator.telegram_content import Refusal, TelegramContent
from channels.simulator.telegram_text import REACTIONS
from channels.simulator.wire import as_list, as_number, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, Message
from channels.types import JsonObject, JsonValue

BOT_TOKEN = re.compile(r"\d{1,20}:[A-Za-z0-9_-]{10,}")
_DOWNLOAD_LIMIT = 20 * 1024 * 1024
_SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")
_FOLDERS = {"image": "photos", "video": "videos", "audio": "music", "voice": "voice", "sticker": "stickers"}
_ACTIONS = frozenset({
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note",
})  # fmt: skip

Method = Callable[[Account, Call], Awaitable[JsonValue]]


class TelegramApi:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._content = TelegramContent(simulation)
        self._methods: dict[str, Method] = {
            "getme": self._get_me,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._webhook_info,
            "getupdates": self._get_updates,
            "sendmediagroup": self._send_album,
            "sendchataction": self._chat_action,
            "setmessagereaction": self._react,
            "editmessagetext": self._edit_text,
            "editmessagecaption": self._edit_caption,
            "editmessagereplymarkup": self._edit_markup,
            "deletemessage": self._delete,
            "answercallbackquery": self._true,
            "setmycommands": self._true,
            "deletemycommands": self._true,
            "setchatmenubutton": self._true,
            "getfile": self._get_file,
            "getchat": self._get_chat,
            "getuserprofilephotos": self._profile_photos,
        }

    async def endpoint(self, request: Request) -> Response:
        token, method = request.path_params["token"], request.path_params["method"].lower()
        call = await read_call(request, f"/bot/{request.path_params['method']}")
        account: Account | None = None
        try:
            account = self._account(token)
            sends = method.startswith("send") and method != "sendchataction"
            await self._mishap(account, sends=sends)
            if call.malformed:
                raise Refusal(400, "Bad Request: can't parse JSON object")
            reply = Reply({"ok": True, "result": await self._call(account, method, call)}, sent=sends)
        except Refusal as refusal:
            reply = _refused(refusal)
        logged(self._simulation, account, call, reply.status, reply.body)
        if reply.sent and account is not None:
            hung = await mishap_after(self._simulation, account, request)
            if hung is not None:
                return hung
        return reply.response()

    def _account(self, token: str) -> Account:
        if not BOT_TOKEN.fullmatch(token):
            raise Refusal(404, "Not Found")
        for account in self._world.owned_by(token):
            if account.kind == "telegram":
                return account
        raise Refusal(401, "Unauthorized")

    async def _mishap(self, account: Account, *, sends: bool) -> None:
        mishap = await mishap_before(self._simulation, account, sends=sends)
        if mishap is None:
            return
        name, fault = mishap
        if name == "down":
            raise Refusal(502, "Bad Gateway")
        if name == "throttle":
            wait = max(fault.retry_after, 1)
            raise Refusal(429, f"Too Many Requests: retry after {wait}", {"retry_after": wait})
        code = fault.status or fault.code or 500
        raise Refusal(code, _FAILURES.get(code, "Bad Request: simulated failure"))

    async def _call(self, account: Account, method: str, call: Call) -> JsonValue:
        known = self._methods.get(method)
        if known is not None:
            return await known(account, call)
        if method in self._content.sends:
            return await self._send(account, method, call)
        raise Refusal(404, "Not Found")

    # --- Sends --------------------------------------------------------------------------------------------------------

    async def _send(self, account: Account, method: str, call: Call) -> JsonValue:
        room = self.room(account, call.fields)
        kind, text, content = await self._content.build(account, room, method, call)
        return self._accept(account, room, kind, text, content)

    async def _send_album(self, account: Account, call: Call) -> JsonValue:
        room = self.room(account, call.fields)
        items = await self._content.album(account, call)
        return [self._accept(account, room, kind, text, content) for kind, text, content in items]

    def _accept(self, account: Account, room: Customer, kind: str, text: str | None, content: JsonObject) -> JsonObject:
        now = self._world.now()
        room.last_number += 1
        shown = sent_message(account, room, room.last_number, now, content)
        quoted = as_object(content.get("reply_to_message")).get("message_id")
        message = Message(
            str(room.last_number), room.id, False, kind, text, shown, now,
            reply_to=str(quoted) if quoted is not None else None,
        )  # fmt: skip
        self._simulation.accepted(account, room, message)
        return shown

    def room(self, account: Account, fields: JsonObject) -> Customer:
        chat_id = fields.get("chat_id")
        if chat_id in (None, ""):
            raise Refusal(400, "Bad Request: chat_id is empty")
        room = account.customers.get(str(chat_id))
        if room is None:
            raise Refusal(400, "Bad Request: chat not found")
        if not room.started:
            raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
        if room.blocked:
            kicked = "Forbidden: bot was kicked from the supergroup chat"
            raise Refusal(403, kicked if room.is_group else "Forbidden: bot was blocked by the user")
        if not room.reachable:
            raise Refusal(403, "Forbidden: user is deactivated")
        return room

    def _target(self, account: Account, call: Call, refusal: str) -> tuple[Customer, Message]:
        room = self.room(account, call.fields)
        number = as_number(call.fields.get("message_id"))
        message = account.find_message(room.id, str(int(number))) if number is not None else None
        if message is None or message.deleted:
            raise Refusal(400, f"Bad Request: {refusal}")
        return room, message

    # --- Changes ------------------------------------------------------------------------------------------------------

    async def _edit_text(self, account: Account, call: Call) -> JsonValue:
        message = self._own(account, call)
        if "text" not in message.content:
            raise Refusal(400, "Bad Request: there is no text in the message to edit")
        return self._replace(message, self._content.text(call.fields), call.fields)

    async def _edit_caption(self, account: Account, call: Call) -> JsonValue:
        message = self._own(account, call)
        if "text" in message.content:
            raise Refusal(400, "Bad Request: there is no caption in the message to edit")
        return self._replace(message, self._content.caption(call.fields), call.fields)

    async def _edit_markup(self, account: Account, call: Call) -> JsonValue:
        return self._replace(self._own(account, call), {}, call.fields)

    def _own(self, account: Account, call: Call) -> Message:
        _, message = self._target(account, call, "message to edit not found")
        if message.incoming:
            raise Refusal(400, "Bad Request: message can't be edited")
        return message

    def _replace(self, message: Message, changes: JsonObject, fields: JsonObject) -> JsonObject:
        kept = {
            key: value
            for key, value in message.content.items()
            if key not in ("reply_markup", "edit_date") and not (changes and key in ("entities", "caption_entities"))
        }
        changed: JsonObject = {**kept, **changes, **self._content.markup(fields)}
        if changed == {key: value for key, value in message.content.items() if key != "edit_date"}:
            raise Refusal(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly the "
                "same as a current content and reply markup of the message",
            )
        message.content = {**changed, "edit_date": int(self._world.now())}
        message.text = as_text(changed.get("text")) or as_text(changed.get("caption"))
        message.edits += 1
        return message.content

    async def _delete(self, account: Account, call: Call) -> JsonValue:
        _, message = self._target(account, call, "message to delete not found")
        if self._world.now() - message.at > 2 * DAY:
            raise Refusal(400, "Bad Request: message can't be deleted")
        message.deleted = True
        return True

    async def _react(self, account: Account, call: Call) -> JsonValue:
        _, message = self._target(account, call, "message to react not found")
        wanted = [as_object(each) for each in as_list(call.fields.get("reaction"))]
        if len(wanted) > 1:
            raise Refusal(400, "Bad Request: REACTIONS_TOO_MANY")
        message.reactions.pop("business", None)
        for each in wanted:
            emoji = as_text(each.get("emoji"))
            if each.get("type") != "emoji" or emoji not in REACTIONS:
                raise Refusal(400, "Bad Request: REACTION_INVALID")
            message.reactions["business"] = emoji
        return True

    async def _chat_action(self, account: Account, call: Call) -> JsonValue:
        self.room(account, call.fields)
        if call.fields.get("action") not in _ACTIONS:
            raise Refusal(400, "Bad Request: wrong parameter action in request")
        return True

    # --- Webhook and updates ------------------------------------------------------------------------------------------

    async def _set_webhook(self, account: Account, call: Call) -> JsonValue:
        url = as_text(call.fields.get("url")) or ""
        secret = as_text(call.fields.get("secret_token"))
        if secret is not None and not _SECRET_TOKEN.fullmatch(secret):
            raise Refusal(400, "Bad Request: secret token contains unallowed characters")
        if url and not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise Refusal(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        updates = call.fields.get("allowed_updates")
        if isinstance(updates, list):
            named = frozenset(str(each) for each in updates)
            account.allowed_updates = named or _default_updates()
        elif account.webhook_url is None and account.allowed_updates is None:
            account.allowed_updates = _default_updates()
        account.webhook_url, account.secret = url or None, secret
        if account.webhook_url is not None:
            waiting = [] if call.fields.get("drop_pending_updates") is True else list(account.pulled)
            account.pulled.clear()
            for chat, update in waiting:
                if chat in account.customers:
                    self._simulation.emit(account, account.customers[chat], "update", update, part="update")
        return True

    async def _delete_webhook(self, account: Account, call: Call) -> JsonValue:
        account.webhook_url = None
        return True

    async def _webhook_info(self, account: Account, call: Call) -> JsonValue:
        info: JsonObject = {
            "url": account.webhook_url or "",
            "has_custom_certificate": False,
            "pending_update_count": len(account.pulled) + self._simulation.outbox.pending_of(account.account_id),
            "max_connections": 40,
        }
        if account.allowed_updates is not None:
            info["allowed_updates"] = [*sorted(account.allowed_updates)]
        trouble = self._simulation.outbox.last_trouble(account.account_id)
        if trouble is not None:
            info |= {"last_error_date": int(trouble[0]), "last_error_message": trouble[1]}
        return info

    async def _get_updates(self, account: Account, call: Call) -> JsonValue:
        if account.webhook_url is not None:
            raise Refusal(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the "
                "webhook first",
            )
        offset = as_number(call.fields.get("offset"))
        deadline = asyncio.get_running_loop().time() + min(as_number(call.fields.get("timeout")) or 0.0, 50.0)
        while offset is not None and account.pulled and (as_number(account.pulled[0][1]["update_id"]) or 0) < offset:
            account.pulled.popleft()
        # A long poll, of which the simulator sees few: looking now and then is enough.
        while not account.pulled and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        limit = int(as_number(call.fields.get("limit")) or 100)
        return [update for _, update in islice(account.pulled, min(max(limit, 1), 100))]

    # --- Look-ups -----------------------------------------------------------------------------------------------------

    async def _true(self, account: Account, call: Call) -> JsonValue:
        return True

    async def _get_me(self, account: Account, call: Call) -> JsonValue:
        return {**bot_object(account), "can_join_groups": True, "supports_inline_queries": False}

    async def _get_chat(self, account: Account, call: Call) -> JsonValue:
        room = account.customers.get(str(call.fields.get("chat_id")))
        if room is None:
            raise Refusal(400, "Bad Request: chat not found")
        return {**chat_object(room), "accent_color_id": 1, "max_reaction_count": 11}

    async def _profile_photos(self, account: Account, call: Call) -> JsonValue:
        return {"total_count": 0, "photos": []}

    async def _get_file(self, account: Account, call: Call) -> JsonValue:
        media = self._world.media.get(as_text(call.fields.get("file_id")) or "")
        if media is None or media.account_id != account.account_id:
            raise Refusal(400, "Bad Request: invalid file_id")
        if len(media.data) > _DOWNLOAD_LIMIT:
            raise Refusal(400, "Bad Request: file is too big")
        return {
            "file_id": media.id,
            "file_unique_id": "AQAD" + media.ticket[:12],
            "file_size": len(media.data),
            "file_path": f"{_FOLDERS.get(media.kind, 'documents')}/{media.id}/{media.filename}",
        }

    async def download(self, request: Request) -> Response:
        try:
            account = self._account(request.path_params["token"])
        except Refusal as refusal:
            return _refused(refusal).response()
        media = self._world.media.get(request.path_params["file_id"])
        if media is None or media.account_id != account.account_id:
            return Reply({"ok": False, "error_code": 404, "description": "Not Found"}, 404).response()
        return Response(media.data, media_type="application/octet-stream")


_FAILURES = {
    400: "Bad Request: simulated failure",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    500: "Internal Server Error",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}


def _default_updates() -> frozenset[str]:
    kinds = {"message", "edited_message", "callback_query", "my_chat_member", *NOT_BY_DEFAULT}
    return frozenset(kinds - NOT_BY_DEFAULT)


def _refused(refusal: Refusal) -> Reply:
    body: JsonObject = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    headers = {}
    if refusal.parameters:
        body["parameters"] = refusal.parameters
        if "retry_after" in refusal.parameters:
            headers["Retry-After"] = str(refusal.parameters["retry_after"])
    return Reply(body, refusal.code, headers)
