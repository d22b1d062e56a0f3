"""WhatsApp's errors as webhooks carry them, in statuses, in messages and beside them (facts, 1.6)."""

from __future__ import annotations

from channels.types import JsonObject

_TITLES = {
    130429: "Rate limit hit",
    130472: "User's number is part of an experiment",
    130497: "Business account is restricted from messaging users in this country.",
    131000: "Something went wrong",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131030: "Recipient phone number not in allowed list",
    131031: "Business account locked",
    131037: "Display name approval is required",
    131042: "Business eligibility payment issue",
    131045: "Message failed to send due to a phone number registration error",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131049: "This message was not delivered to maintain healthy ecosystem engagement.",
    131050: "User has stopped marketing messages",
    131051: "Message type is currently not supported.",
    131052: "Media download error",
    131053: "Media upload error",
    131056: "Pair rate limit hit",
    132015: "Template is Paused",
    137000: "Identity key mismatch",
}
_DETAILS = {
    131026: "Message Undeliverable.",
    131042: "Message failed to send because there were one or more errors related to your payment method.",
    131047: "More than 24 hours have passed since the customer last replied to this number.",
    131048: "Message failed to send because there are restrictions on how many messages can be sent from this number.",
    131050: "Message failed to send because the recipient has stopped marketing messages from this business.",
    131051: "Message type is not currently supported",
    131052: "Failed to download the media from the sender.",
    131053: "Downloading media from weblink failed.",
}


def error_object(code: int) -> JsonObject:
    title = _TITLES.get(code, "Message failed")
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": _DETAILS.get(code, title)},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }
