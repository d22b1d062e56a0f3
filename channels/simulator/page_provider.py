"""Events around a Page or Instagram account's messages: comments, changes of hands, policy (facts, 2.2, 2.4, 3.1)."""

from __future__ import annotations

from channels.simulator import page_events, wire
from channels.simulator.messenger import PAGE_INBOX_APP
from channels.simulator.meta_state import Comment
from channels.simulator.provider_wishes import (
    Commented,
    PolicyEnforcement,
    ProviderEvent,
    ThreadControl,
)
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.template_changes import TemplateEvent, change_template
from channels.simulator.world import Account
from channels.types import JsonObject


def tell(simulation: Simulation, account: Account, wish: ProviderEvent) -> str | None:
    """Answers the id of what came to be."""
    match wish:
        case Commented():
            return _comment(simulation, account, wish)
        case ThreadControl():
            _change_hands(simulation, account, wish)
        case PolicyEnforcement():
            _enforce(simulation, account, wish)
        case _ if isinstance(wish, TemplateEvent) and account.kind == "messenger":
            field, value = change_template(account, wish)
            simulation.announce(account, field, {"field": field, "value": value}, part="changes")
        case _:
            raise SayError(f"{account.kind} has no {wish.event}")
    return None


def _comment(simulation: Simulation, account: Account, wish: Commented) -> str:
    customer = simulation.meet(account, wish.customer)
    now = simulation.world.now()
    comment_id = wish.comment_id or wire.digits_id(17)
    account.comments[comment_id] = Comment(comment_id, customer.id, wish.text, now)
    if account.kind == "messenger":
        item: JsonObject = {"field": "feed", "value": {
            "item": "comment", "verb": "add", "comment_id": comment_id, "post_id": wish.post_id,
            "from": {"id": customer.id, "name": customer.name}, "message": wish.text, "created_time": int(now),
        }}  # fmt: skip
    else:
        item = {"field": "comments", "value": {
            "id": comment_id, "text": wish.text, "media": {"id": wish.post_id, "media_product_type": "FEED"},
            "from": {"id": customer.id, "username": customer.username or customer.name},
        }}  # fmt: skip
    flat = account.kind == "instagram" and account.stack == "login"
    simulation.emit(account, customer, "comment", item, part="entry" if flat else "changes", topic=str(item["field"]))
    return comment_id


def _change_hands(simulation: Simulation, account: Account, wish: ThreadControl) -> None:
    customer = simulation.meet(account, wish.customer)
    wanted = wish.app_id or account.app_id
    before = customer.thread_owner or account.app_id
    if wish.action == "request":
        content: JsonObject = {"request_thread_control": {"requested_owner_app_id": wish.app_id or str(PAGE_INBOX_APP)}}
    else:
        customer.thread_owner = None if wanted == account.app_id else wanted
        hands: JsonObject = {"previous_owner_app_id": before, "new_owner_app_id": wanted, "metadata": ""}
        content = {f"{wish.action}_thread_control": hands}
    item = page_events.from_customer(account, customer, simulation.world.now(), content)
    topic = "messaging_handovers" if account.kind == "messenger" else "messaging_handover"
    simulation.emit(account, customer, "handover", item, part="messaging", topic=topic)


def _enforce(simulation: Simulation, account: Account, wish: PolicyEnforcement) -> None:
    """Names no sender: it is about the account. A block lasts until ``unblock``."""
    if wish.action != "warning":
        account.meta.restricted = wish.action == "block"
    about: JsonObject = {"action": wish.action}
    if wish.reason is not None:
        about["reason"] = wish.reason
    item: JsonObject = {
        "recipient": {"id": account.account_id},
        "timestamp": page_events.moment(account, simulation.world.now()),
        "policy_enforcement": about,
    }
    simulation.announce(account, "policy", item, part="messaging")
