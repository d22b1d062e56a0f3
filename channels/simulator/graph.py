"""The Graph API of one port: graph.facebook.com and graph.instagram.com, any version, under ``/graph``.

A token is looked at first, then whether its accounts own the node; only then is the body judged.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from channels.simulator import graph_errors, samples, wire
from channels.simulator.calls import Call, Reply, logged, mishap_after, mishap_before, read_call
from channels.simulator.graph_errors import GraphError, bad, bad_token, no_such_node
from channels.simulator.page_api import PageApi
from channels.simulator.simulation import Simulation
from channels.simulator.whatsapp_api import WhatsAppApi
from channels.simulator.wire import as_object, as_text
from channels.simulator.world import Account
from channels.types import JsonValue

_VERSION = re.compile(r"v\d+\.\d+")


class GraphApi:
    def __init__(self, simulation: Simulation, whatsapp: WhatsAppApi, pages: PageApi) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._whatsapp = whatsapp
        self._pages = pages

    async def endpoint(self, request: Request) -> Response:
        steps = [step for step in request.path_params["path"].split("/") if step]
        if steps and _VERSION.fullmatch(steps[0]):
            del steps[0]
        call = await read_call(request, "/" + "/".join(steps))
        account: Account | None = None
        try:
            node, edge = (steps[0] if steps else "", steps[1] if len(steps) > 1 else None)
            account = self._account(node, edge, call)
            reply = await self._answer(account, node, edge, call)
        except GraphError as error:
            reply = Reply(error.body(), error.status, error.headers)
        logged(self._simulation, account, call, reply.status, reply.body)
        if reply.sent and account is not None:
            hung = await mishap_after(self._simulation, account, request)
            if hung is not None:
                return hung
        return reply.response()

    # --- Whose node ---------------------------------------------------------------------------------------------------

    def _account(self, node: str, edge: str | None, call: Call) -> Account:
        owned = [account for account in self._world.owned_by(call.token or "") if account.kind != "telegram"]
        if not owned:
            raise bad_token()
        candidates = [account for account in owned if node == "me" or node in _nodes(account)] or (
            owned if edge is None else []
        )
        if not candidates:
            raise no_such_node(node, call.method)
        if len(candidates) > 1:
            return self._meant(candidates, node, call)
        return candidates[0]

    @staticmethod
    def _meant(candidates: list[Account], node: str, call: Call) -> Account:
        """A Page and its Instagram account share the token: the recipient, the platform or the node tells which."""
        if call.fields.get("platform") == "instagram":
            return next((account for account in candidates if account.kind == "instagram"), candidates[0])
        person = str(as_object(call.fields.get("recipient")).get("id", "")) or node
        for account in candidates:
            if person in account.customers or person in account.messages:
                return account
        return candidates[0]

    async def _answer(self, account: Account, node: str, edge: str | None, call: Call) -> Reply:
        posts_message = edge == "messages" and call.method == "POST"
        sends = posts_message and "status" not in call.fields and "sender_action" not in call.fields
        mishap = await mishap_before(self._simulation, account, sends=sends)
        if mishap is not None:
            name, fault = mishap
            if name == "down":
                raise graph_errors.down()
            raise (graph_errors.throttled if name == "throttle" else graph_errors.failed)(account, fault)
        if edge is None:
            return self._node(account, node, call)
        match edge, call.method:
            case "messages", "POST":
                if account.kind == "whatsapp":
                    return await self._whatsapp.messages(account, call)
                return await self._pages.messages(account, call)
            case "media", "POST" if account.kind == "whatsapp":
                return self._whatsapp.upload(account, call)
            case "message_attachments", "POST" if account.kind != "whatsapp":
                return await self._pages.upload(account, call)
            case "message_templates", "GET" if account.kind == "whatsapp":
                return self._whatsapp.templates(account, call)
            case "subscribed_apps", _:
                return await self._subscriptions(account, call)
        raise no_such_node(node, call.method)

    # --- Nodes --------------------------------------------------------------------------------------------------------

    def _node(self, account: Account, node: str, call: Call) -> Reply:
        media = self._world.media.get(node)
        if media is not None and account.kind == "whatsapp" and call.method in ("GET", "DELETE"):
            return self._whatsapp.media(account, media, call)
        if call.method != "GET":
            raise no_such_node(node, call.method)
        if node == "refresh_access_token":
            if call.fields.get("grant_type") != "ig_refresh_token" or account.kind != "instagram":
                raise bad("Invalid grant_type")
            return Reply({"access_token": account.token, "token_type": "bearer", "expires_in": 5_183_944})
        if node == "me" or node in _nodes(account):
            return self._self(account, node)
        if account.kind == "whatsapp":
            raise no_such_node(node, call.method)  # no profile endpoint (facts, 1.7)
        if node in account.customers:
            return self._pages.profile(account, account.customers[node], call)
        if node in account.messages:
            return self._pages.message(account, account.messages[node])
        raise no_such_node(node, call.method)

    def _self(self, account: Account, node: str) -> Reply:
        match account.kind:
            case "whatsapp" if node == account.waba_id:
                return Reply({"id": account.waba_id, "name": account.name})
            case "whatsapp":
                return self._whatsapp.number(account)
            case "instagram":
                about = {"user_id": account.account_id, "username": account.username, "name": account.name}
                return Reply({"id": account.account_id, **about})
            case _:
                return Reply({"id": account.account_id, "name": account.name})

    async def _subscriptions(self, account: Account, call: Call) -> Reply:
        match call.method:
            case "POST":
                return await self._subscribe(account, call)
            case "DELETE":
                account.subscribed = False
                return Reply({"success": True})
            case "GET":
                apps: list[JsonValue] = [{"id": account.app_id, "name": "Inbox", "link": "https://inbox.example"}]
                return Reply({"data": apps if account.subscribed else []})
        raise no_such_node(account.account_id, call.method)

    async def _subscribe(self, account: Account, call: Call) -> Reply:
        if account.kind != "whatsapp":
            refused = self._pages.subscription_refused(call.fields)
            if refused is not None:
                raise refused
        callback, verify_token = (as_text(call.fields.get(key)) for key in ("override_callback_uri", "verify_token"))
        if account.kind == "whatsapp" and callback is not None:
            trouble = await self._simulation.handshake(callback, verify_token or "")
            if trouble is not None:
                raise GraphError(2200, f"(#2200) Callback verification failed: {trouble}")
            account.webhook_url, account.verify_token = callback, verify_token
        account.subscribed = True
        return Reply({"success": True})

    # --- Files --------------------------------------------------------------------------------------------------------

    async def download(self, request: Request) -> Response:
        """WhatsApp media: the same bearer token again, five minutes (facts, 1.3)."""
        media = self._world.media.get(request.path_params["media_id"])
        _, _, token = request.headers.get("authorization", "").partition(" ")
        if not any(media and account.account_id == media.account_id for account in self._world.owned_by(token)):
            return Response(wire.plain_json(bad_token().body()), 401, media_type="application/json")
        assert media is not None
        expires: int = request.path_params["expires"]
        if media.ticket != request.path_params["ticket"] or self._world.now() > expires:
            return Response(b"", 404)
        return Response(media.data, media_type=media.mime_type)

    async def cdn(self, request: Request) -> Response:
        """Attachment links of Messenger and Instagram: no token."""
        media = self._world.media.get(request.path_params["media_id"])
        if media is None or media.ticket != request.path_params["ticket"]:
            return Response(b"URL signature mismatch", 403)
        return Response(media.data, media_type=media.mime_type)

    async def avatar(self, request: Request) -> Response:
        return Response(samples.sample("image"), media_type="image/png")


def _nodes(account: Account) -> tuple[str, ...]:
    """Ids that name the account. On the Page stack Instagram is spoken to through its Page (facts, 3.1)."""
    if account.kind == "whatsapp":
        return account.account_id, account.waba_id
    if account.kind == "instagram" and account.stack == "page":
        return (account.page_id or account.account_id,)
    return (account.account_id,)
