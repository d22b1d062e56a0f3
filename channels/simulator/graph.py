"""The Graph API of one port: graph.facebook.com and graph.instagram.com, any version, under ``/graph``.

A token is looked at first, then whether its accounts own the node; only then is the body judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from channels.simulator import graph_errors, graph_tokens, samples, wire
from channels.simulator.calls import Call, Reply, logged, mishap_after, mishap_before, read_call
from channels.simulator.graph_errors import GraphError, bad_token, no_such_node
from channels.simulator.graph_subscriptions import GraphSubscriptions
from channels.simulator.page_api import PageApi
from channels.simulator.page_checks import LOST_ANSWER
from channels.simulator.page_nodes import PageNodes
from channels.simulator.simulation import Simulation
from channels.simulator.whatsapp_api import WhatsAppApi
from channels.simulator.whatsapp_blocks import WhatsAppBlocks
from channels.simulator.whatsapp_media import WhatsAppMedia
from channels.simulator.whatsapp_nodes import WhatsAppNodes
from channels.simulator.wire import as_object
from channels.simulator.world import Account

_VERSION = re.compile(r"v\d+\.\d+")


class GraphApi:
    def __init__(self, simulation: Simulation, pages: PageApi) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._whatsapp = WhatsAppApi(simulation)
        self._media = WhatsAppMedia(simulation)
        self._whatsapp_nodes = WhatsAppNodes(simulation)
        self._blocks = WhatsAppBlocks(simulation)
        self._pages = pages
        self._page_nodes = PageNodes(simulation)
        self._subscriptions = GraphSubscriptions(simulation)

    async def endpoint(self, request: Request) -> Response:
        steps = [step for step in request.path_params["path"].split("/") if step]
        if steps and _VERSION.fullmatch(steps[0]):
            del steps[0]
        call = await read_call(request, "/" + "/".join(steps))
        account: Account | None = None
        try:
            node, edge = (steps[0] if steps else "", steps[1] if len(steps) > 1 else None)
            if node == "debug_token" and edge is None and call.method == "GET":
                reply = graph_tokens.debug(self._world, call)
            else:
                owned = graph_tokens.owned_by(self._world, call.token)
                accounts = self._accounts(owned, node, edge, call)
                account = self._meant(accounts, node, call)
                reply = await self._answer(account, accounts, node, edge, call)
        except GraphError as error:
            reply = Reply(error.body(), error.status, error.headers)
        logged(self._simulation, account, call, reply.status, reply.body)
        if reply.sent and account is not None:
            hung = await mishap_after(self._simulation, account, request)
            if hung is not None:
                return hung
        return reply.response()

    # --- Whose node ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _accounts(owned: Sequence[Account], node: str, edge: str | None, call: Call) -> list[Account]:
        """All accounts of the token that the node names; people, messages and files belong to any of them."""
        found = [account for account in owned if node == "me" or node in _nodes(account)]
        if not found and edge is None:
            found = list(owned)
        if not found:
            raise no_such_node(node, call.method)
        return found

    @staticmethod
    def _meant(candidates: Sequence[Account], node: str, call: Call) -> Account:
        """A Page and its Instagram account share the token: the recipient, the platform or the node tells which."""
        if len(candidates) == 1:
            return candidates[0]
        if call.fields.get("platform") == "instagram":
            return next((account for account in candidates if account.kind == "instagram"), candidates[0])
        recipient = as_object(call.fields.get("recipient"))
        person = str(recipient.get("id") or recipient.get("comment_id") or "") or node
        for account in candidates:
            if person in account.customers or person in account.messages or person in account.comments:
                return account
        return next((account for account in candidates if account.account_id == node), candidates[0])

    async def _answer(
        self, account: Account, accounts: Sequence[Account], node: str, edge: str | None, call: Call
    ) -> Reply:
        posts_message = edge == "messages" and call.method == "POST"
        sends = posts_message and "status" not in call.fields and "sender_action" not in call.fields
        mishap = await mishap_before(self._simulation, account, sends=sends, edge=edge or "node")
        if mishap is not None:
            name, fault = mishap
            if name == "down":
                raise graph_errors.down()
            if name == "throttle":
                raise graph_errors.throttled(account, fault)
            if sends and account.kind != "whatsapp" and (fault.code, fault.subcode) == LOST_ANSWER:
                await self._pages.messages(account, call)
            raise graph_errors.failed(account, fault)
        graph_tokens.check_permission(account, edge)
        if edge is None:
            return await self._node(account, accounts, node, call)
        if edge == "subscribed_apps":
            return await self._subscriptions.endpoint(accounts, node, call)
        if account.kind == "whatsapp":
            return await self._whatsapp_edge(account, accounts, node, edge, call)
        return await self._page_edge(account, node, edge, call)

    async def _whatsapp_edge(
        self, account: Account, accounts: Sequence[Account], node: str, edge: str, call: Call
    ) -> Reply:
        on_waba = node == account.waba_id
        match edge, call.method:
            case "messages", "POST" if not on_waba:
                return await self._whatsapp.messages(account, call)
            case "media", "POST" if not on_waba:
                return self._media.upload(account, call)
            case "block_users", _ if not on_waba:
                return self._blocks.endpoint(account, call)
            case "message_templates", "GET" if on_waba:
                return self._whatsapp_nodes.templates(account, call)
            case "phone_numbers", "GET" if on_waba:
                return self._whatsapp_nodes.numbers(accounts, call)
        raise no_such_node(node, call.method)

    async def _page_edge(self, account: Account, node: str, edge: str, call: Call) -> Reply:
        match edge, call.method:
            case "messages", "POST":
                return await self._pages.messages(account, call)
            case "message_attachments", "POST":
                return await self._pages.upload(account, call)
            case "moderate_conversations", "POST":
                return self._page_nodes.moderate(account, call)
            case "message_templates", "GET" if account.kind == "messenger":
                return self._page_nodes.templates(account, call)
        raise no_such_node(node, call.method)

    # --- Nodes --------------------------------------------------------------------------------------------------------

    async def _node(self, account: Account, accounts: Sequence[Account], node: str, call: Call) -> Reply:
        if account.kind == "whatsapp":
            return await self._whatsapp_node(account, accounts, node, call)
        if call.method != "GET":
            raise no_such_node(node, call.method)
        if node == "refresh_access_token":
            return graph_tokens.refresh(self._world, account, call)
        if node == "me" or node in _nodes(account) or node == account.account_id:
            return self._page_nodes.itself(account, node, call)
        if node in account.customers:
            return self._page_nodes.profile(account, account.customers[node], call)
        if node in account.messages:
            return self._page_nodes.message(account, account.messages[node], call)
        raise no_such_node(node, call.method)

    async def _whatsapp_node(self, account: Account, accounts: Sequence[Account], node: str, call: Call) -> Reply:
        media = self._world.media.get(node)
        if media is not None and call.method in ("GET", "DELETE"):
            owner = next((each for each in accounts if each.account_id == media.account_id), account)
            return self._media.node(owner, media, call)
        template = self._whatsapp_nodes.find_template(accounts, node)
        if template is not None:
            return self._whatsapp_nodes.template(template, node, call)
        if node == account.account_id and call.method == "POST":
            return await self._subscriptions.configure_number(account, call)
        if call.method == "GET" and node == account.waba_id:
            return self._whatsapp_nodes.waba(account, call)
        if call.method == "GET" and node in ("me", account.account_id):
            return self._whatsapp_nodes.number(account, call)
        raise no_such_node(node, call.method)  # people have no node (facts, 1.7)

    # --- Files --------------------------------------------------------------------------------------------------------

    async def download(self, request: Request) -> Response:
        """WhatsApp media: the same bearer token again, five minutes (facts, 1.3)."""
        media = self._world.media.get(request.path_params["media_id"])
        _, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            owned = graph_tokens.owned_by(self._world, token or None)
        except GraphError as error:
            return Response(wire.plain_json(error.body()), error.status, media_type="application/json")
        if media is None or all(account.account_id != media.account_id for account in owned):
            return Response(wire.plain_json(bad_token().body()), 401, media_type="application/json")
        failed = self._simulation.faults.strike("api", "fail", media.account_id, "download")
        if failed is not None:
            return Response(b"", failed.status or 500)
        expires: int = request.path_params["expires"]
        if media.ticket != request.path_params["ticket"] or self._world.now() > expires:
            return Response(b"", 404)
        return Response(media.data, media_type=media.mime_type)

    async def cdn(self, request: Request) -> Response:
        """Attachment links of Messenger and Instagram: no token."""
        media = self._world.media.get(request.path_params["media_id"])
        if media is None or media.ticket != request.path_params["ticket"]:
            return Response(b"URL signature mismatch", 403)
        failed = self._simulation.faults.strike("api", "fail", media.account_id, "download")
        if failed is not None:
            return Response(b"", failed.status or 500)
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
