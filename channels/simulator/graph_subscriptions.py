"""``subscribed_apps`` and the callbacks that override the app's own (facts, 1.1, 2.1, 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import GraphError, bad, no_such_node
from channels.simulator.meta_state import CallbackLevel
from channels.simulator.simulation import Simulation
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import Account
from channels.types import JsonObject, JsonValue

PAGE_TOPICS = frozenset({
    "messages", "messaging_postbacks", "messaging_optins", "messaging_optouts", "message_deliveries", "message_reads",
    "message_echoes", "message_reactions", "message_edits", "message_context", "message_mention",
    "messaging_referrals", "messaging_handovers", "messaging_policy_enforcement", "messaging_account_linking",
    "messaging_feedback", "messaging_customer_information", "messaging_in_thread_lead_form_submit",
    "messaging_checkout_updates", "messaging_payments", "messaging_pre_checkouts", "messaging_game_plays",
    "message_template_status_update", "standby", "feed", "mention", "name", "picture", "category", "conversations",
    "inbox_labels", "leadgen", "ratings", "response_feedback", "send_cart", "calls", "call_permission_reply",
    "group_feed", "live_videos", "videos", "permissions", "business_integrity",
})  # fmt: skip
INSTAGRAM_TOPICS = frozenset({
    "messages", "messaging_postbacks", "messaging_seen", "messaging_referral", "messaging_optins",
    "messaging_handover", "message_reactions", "message_edit", "message_echoes", "standby", "comments",
    "live_comments", "mentions", "response_feedback", "story_insights",
})  # fmt: skip
_ALSO_SAID = {"message_edits": "message_edit", "messaging_referrals": "messaging_referral"}
"""The Page's spelling of a field where Instagram has another; both are taken."""


class GraphSubscriptions:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def endpoint(self, accounts: Sequence[Account], node: str, call: Call) -> Reply:
        """``accounts`` are all that the node stands for: a WABA's numbers, a Page and its Instagram account."""
        if accounts[0].kind == "whatsapp" and node != accounts[0].waba_id:
            raise no_such_node(node, call.method)
        match call.method:
            case "POST" if accounts[0].kind == "whatsapp":
                return await self._subscribe_waba(accounts, call)
            case "POST":
                return self._subscribe_page(accounts, call)
            case "DELETE":
                for account in accounts:
                    account.subscribed = False
                    account.meta.callbacks.pop("whatsapp_business_account", None)
                return Reply({"success": True})
            case "GET":
                return Reply({"data": [_shown(accounts[0])] if accounts[0].subscribed else []})
        raise no_such_node(node, call.method)

    # --- WhatsApp -----------------------------------------------------------------------------------------------------

    async def _subscribe_waba(self, accounts: Sequence[Account], call: Call) -> Reply:
        callback, verify_token = (as_text(call.fields.get(key)) for key in ("override_callback_uri", "verify_token"))
        if callback is not None or verify_token is not None:
            await self._verify(callback, verify_token)
        for account in accounts:
            self._override(account, "whatsapp_business_account", callback)
            account.subscribed = True
        self._simulation.outbox.wake()
        return Reply({"success": True})

    async def configure_number(self, account: Account, call: Call) -> Reply:
        """``POST /{phone_number_id}`` with ``webhook_configuration``; an empty address takes the override away."""
        wanted = as_object(call.fields.get("webhook_configuration"))
        callback = as_text(wanted.get("override_callback_uri"))
        if callback is None:
            raise bad("The parameter webhook_configuration is required.")
        if callback:
            await self._verify(callback, as_text(wanted.get("verify_token")))
        self._override(account, "phone_number", callback or None)
        self._simulation.outbox.wake()
        return Reply({"success": True})

    @staticmethod
    def _override(account: Account, level: CallbackLevel, callback: str | None) -> None:
        if callback is None:
            account.meta.callbacks.pop(level, None)
        else:
            account.meta.callbacks[level] = callback

    async def _verify(self, callback: str | None, verify_token: str | None) -> None:
        if not callback or not verify_token:
            raise bad("override_callback_uri and verify_token must be given together.")
        trouble = await self._simulation.handshake(callback, verify_token)
        if trouble is not None:
            raise GraphError(2200, f"(#2200) Callback verification failed with the following errors: {trouble}")

    # --- Pages and Instagram accounts ---------------------------------------------------------------------------------

    def _subscribe_page(self, accounts: Sequence[Account], call: Call) -> Reply:
        given = call.fields.get("subscribed_fields")
        names = [str(each) for each in as_list(given)] or [
            name.strip() for name in (as_text(given) or "").split(",") if name.strip()
        ]
        if not names:
            raise bad("Param subscribed_fields must be non-empty")
        login = accounts[0].kind == "instagram" and accounts[0].stack == "login"
        if login:
            names = [_ALSO_SAID.get(name, name) for name in names]
        known = INSTAGRAM_TOPICS if login else PAGE_TOPICS
        for index, name in enumerate(names):
            if name not in known:
                allowed = ", ".join(sorted(known))
                raise bad(f'Param subscribed_fields[{index}] must be one of {{{allowed}}} - got "{name}".')
        for account in accounts:
            account.subscribed = True
            # On the Page stack Instagram's fields are chosen once for the app, not here (facts, 3.1).
            on_page = account.kind == "instagram" and account.stack == "page"
            account.meta.subscribed_fields = None if on_page else frozenset(names)
        return Reply({"success": True})


def _shown(account: Account) -> JsonObject:
    app: JsonObject = {"id": account.app_id, "name": "Inbox", "link": "https://inbox.example"}
    if account.kind == "whatsapp":
        callback = account.meta.callbacks.get("whatsapp_business_account")
        more: JsonObject = {"override_callback_uri": callback} if callback else {}
        return {"whatsapp_business_api_data": app, **more}
    chosen = account.meta.subscribed_fields
    if chosen is None:
        chosen = INSTAGRAM_TOPICS if account.kind == "instagram" and account.stack == "login" else PAGE_TOPICS
    fields: list[JsonValue] = [*sorted(chosen)]
    return {**app, "subscribed_fields": fields}
