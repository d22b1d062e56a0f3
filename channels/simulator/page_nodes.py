"""What the Graph API shows of a Page or Instagram account, its people and messages; moderation (facts, 2.6, 3.4)."""

from __future__ import annotations

from datetime import UTC, datetime

from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import GraphError, bad, no_such_node
from channels.simulator.graph_nodes import asked_fields, page_of, select
from channels.simulator.simulation import Simulation
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import DAY, Account, Customer, Message
from channels.types import JsonObject, JsonValue

_ACTIONS = frozenset({"block_user", "unblock_user", "ban_user", "unban_user", "move_to_spam"})
_MODERATED = 10
_LOCAL_FIELDS = {"locale": "pages_user_locale", "timezone": "pages_user_timezone", "gender": "pages_user_gender"}
"""Profile field → the permission of its own that it needs."""


class PageNodes:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world

    # --- Itself -------------------------------------------------------------------------------------------------------

    def itself(self, account: Account, node: str, call: Call) -> Reply:
        """On the Page stack a Page's token speaks of the Page, also where only its Instagram account is played."""
        picture = f"{self._simulation.base_url}/cdn/avatar/{account.account_id}.png"
        if account.kind == "instagram" and (account.stack == "login" or node == account.account_id):
            own = account.account_id if account.stack == "page" else f"1{account.account_id}"
            about: JsonObject = {
                "id": own,  # of Instagram Login: scoped to the app, and not what webhooks say
                "user_id": account.account_id,
                "username": account.username,
                "name": account.name,
                "account_type": "BUSINESS",
                "profile_picture_url": picture,
                "followers_count": 120,
                "follows_count": 10,
                "media_count": 3,
            }
            return Reply(select(about, call.fields, "IGUser", ("user_id", "username", "name")))
        page_id = account.account_id if account.kind == "messenger" else account.page_id
        linked: list[JsonObject] = [
            {"id": each.account_id, "username": each.username, "name": each.name}
            for each in self._world.owned_by(account.token)
            if each.kind == "instagram" and each.page_id == page_id
        ]
        about = {
            "id": page_id,
            "name": account.name,
            "username": account.username,
            "link": f"https://www.facebook.example/{page_id}",
            "category": "Shopping",
            "picture": {"data": {"url": picture, "is_silhouette": False}},
            "is_published": True,
            "fan_count": 120,
        }
        about["instagram_business_account"] = linked[0] if linked else None
        shown = select(about, call.fields, "Page", ("name",))
        return Reply({key: value for key, value in shown.items() if value is not None})

    def templates(self, account: Account, call: Call) -> Reply:
        """Utility templates of a Page (facts, 2.4)."""
        known: list[JsonValue] = [*(each for each in account.templates if each.get("category") == "UTILITY")]
        url = f"{self._simulation.base_url}/graph/v26.0/{account.account_id}/message_templates"
        return Reply(page_of(known, call.fields, url))

    # --- People -------------------------------------------------------------------------------------------------------

    def profile(self, account: Account, customer: Customer, call: Call) -> Reply:
        if account.kind == "messenger":
            return self._messenger_profile(account, customer, call)
        return self._instagram_profile(account, customer, call)

    def _messenger_profile(self, account: Account, customer: Customer, call: Call) -> Reply:
        if not account.meta.profile_access:
            return Reply({})
        if not customer.has_profile:
            raise bad("No profile available for this user.", subcode=2018218)
        for name in asked_fields(call.fields):
            if name in _LOCAL_FIELDS and _LOCAL_FIELDS[name] not in (account.meta.token.scopes or ()):
                raise GraphError(200, f"(#200) Requires {_LOCAL_FIELDS[name]} permission", status=403)
        about: JsonObject = {
            "id": customer.id,
            "name": customer.name,
            "first_name": customer.first_name,
            "last_name": customer.last_name or "",
            "profile_pic": self._picture(customer),
            "locale": customer.language,
            "timezone": 1,
            "gender": "female",
        }
        return Reply(select(about, call.fields, "User", ("first_name", "last_name", "profile_pic")))

    def _instagram_profile(self, account: Account, customer: Customer, call: Call) -> Reply:
        if customer.blocked:
            raise no_such_node(customer.id, call.method)
        if not account.meta.messaging_access:
            raise GraphError(200, "(#200) Messaging access is turned off by the owner", subcode=2534041, status=403)
        if customer.wrote_at is None:
            raise GraphError(230, "(#230) User consent is required to access user profile", status=403)
        about: JsonObject = {
            "id": customer.id,
            "name": customer.name if customer.has_profile else None,
            "profile_pic": self._picture(customer) if customer.has_profile else None,
            "username": customer.username or customer.name.lower().replace(" ", "."),
            "follower_count": 120,
            "is_verified_user": False,
            "is_user_follow_business": self._world.window_age(customer) < DAY,
            "is_business_follow_user": False,
        }
        return Reply(select(about, call.fields, "InstagramMessagingUser", ("name", "username", "profile_pic")))

    def _picture(self, customer: Customer) -> str:
        return f"{self._simulation.base_url}/cdn/avatar/{customer.id}.png"

    def moderate(self, account: Account, call: Call) -> Reply:
        """``moderate_conversations``: up to ten people, one or several actions."""
        actions = [str(each) for each in as_list(call.fields.get("actions"))]
        people = [
            str(as_object(each).get("id") or (each if isinstance(each, (str, int)) else ""))
            for each in as_list(call.fields.get("user_ids"))
        ]
        if not actions or not set(actions) <= _ACTIONS:
            raise bad(f"Param actions[0] must be one of {{{', '.join(sorted(_ACTIONS))}}}")
        if not 1 <= len(people) <= _MODERATED:
            raise bad(f"Param user_ids must have between 1 and {_MODERATED} elements.")
        if {"block_user", "unblock_user"} <= set(actions) or {"ban_user", "unban_user"} <= set(actions):
            raise bad("Param actions contradicts itself.")
        found = [account.customers.get(person) for person in people]
        if None in found:
            raise bad("No matching user found", subcode=2018001 if account.kind == "messenger" else 2534014)
        for customer in found:
            assert customer is not None
            if set(actions) & {"block_user", "ban_user"}:
                customer.shut_out = True
            elif set(actions) & {"unblock_user", "unban_user"}:
                customer.shut_out = False
        return Reply({"success": True})

    # --- Messages -----------------------------------------------------------------------------------------------------

    @staticmethod
    def message(account: Account, message: Message, call: Call) -> Reply:
        """``GET /{mid}``, by which an Instagram edit without a sender is resolved (facts, 3.2)."""
        if message.deleted:
            raise no_such_node(message.id, call.method)
        person = account.customers[message.customer_id]
        customer: JsonObject = {"id": person.id}
        business: JsonObject = {"id": account.account_id}
        if account.kind == "instagram":
            customer["username"], business["username"] = person.username or person.name, account.username
        else:
            customer["name"], business["name"] = person.name, account.name
        sender, receiver = (customer, business) if message.incoming else (business, customer)
        shown = as_object(message.content.get("message")) or message.content
        about: JsonObject = {
            "id": message.id,
            "created_time": datetime.fromtimestamp(message.at, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "from": sender,
            "to": {"data": [receiver]},
            "message": message.text or "",
            "attachments": {"data": as_list(shown.get("attachments"))},
            "is_unsupported": shown.get("is_unsupported") is True,
            "story": _story(shown),
            "reactions": {"data": [{"reaction": emoji} for emoji in message.reactions.values()]},
        }
        picked = select(about, call.fields, "Message", ("created_time",))
        return Reply({key: value for key, value in picked.items() if value is not None})


def _story(shown: JsonObject) -> JsonValue:
    """The story that the message replies to or mentions the business in."""
    replied = as_object(as_object(shown.get("reply_to")).get("story"))
    if replied:
        return {"reply_to": {"link": as_text(replied.get("url")), "id": as_text(replied.get("id"))}}
    for attachment in map(as_object, as_list(shown.get("attachments"))):
        if attachment.get("type") == "story_mention":
            return {"mention": {"link": as_text(as_object(attachment.get("payload")).get("url")), "id": "178"}}
    return None
