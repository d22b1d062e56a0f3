"""What the Graph API shows of a WhatsApp Business Account: its numbers, its templates, itself (facts, 1.4)."""

from __future__ import annotations

from collections.abc import Sequence

from channels.simulator.calls import Call, Reply
from channels.simulator.graph_errors import no_such_node
from channels.simulator.graph_nodes import page_of, select
from channels.simulator.simulation import Simulation
from channels.simulator.world import Account
from channels.types import JsonObject, JsonValue

_NUMBER_FIELDS = (
    "verified_name", "code_verification_status", "display_phone_number", "quality_rating", "platform_type",
    "throughput", "webhook_configuration",
)  # fmt: skip
_WABA_FIELDS = ("name", "timezone_id", "message_template_namespace")
_TEMPLATE_FIELDS = ("name", "parameter_format", "components", "language", "status", "category", "sub_category")
_TEMPLATE_FILTERS = ("name", "status", "language", "category")


class WhatsAppNodes:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    # --- Numbers and account ------------------------------------------------------------------------------------------

    @staticmethod
    def number(account: Account, call: Call) -> Reply:
        return Reply(select(_number(account), call.fields, "WhatsAppBusinessPhoneNumber", _NUMBER_FIELDS))

    def numbers(self, accounts: Sequence[Account], call: Call) -> Reply:
        shown: list[JsonValue] = [
            select(_number(account), call.fields, "WhatsAppBusinessPhoneNumber", _NUMBER_FIELDS) for account in accounts
        ]
        return Reply(page_of(shown, call.fields, self._url(accounts[0], "phone_numbers")))

    @staticmethod
    def waba(account: Account, call: Call) -> Reply:
        known: JsonObject = {
            "id": account.waba_id,
            "name": account.name,
            "timezone_id": "1",
            "message_template_namespace": f"ns_{account.waba_id}",
            "currency": "EUR",
            "account_review_status": account.meta.review_status,
            "business_verification_status": "verified",
            "ownership_type": "CLIENT_OWNED",
            "status": "DISABLED" if account.meta.restricted else "ACTIVE",
            "health_status": _health(account),
        }
        return Reply(select(known, call.fields, "WhatsAppBusinessAccount", _WABA_FIELDS))

    # --- Templates ----------------------------------------------------------------------------------------------------

    def templates(self, account: Account, call: Call) -> Reply:
        asked = {key: call.fields[key] for key in _TEMPLATE_FILTERS if key in call.fields}
        chosen: list[JsonValue] = [
            _template(template, call.fields)
            for template in account.templates
            if all(template.get(key) == value for key, value in asked.items())
        ]
        body = page_of(chosen, call.fields, self._url(account, "message_templates"))
        if "summary" in call.fields:
            count = len(account.templates)
            body["summary"] = {
                "total_count": len(chosen),
                "message_template_count": count,
                "message_template_limit": 250,
                "are_translations_complete": True,
            }
        return Reply(body)

    @staticmethod
    def find_template(accounts: Sequence[Account], node: str) -> JsonObject | None:
        for account in accounts:
            for template in account.templates:
                if template.get("id") == node:
                    return template
        return None

    @staticmethod
    def template(template: JsonObject, node: str, call: Call) -> Reply:
        if call.method != "GET":
            raise no_such_node(node, call.method)
        return Reply(_template(template, call.fields))

    def _url(self, account: Account, edge: str) -> str:
        return f"{self._simulation.base_url}/graph/v26.0/{account.waba_id}/{edge}"


def _template(template: JsonObject, fields: JsonObject) -> JsonObject:
    known: JsonObject = {
        "sub_category": None, "rejected_reason": "NONE", "previous_category": None,
        "quality_score": {"score": "UNKNOWN", "date": 1_749_416_383}, "cta_url_link_tracking_opted_out": False,
        "correct_category": None, "message_send_ttl_seconds": None, "display_format": None,
        "library_template_name": None, "degrees_of_freedom_spec": None, **template,
    }  # fmt: skip
    shown = select(known, fields, "WhatsAppMessageTemplate", _TEMPLATE_FIELDS)
    return {key: value for key, value in shown.items() if value is not None}  # the Graph API tells no nulls


def _number(account: Account) -> JsonObject:
    meta = account.meta
    callbacks: JsonObject = {}
    for level, url in meta.callbacks.items():
        callbacks[level] = url
    if account.webhook_url is not None:
        callbacks["application"] = account.webhook_url
    return {
        "id": account.account_id,
        "display_phone_number": account.display_phone_number,
        "verified_name": account.name,
        "quality_rating": meta.quality_rating,
        "quality_score": {"score": meta.quality_rating},
        "messaging_limit_tier": meta.messaging_limit,
        "throughput": {"level": meta.throughput},
        "code_verification_status": "VERIFIED",
        "platform_type": "CLOUD_API",
        "account_mode": "LIVE",
        "name_status": meta.name_status,
        "new_name_status": "NONE",
        "status": meta.number_status,
        "is_official_business_account": False,
        "is_pin_enabled": True,
        "username": account.username,
        "health_status": _health(account),
        "webhook_configuration": callbacks,
    }


def _health(account: Account) -> JsonObject:
    verdict = "BLOCKED" if account.meta.restricted or account.meta.number_status != "CONNECTED" else "AVAILABLE"
    return {"can_send_message": verdict, "entities": [
        {"entity_type": "PHONE_NUMBER", "id": account.account_id, "can_send_message": verdict},
        {"entity_type": "WABA", "id": account.waba_id, "can_send_message": verdict},
    ]}  # fmt: skip
