"""Webhook fields about the account, the number and its templates, as changes of state (channel facts, section 1.2).

They name the WhatsApp Business Account, never the number's id, so ``account_id`` is the WABA's; where Meta tells the
number at all it stands in ``data["display_phone_number"]``. What changes no state of ours stays a ``ChannelNotice``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from channels.inbound import AccountChanged, ChannelNotice, Inbound, TemplateChanged
from channels.types import JsonObject, JsonValue
from channels.whatsapp.definitions import STATUSES, quality_of, reason_of
from channels.wire import LONG, SHORT, UNKNOWN_TIME, as_id, as_integer, as_object, as_text, as_time, kept, objects

Health: TypeAlias = Literal["ok", "degraded", "paused"]
Trouble: TypeAlias = tuple[Literal["warning", "broken"], str, str]
"""State, reason and remedy of a finding."""

NUMBER_TROUBLES: Final[dict[str, Trouble]] = {
    "PENDING": ("broken", "The number is not registered yet.", "Register the number with WhatsApp."),
    "UNVERIFIED": ("broken", "The number is not verified yet.", "Verify the number in WhatsApp Manager."),
    "DISCONNECTED": ("broken", "The number is disconnected.", "Register the number with WhatsApp again."),
    "OFFLINE": ("broken", "The number is offline.", "Register the number with WhatsApp again."),
    "MIGRATED": ("broken", "The number was moved to another account.", "Connect it with that account's token."),
    "BANNED": ("broken", "WhatsApp has banned the number.", "Appeal at Meta, or use another number."),
    "DELETED": ("broken", "The number was deleted at Meta.", "Use another number."),
    "RESTRICTED": ("broken", "WhatsApp has restricted the number.", "See in WhatsApp Manager why, and until when."),
    "RATE_LIMITED": ("warning", "The number is being slowed down.", "Send less for a while."),
    "FLAGGED": ("warning", "The number's quality is low.", "Send fewer and more wanted messages."),
}
"""By the ``status`` of a number; others are fine."""
NAME_TROUBLES: Final[dict[str, Trouble]] = {
    "DECLINED": ("warning", "Meta declined the display name.", "Choose another display name in WhatsApp Manager."),
    "EXPIRED": ("warning", "The approval of the display name has run out.", "Register the number again."),
    "PENDING_REVIEW": ("warning", "Meta is reviewing the display name.", "Wait for Meta's decision."),
    "NONE": ("warning", "The number has no approved display name.", "Set a display name in WhatsApp Manager."),
}
LIMITS: Final = {
    "TIER_50": "50",
    "TIER_250": "250",
    "TIER_1K": "1,000",
    "TIER_2K": "2,000",
    "TIER_10K": "10,000",
    "TIER_100K": "100,000",
    "TIER_UNLIMITED": "any number of",
    "TIER_NOT_SET": "no",
}
"""How many people a day may be written to outside of their windows."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a field says of the account."""

    aspect: str
    health: Health | None
    reason: str


def of_field(account_id: str, waba_id: str | None, field: str, value: JsonObject, moment: datetime | None) -> Inbound:
    """The change that a field tells of, a notice where it tells none that we know."""
    data = as_object(kept(value))
    if waba_id is not None:
        data.setdefault("waba_id", waba_id)
    when = as_time(value.get("timestamp")) or moment or UNKNOWN_TIME
    if field in _TEMPLATES:
        changed = _template(waba_id or account_id, field, value, when)
        if changed is not None:
            return changed
    reader = _READERS.get(field)
    said = reader(value) if reader is not None else None
    if said is None:
        return ChannelNotice(account_id, field, data, when)
    return AccountChanged(waba_id or account_id, said.aspect, when, said.health, said.reason, data)


# --- Templates --------------------------------------------------------------------------------------------------------


def _template(account_id: str, field: str, value: JsonObject, when: datetime) -> TemplateChanged | None:
    name = as_id(value.get("message_template_name"))
    language = as_id(value.get("message_template_language"), SHORT)
    if name is None or language is None:
        return None
    changed = TemplateChanged(account_id, name, language, when, as_id(value.get("message_template_id")))
    return _TEMPLATES[field](changed, value)


def _template_status(of: TemplateChanged, value: JsonObject) -> TemplateChanged:
    event = (as_text(value.get("event"), SHORT) or "").upper()
    reasons = (
        reason_of(value.get("reason")),
        as_text(as_object(value.get("other_info")).get("description"), LONG),
        as_text(as_object(value.get("rejection_info")).get("reason"), LONG),
        as_text(as_object(value.get("rejection_info")).get("recommendation"), LONG),
    )
    reason = " ".join(dict.fromkeys(filter(None, reasons))) or None
    status = STATUSES.get(event)
    changed = False
    if status is None:
        match event:
            case "REINSTATED" | "UNPAUSED" | "UNLOCKED" | "UNARCHIVED":
                # What it was before is not told; the definition knows.
                changed = True
            case "FLAGGED":
                reason = reason or "Meta will disable the template soon because of low quality."
            case _:
                status = "other"
    return TemplateChanged(
        of.account_id, of.name, of.language, of.occurred_at, of.external_id,
        status=status, category=_category(value.get("message_template_category")), reason=reason, changed=changed,
    )  # fmt: skip


