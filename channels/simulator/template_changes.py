"""What becomes of a template after it was made, as Meta's webhooks tell it (facts, 1.2)."""

from __future__ import annotations

from channels.simulator.provider_wishes import (
    TemplateCategory,
    TemplateComponents,
    TemplateQuality,
    TemplateStatus,
)
from channels.simulator.simulation import SayError
from channels.simulator.template_sends import find_template
from channels.simulator.wire import as_list, as_object, as_text
from channels.simulator.world import Account
from channels.types import JsonObject

TemplateEvent = TemplateStatus | TemplateQuality | TemplateCategory | TemplateComponents
_SENDABLE_AGAIN = {"REINSTATED": "APPROVED", "FLAGGED": "APPROVED"}
"""Event → status of the template after it, where they are not the same word."""


def change_template(account: Account, wish: TemplateEvent) -> tuple[str, JsonObject]:
    template = find_template(account, wish.name, wish.language)
    if template is None:
        raise SayError(f"no template {wish.name} in {wish.language}")
    value: JsonObject = {
        "message_template_id": int(as_text(template.get("id")) or 0),
        "message_template_name": wish.name,
        "message_template_language": wish.language,
    }
    match wish:
        case TemplateStatus():
            template["status"] = _SENDABLE_AGAIN.get(wish.status, wish.status)
            if wish.status == "REJECTED":
                template["rejected_reason"] = wish.reason
            if wish.status == "DELETED":
                account.templates.remove(template)
            return "message_template_status_update", {"event": wish.status, **value, "reason": wish.reason}
        case TemplateQuality():
            before = as_object(template.get("quality_score")).get("score", "UNKNOWN")
            template["quality_score"] = {"score": wish.score}
            scores: JsonObject = {"previous_quality_score": before, "new_quality_score": wish.score}
            return "message_template_quality_update", {**scores, **value}
        case TemplateCategory():
            categories: JsonObject = {"previous_category": template.get("category"), "new_category": wish.category}
            template["previous_category"] = template.get("category")
            template["category"] = wish.category
            return "template_category_update", {**value, **categories}
        case TemplateComponents():
            template["components"] = [*wish.components]
            return "message_template_components_update", {**value, **_flattened(template)}


def _flattened(template: JsonObject) -> JsonObject:
    """Components as the webhook names them: title, element, footer, buttons."""
    shown: JsonObject = {}
    for part in map(as_object, as_list(template.get("components"))):
        match part.get("type"):
            case "HEADER" if "text" in part:
                shown["message_template_title"] = part["text"]
            case "BODY":
                shown["message_template_element"] = part.get("text")
            case "FOOTER":
                shown["message_template_footer"] = part.get("text")
            case "BUTTONS":
                shown["message_template_buttons"] = [
                    {f"message_template_button_{key}": value for key, value in as_object(button).items()}
                    for button in as_list(part.get("buttons"))
                ]
    return shown
