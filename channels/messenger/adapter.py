"""Messenger: sends as a Page. The echo of a message brings back our correlation in ``metadata``.

Utility templates are sent with their components as given: no list of them can be asked for (channel facts, 2.3), so
this channel has templates without ``HasTemplates``.
"""

from __future__ import annotations

from channels.adapter import AccountFacts, Http
from channels.errors import FetchError
from channels.messenger.capabilities import CAPABILITIES
from channels.meta.graph import GraphApi
from channels.meta.messaging_adapter import MessagingAdapter
from channels.meta.messaging_connect import PAGE_EXTRAS, PAGE_FIELDS, Needs
from channels.meta.messaging_faults import MESSAGING
from channels.outbound import Envelope
from channels.types import Account, Fault, JsonObject
from channels.wire import SHORT, as_id, as_text


class MessengerAdapter(MessagingAdapter):
    kind = "messenger"
    name = "Messenger"
    capabilities = CAPABILITIES
    graph = GraphApi(MESSAGING)
    address_kind = "messenger_user"
    ref_kind = "messenger_ref"
    # Locale, time zone and gender need permissions of their own, and without them the whole call is refused.
    profile_fields = "first_name,last_name,name,profile_pic"

    def stamp(self, message: JsonObject, correlation: str) -> JsonObject:
        return {**message, "metadata": correlation}

    def messaging_type(self, envelope: Envelope, message: JsonObject) -> JsonObject:
        if "template" in message:
            return {"messaging_type": "UTILITY"}
        if envelope.purpose == "bulk":
            return {"messaging_type": "UPDATE"}
        return super().messaging_type(envelope, message)

    def needs(self, account: Account) -> Needs:
        return Needs(
            called="Page",
            path=f"{self.node(account)}/subscribed_apps",
            host=None,
            fields=PAGE_FIELDS,
            extras=PAGE_EXTRAS,
            watched=PAGE_FIELDS,
            webhook_object="Page",
            webhook_fields=(*PAGE_FIELDS, *PAGE_EXTRAS),
            permissions=("pages_messaging", "pages_manage_metadata"),
        )

    async def _owner(self, http: Http, account: Account) -> AccountFacts:
        found = await self._get(http, account, "me", "id,name")
        page_id = as_id(found.get("id"))
        if page_id is None:
            raise FetchError(Fault("not_found", "The token belongs to no Page."))
        return AccountFacts(page_id, as_text(found.get("name"), SHORT) or page_id)