def _template_quality(of: TemplateChanged, value: JsonObject) -> TemplateChanged:
    quality = quality_of(value.get("new_quality_score"))
    return TemplateChanged(of.account_id, of.name, of.language, of.occurred_at, of.external_id, quality=quality)


def _template_category(of: TemplateChanged, value: JsonObject) -> TemplateChanged:
    """With ``correct_category`` it is only announced: ``new_category`` then still is what it was."""
    to_come = _category(value.get("correct_category"))
    return TemplateChanged(
        of.account_id, of.name, of.language, of.occurred_at, of.external_id,
        category=_category(value.get("new_category")),
        reason=f"Meta will change the category of the template to {to_come}." if to_come else None,
    )  # fmt: skip


def _template_components(of: TemplateChanged, value: JsonObject) -> TemplateChanged:
    return TemplateChanged(of.account_id, of.name, of.language, of.occurred_at, of.external_id, changed=True)


def _category(value: JsonValue) -> str | None:
    told = as_text(value, SHORT)
    return told.lower() if told else None


_TEMPLATES: Final[dict[str, Callable[[TemplateChanged, JsonObject], TemplateChanged]]] = {
    "message_template_status_update": _template_status,
    "message_template_quality_update": _template_quality,
    "template_category_update": _template_category,
    "message_template_components_update": _template_components,
}


# --- Number and account -----------------------------------------------------------------------------------------------


def _event(value: JsonObject) -> str:
    return (as_text(value.get("event"), SHORT) or "").upper()


def _quality(value: JsonObject) -> _Said | None:
    limit = as_text(value.get("current_limit"), SHORT)
    people = f" Now {LIMITS.get(limit, limit)} people a day may be written to." if limit else ""
    match _event(value):
        case "FLAGGED" | "RED":
            reason = "The quality of the number is low: too many people block or report its messages."
            return _Said("quality", "degraded", reason)
        case "UNFLAGGED" | "GREEN":
            return _Said("quality", "ok", "The quality of the number is good again.")
        case "DOWNGRADE":
            return _Said("limit", "degraded", f"Meta has lowered the messaging limit of the number.{people}")
        case "UPGRADE":
            return _Said("limit", "ok", f"Meta has raised the messaging limit of the number.{people}")
        case "ONBOARDING":
            return _Said("limit", None, f"Meta has taken up the number.{people}")
        case "THROUGHPUT_UPGRADE":
            return _Said("limit", None, "The number may now send up to 1,000 messages a second.")
        case "THROUGHPUT_DOWNGRADE":
            return _Said("limit", None, "The number may now send 80 messages a second.")
        case _:
            return None


def _name(value: JsonObject) -> _Said | None:
    wanted = as_text(value.get("requested_verified_name"), SHORT)
    name = f"the display name “{wanted}”" if wanted else "the display name"
    match (as_text(value.get("decision"), SHORT) or "").upper():
        case "APPROVED":
            return _Said("name", "ok", f"Meta has approved {name}.")
        case "REJECTED" | "DECLINED":
            why = reason_of(value.get("rejection_reason"))
            return _Said("name", "degraded", f"Meta has rejected {name}.{f' {why}' if why else ''}")
        case "PENDING" | "DEFERRED":
            return _Said("name", None, f"Meta is still reviewing {name}.")
        case _:
            return None


def _account(value: JsonObject) -> _Said | None:
    match _event(value):
        case "DISABLED_UPDATE":
            return _ban(as_object(value.get("ban_info")))
        case "ACCOUNT_RESTRICTION":
            return _restriction(objects(value.get("restriction_info")))
        case "ACCOUNT_VIOLATION":
            kind = reason_of(as_object(value.get("violation_info")).get("violation_type"))
            return _Said(
                "policy", "degraded", f"Meta says that the account broke a policy.{f' {kind}' if kind else ''}"
            )
        case "ACCOUNT_DELETED":
            return _Said("restriction", "paused", "The WhatsApp Business Account was deleted.")
        case "ACCOUNT_OFFBOARDED":
            return _Said("restriction", "paused", "The WhatsApp Business Account was disconnected from this app.")
        case "PARTNER_REMOVED" | "PARTNER_APP_UNINSTALLED":
            return _Said(
                "restriction", "degraded", "A partner or its app was removed from the account; see if it is us."
            )
        case "ACCOUNT_RECONNECTED":
            return _Said("restriction", "ok", "The WhatsApp Business Account was connected again.")
        case _:
            return None


