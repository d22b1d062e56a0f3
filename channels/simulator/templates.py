"""The WhatsApp templates that an account has unless its registration lists others, in the shape of Meta's listing."""

from __future__ import annotations

from channels.types import JsonObject, JsonValue


def _template(
    number: int, name: str, language: str, category: str, components: list[JsonValue], status: str = "APPROVED",
    parameter_format: str = "POSITIONAL",
) -> JsonObject:  # fmt: skip
    return {
        "id": str(700_000_000_000_000 + number),
        "name": name,
        "language": language,
        "category": category,
        "status": status,
        "parameter_format": parameter_format,
        "components": components,
    }


def default_templates() -> list[JsonObject]:
    return [
        _template(1, "hello_world", "en_US", "UTILITY", [
            {"type": "HEADER", "format": "TEXT", "text": "Hello World"},
            {"type": "BODY", "text": "Welcome and congratulations!! This message shows that you can send templates."},
            {"type": "FOOTER", "text": "WhatsApp Business Platform sample message"},
        ]),
        _template(2, "order_update", "en_US", "UTILITY", [
            {"type": "BODY", "text": "Hi {{1}}, your order {{2}} is on its way.",
             "example": {"body_text": [["Ann", "A-42"]]}},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Thanks"},
                {"type": "URL", "text": "Track", "url": "https://shop.example/track/{{1}}",
                 "example": ["https://shop.example/track/A-42"]},
            ]},
        ]),
        _template(3, "order_update", "de", "UTILITY", [
            {"type": "BODY", "text": "Hallo {{1}}, deine Bestellung {{2}} ist unterwegs.",
             "example": {"body_text": [["Anna", "A-42"]]}},
        ]),
        _template(4, "appointment_reminder", "en_US", "UTILITY", [
            {"type": "BODY", "text": "{{first_name}}, we look forward to seeing you on {{day}}.",
             "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Ann"},
                                                    {"param_name": "day", "example": "Monday"}]}},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Confirm"},
                                            {"type": "QUICK_REPLY", "text": "Reschedule"}]},
        ], parameter_format="NAMED"),
        _template(5, "summer_offer", "en_US", "MARKETING", [
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://cdn.example/a.png"]}},
            {"type": "BODY", "text": "Summer is here, {{1}}!", "example": {"body_text": [["Ann"]]}},
        ]),
        _template(6, "one_time_code", "en_US", "AUTHENTICATION", [
            {"type": "BODY", "text": "{{1}} is your verification code.", "example": {"body_text": [["123456"]]}},
        ]),
        _template(9, "invoice_ready", "en_US", "UTILITY", [
            {"type": "HEADER", "format": "DOCUMENT", "example": {"header_handle": ["https://cdn.example/a.pdf"]}},
            {"type": "BODY", "text": "Your invoice over {{1}} is attached.", "example": {"body_text": [["€ 12.50"]]}},
        ]),
        _template(10, "pickup_point", "en_US", "MARKETING", [
            {"type": "HEADER", "format": "LOCATION"},
            {"type": "BODY", "text": "Come by until {{1}} and use your code.", "example": {"body_text": [["Friday"]]}},
            {"type": "BUTTONS", "buttons": [
                {"type": "QUICK_REPLY", "text": "Stop promotions"},
                {"type": "PHONE_NUMBER", "text": "Call us", "phone_number": "+15550000001"},
                {"type": "COPY_CODE", "example": "SUMMER20"},
            ]},
        ]),
        _template(11, "welcome_back", "en_US", "MARKETING", [
            {"type": "HEADER", "format": "TEXT", "text": "Hi {{first_name}}",
             "example": {"header_text_named_params": [{"param_name": "first_name", "example": "Ann"}]}},
            {"type": "BODY", "text": "Nice to see you, {{first_name}}. Your points: {{points}}.",
             "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Ann"},
                                                    {"param_name": "points", "example": "42"}]}},
        ], parameter_format="NAMED"),
        _template(12, "disabled_offer", "en_US", "MARKETING", [{"type": "BODY", "text": "Disabled."}], "DISABLED"),
        _template(7, "paused_offer", "en_US", "MARKETING", [{"type": "BODY", "text": "Paused."}], "PAUSED"),
        _template(8, "pending_offer", "en_US", "MARKETING", [{"type": "BODY", "text": "Pending."}], "PENDING"),
    ]  # fmt: skip
