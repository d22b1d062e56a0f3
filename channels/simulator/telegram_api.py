"""The Bot API as a bot calls it: methods under ``/bot<token>/``, files under ``/file/bot<token>/`` (facts, 4.3-4.6)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from channels.simulator.calls import Call, Reply, logged, mishap_after, mishap_before, read_call
from channels.simulator.simulation import Simulation
from channels.simulator.telegram_changes import TelegramChanges
from channels.simulator.telegram_content import TelegramContent
from channels.simulator.telegram_files import TelegramFiles
from channels.simulator.telegram_flood import check_flood
from channels.simulator.telegram_rooms import Refusal, Room, bad, find_room, open_room
from channels.simulator.telegram_shapes import bot_object, chat_object
from channels.simulator.telegram_webhook import TelegramWebhook
from channels.simulator.wire import as_object
from channels.simulator.world import Account, Message
from channels.types import JsonObject, JsonValue

BOT_TOKEN = re.compile(r"\d{1,20}:[A-Za-z0-9_-]{10,}")
_ACTIONS = frozenset({
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note",
})  # fmt: skip

Method = Callable[[Account, Call], Awaitable[JsonValue]]
Worded = Callable[[Account, Call], Awaitable[tuple[JsonValue, str]]]


class TelegramApi:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world
        files = TelegramFiles(simulation)
        self._files = files
        self._content = TelegramContent(simulation, files)
        changes, webhook = TelegramChanges(simulation, self._content), TelegramWebhook(simulation)
        self._worded: dict[str, Worded] = {"setwebhook": webhook.set, "deletewebhook": webhook.delete}
        """Methods whose answer has a description even when all went well."""
        self._methods: dict[str, Method] = {
            "getme": self._get_me,
            "getwebhookinfo": webhook.info,
            "getupdates": webhook.pull,
            "sendmediagroup": self._send_album,
            "sendchataction": self._chat_action,
            "setmessagereaction": changes.react,
            "editmessagetext": changes.edit_text,
            "editmessagecaption": changes.edit_caption,
            "editmessagemedia": changes.edit_media,
            "editmessagereplymarkup": changes.edit_markup,
            "deletemessage": changes.delete,
            "deletemessages": changes.delete_several,
            "answercallbackquery": changes.answer_query,
            "getbusinessconnection": changes.connection,
            "readbusinessmessage": changes.read,
            "deletebusinessmessages": changes.delete_business,
            "setmycommands": self._true,
            "deletemycommands": self._true,
            "setchatmenubutton": self._true,
            "getfile": files.get_file,
            "getchat": self._get_chat,
            "getuserprofilephotos": files.profile_photos,
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
                raise bad("can't parse JSON object")
            reply = Reply(await self._answer(account, method, call), sent=sends)
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

    async def _answer(self, account: Account, method: str, call: Call) -> JsonObject:
        worded = self._worded.get(method)
        if worded is not None:
            result, words = await worded(account, call)
            return {"ok": True, "result": result, "description": words}
        known = self._methods.get(method)
        if known is None and method in self._content.sends:
            return {"ok": True, "result": await self._send(account, method, call)}
        if known is None:
            raise Refusal(404, "Not Found")
        return {"ok": True, "result": await known(account, call)}

    # --- Sends --------------------------------------------------------------------------------------------------------

    async def _send(self, account: Account, method: str, call: Call) -> JsonValue:
        room = open_room(self._world, account, call.fields)
        kind, text, content = await self._content.build(room, method, call)
        check_flood(room, self._world.now())
        return self._accept(room, kind, text, content, call.fields)

    async def _send_album(self, account: Account, call: Call) -> JsonValue:
        room = open_room(self._world, account, call.fields)
        items = await self._content.album(room, call)
        check_flood(room, self._world.now(), len(items))
        return [self._accept(room, kind, text, content, call.fields) for kind, text, content in items]

    def _accept(self, room: Room, kind: str, text: str | None, content: JsonObject, fields: JsonObject) -> JsonObject:
        now, number = self._world.now(), room.next_number()
        shown: JsonObject = {**room.head(number, now, fields), **content}
        quoted = as_object(content.get("reply_to_message")).get("message_id")
        message = Message(
            str(number), room.customer.id, False, kind, text, shown, now,
            reply_to=str(quoted) if quoted is not None else None,
            room=room.key if room.connection is not None else None,
        )  # fmt: skip
        self._simulation.accepted(room.account, room.customer, message)
        return shown

    async def _chat_action(self, account: Account, call: Call) -> JsonValue:
        open_room(self._world, account, call.fields)
        if call.fields.get("action") not in _ACTIONS:
            raise bad("wrong parameter action in request")
        return True

    # --- Look-ups -----------------------------------------------------------------------------------------------------

    async def _true(self, account: Account, call: Call) -> JsonValue:
        return True

    async def _get_me(self, account: Account, call: Call) -> JsonValue:
        return {
            **bot_object(account),
            "can_join_groups": True,
            "can_read_all_group_messages": not account.bot.privacy_mode,
            "supports_inline_queries": False,
            "can_connect_to_business": True,
            "has_main_web_app": False,
        }

    async def _get_chat(self, account: Account, call: Call) -> JsonValue:
        customer = find_room(account, call.fields).customer
        gifts = ["unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"]
        about: JsonObject = {
            **chat_object(customer),
            "accent_color_id": 1,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys(gifts, True),
        }
        if customer.chat.bio is not None:
            about["description" if customer.is_group else "bio"] = customer.chat.bio
        if customer.username and not customer.is_group:
            about["active_usernames"] = [customer.username]
        return {**about, **self._files.chat_photo(account, customer.chat.photo)}

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


def _refused(refusal: Refusal) -> Reply:
    body: JsonObject = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    headers = {}
    if refusal.parameters:
        body["parameters"] = refusal.parameters
        if "retry_after" in refusal.parameters:
            headers["Retry-After"] = str(refusal.parameters["retry_after"])
    return Reply(body, refusal.code, headers)