def _ban(info: JsonObject) -> _Said | None:
    match (as_text(info.get("waba_ban_state"), SHORT) or "").upper():
        case "DISABLE":
            return _Said("restriction", "paused", "Meta has disabled the WhatsApp Business Account.")
        case "SCHEDULE_FOR_DISABLE":
            day = as_text(info.get("waba_ban_date"), SHORT)
            when = f" on {day}" if day else " soon"
            return _Said("restriction", "degraded", f"Meta will disable the WhatsApp Business Account{when}.")
        case "REINSTATE":
            return _Said("restriction", "ok", "Meta has reinstated the WhatsApp Business Account.")
        case _:
            return None


def _restriction(infos: list[JsonObject]) -> _Said:
    """Meta does not tell when a restriction is over. One that ends by itself must not stop us for good: what goes out
    too early is refused with a reason.
    """
    kinds = {(as_text(info.get("restriction_type"), SHORT) or "").upper() for info in infos}
    ends = (as_time(info.get("expiration")) for info in infos)
    end = max(filter(None, ends), default=None)
    until = f" until {end:%Y-%m-%d}" if end else ""
    if {"RESTRICTED_BIZ_INITIATED_MESSAGING", "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"} <= kinds:
        return _Said("restriction", "degraded" if end else "paused", f"Meta lets the account send nothing{until}.")
    if "RESTRICTED_BIZ_INITIATED_MESSAGING" in kinds:
        reason = f"Meta lets the account answer people, but not write to them first{until}."
    elif "RESTRICTED_CUSTOMER_INITIATED_MESSAGING" in kinds:
        reason = f"Meta does not let the account answer people who write first{until}."
    elif kinds == {"RESTRICTED_ADD_PHONE_NUMBER_ACTION"}:
        return _Said("restriction", None, f"Meta does not let the account add numbers{until}.")
    else:
        reason = f"Meta has restricted the account{until}; see in WhatsApp Manager what it may not do."
    return _Said("restriction", "degraded", reason)


def _alert(value: JsonObject) -> _Said:
    info = as_object(value.get("alert_info")) or value
    critical = (as_text(info.get("alert_severity"), SHORT) or "").upper() == "CRITICAL"
    kind = reason_of(info.get("alert_type"))
    reason = as_text(info.get("alert_description"), LONG) or kind or "Meta has something to say about the account."
    return _Said("policy", "degraded" if critical else None, reason)


def _review(value: JsonObject) -> _Said | None:
    match (as_text(value.get("decision"), SHORT) or "").upper():
        case "APPROVED":
            return _Said("review", "ok", "Meta has approved the WhatsApp Business Account.")
        case "REJECTED":
            return _Said("review", "degraded", "Meta has rejected the WhatsApp Business Account; appeal there.")
        case "PENDING" | "DEFERRED":
            return _Said("review", None, "Meta is still reviewing the WhatsApp Business Account.")
        case _:
            return None


def _capability(value: JsonObject) -> _Said:
    for key in ("max_daily_conversations_per_business", "max_daily_conversation_per_phone"):
        told = as_text(value.get(key), SHORT)
        if told is None:
            continue
        number = as_integer(told)
        people = LIMITS.get(told, told) if number is None else "any number of" if number < 0 else f"{number:,}"
        return _Said("limit", None, f"Outside of their windows {people} people a day may be written to.")
    return _Said("limit", None, "Meta has changed what the business may do.")


def _security(value: JsonObject) -> _Said | None:
    match _event(value):
        case "PIN_CHANGED":
            return _Said("security", None, "The two-step verification code of the number was changed.")
        case "PIN_RESET_REQUEST":
            return _Said("security", None, "Somebody asked to reset the two-step verification code of the number.")
        case "PIN_RESET_SUCCESS":
            return _Said("security", None, "The two-step verification of the number was switched off.")
        case _:
            return None


_READERS: Final[dict[str, Callable[[JsonObject], _Said | None]]] = {
    "phone_number_quality_update": _quality,
    "phone_number_name_update": _name,
    "account_update": _account,
    "account_alerts": _alert,
    "account_review_update": _review,
    "business_capability_update": _capability,
    "security": _security,
}

FIELDS: Final = frozenset((
    *_TEMPLATES,
    *_READERS,
    "account_settings_update",
    "business_status_update",
    "business_username_updates",
    "group_lifecycle_update",
    "group_participants_update",
    "group_settings_update",
    "group_status_update",
    "partner_solutions",
    "template_correct_category_detection",
))  # fmt: skip
"""Fields that tell about the account itself, not about a conversation."""
