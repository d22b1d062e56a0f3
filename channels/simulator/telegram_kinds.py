"""One well-formed sample of each kind of update that no act of a customer in their chat brings about."""

from __future__ import annotations

from channels.simulator import wire
from channels.simulator.telegram_shapes import channel_object, chat_object, poll_object, user_object
from channels.simulator.world import Customer
from channels.types import JsonObject


def sample_update(kind: str, customer: Customer, room: Customer, at: float) -> JsonObject | None:
    """The content of the update; ``None`` for a kind that acts bring about, or that nobody knows."""
    user, chat, now = user_object(customer), chat_object(room), int(at)
    query: JsonObject = {"id": wire.digits_id(18), "from": user}
    member: JsonObject = {"user": user, "status": "member"}
    boost: JsonObject = {"boost_id": "b1", "source": {"source": "premium", "user": user}}
    bot: JsonObject = {"id": 7099, "is_bot": True, "first_name": "Managed", "username": "managed_bot"}
    post: JsonObject = {"message_id": 31, "date": now, "chat": channel_object(), "sender_chat": channel_object()}
    address: JsonObject = {
        "country_code": "DE", "state": "", "city": "Berlin", "street_line1": "Weg 1", "street_line2": "",
        "post_code": "10115",
    }  # fmt: skip
    total: JsonObject = {"currency": "EUR", "total_amount": 500, "invoice_payload": "order"}
    samples: dict[str, JsonObject] = {
        "channel_post": {**post, "text": "News"},
        "edited_channel_post": {**post, "text": "Newer", "edit_date": now},
        "guest_message": {
            "message_id": 7, "date": now, "chat": chat, "from": user, "text": "@bot hi",
            "guest_query_id": wire.digits_id(18),
        },
        "message_reaction_count": {
            "chat": channel_object(), "message_id": 31, "date": now,
            "reactions": [{"type": {"type": "emoji", "emoji": "👍"}, "total_count": 3}],
        },
        "inline_query": {**query, "query": "shoes", "offset": ""},
        "chosen_inline_result": {"result_id": "1", "from": user, "query": "shoes"},
        "shipping_query": {**query, "invoice_payload": "order", "shipping_address": address},
        "pre_checkout_query": {**query, **total},
        "purchased_paid_media": {"from": user, "paid_media_payload": "p1"},
        "poll": poll_object(wire.digits_id(18), "Which?", ["One", "Two"]),
        "poll_answer": {
            "poll_id": wire.digits_id(18), "user": user, "option_ids": [0], "option_persistent_ids": ["1"],
        },
        "chat_member": {
            "chat": chat, "from": user, "date": now, "old_chat_member": {**member, "status": "left"},
            "new_chat_member": member,
        },
        "chat_join_request": {"chat": chat, "from": user, "user_chat_id": user["id"], "date": now},
        "chat_boost": {"chat": chat, "boost": {**boost, "add_date": now, "expiration_date": now + 86400}},
        "removed_chat_boost": {"chat": chat, **boost, "remove_date": now},
        "managed_bot": {"user": user, "bot": bot},
        "subscription": {"user": user, "invoice_payload": "plan", "state": "active"},
        "stopped_message_generation": {"chat": chat, "draft_id": 1},
    }  # fmt: skip
    return samples.get(kind)
