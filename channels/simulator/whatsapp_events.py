"""Webhooks about a WhatsApp Business Account itself (facts, 1.2). Each changes the state that it speaks of."""

from __future__ import annotations

from channels.simulator import wire
from channels.simulator.provider_wishes import (
    AccountAlert,
    AccountReview,
    AccountUpdate,
    BusinessUsername,
    Capability,
    GroupChange,
    NumberName,
    NumberQuality,
    ProviderEvent,
    Security,
)
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.template_changes import TemplateEvent, change_template
from channels.simulator.whatsapp_people import ids, value_of
from channels.simulator.wire import as_object
from channels.simulator.world import Account, Customer
from channels.types import JsonObject, JsonValue


def tell(simulation: Simulation, account: Account, wish: ProviderEvent) -> None:
    if isinstance(wish, TemplateEvent):
        field, value = change_template(account, wish)
    elif isinstance(wish, GroupChange):
        field, value = _change_group(simulation, account, wish)
    else:
        field, value = _about_account(account, wish)
    simulation.announce(account, field, {"field": field, "value": value}, part="changes")


# --- Number and account -----------------------------------------------------------------------------------------------


def _about_account(account: Account, wish: ProviderEvent) -> tuple[str, JsonObject]:
    number: JsonObject = {"display_phone_number": account.display_phone_number}
    meta = account.meta
    match wish:
        case NumberQuality():
            before, meta.messaging_limit = meta.messaging_limit, wish.limit or meta.messaging_limit
            meta.quality_rating = wish.rating or meta.quality_rating
            if wish.update == "THROUGHPUT_UPGRADE":
                meta.throughput = "HIGH"
            limits: JsonObject = {"current_limit": meta.messaging_limit}
            if wish.limit is not None:
                limits["old_limit"] = before
            return "phone_number_quality_update", {**number, "event": wish.update, **limits}
        case NumberName():
            meta.name_status = "APPROVED" if wish.decision == "APPROVED" else "DECLINED"
            if wish.decision == "APPROVED":
                account.name = wish.name
            asked: JsonObject = {"requested_verified_name": wish.name, "rejection_reason": wish.reason}
            return "phone_number_name_update", {**number, "decision": wish.decision, **asked}
        case AccountUpdate():
            ban = as_object(wish.details.get("ban_info")).get("waba_ban_state")
            if ban is not None:
                meta.restricted = ban != "REINSTATE"
            return "account_update", {"event": wish.update, **wish.details}
        case AccountAlert():
            about: JsonObject = {
                "alert_severity": wish.severity, "alert_status": wish.status, "alert_type": wish.alert,
                "alert_description": wish.description,
            }  # fmt: skip
            return "account_alerts", {"entity_type": "WABA", "entity_id": account.waba_id, "alert_info": about}
        case AccountReview():
            meta.review_status = wish.decision
            return "account_review_update", {"decision": wish.decision}
        case Capability():
            return "business_capability_update", {
                "max_daily_conversation_per_phone": wish.daily_limit,
                "max_phone_numbers_per_business": wish.numbers,
            }
        case Security():
            return "security", {**number, "event": wish.update}
        case BusinessUsername():
            account.username = wish.username if wish.status == "approved" else account.username
            return "business_username_updates", {**number, "username": wish.username, "status": wish.status}
        case _:
            raise SayError(f"WhatsApp has no {wish.event}")


# --- Groups -----------------------------------------------------------------------------------------------------------


def _change_group(simulation: Simulation, account: Account, wish: GroupChange) -> tuple[str, JsonObject]:
    group = account.customers.get(wish.group_id)
    if group is None:
        group = simulation.world.add_customer(account, Customer(wish.group_id, wish.title, is_group=True))
    people = [simulation.meet(account, reference) for reference in wish.people]
    about: JsonObject = {
        "timestamp": int(simulation.world.now()), "group_id": wish.group_id, "request_id": wire.digits_id(12),
    }  # fmt: skip
    shown: list[JsonValue] = [ids(person, phone="wa_id", user="user_id") for person in people]
    match wish.change:
        case "create" | "delete":
            field = "group_lifecycle_update"
            group.reachable = wish.change == "create"
            about |= {"type": f"group_{wish.change}", "subject": wish.title}
        case "join":
            field = "group_participants_update"
            group.members |= {person.id: None for person in people}
            about |= {"type": "group_participants_add", "added_participants": shown}
        case "leave":
            field = "group_participants_update"
            for person in people:
                group.members.pop(person.id, None)
            about |= {"type": "group_participants_remove", "removed_participants": shown}
        case "rename":
            field = "group_settings_update"
            group.name = wish.title
            subject: JsonObject = {"text": wish.title, "update_successful": True}
            about |= {"type": "group_settings_update", "group_subject": subject}
    value = value_of(account, None)
    value["groups"] = [about]
    return field, value
