"""Shapes that Messenger's and Instagram's webhooks share: one item of ``entry[].messaging`` (facts, 2.2, 3.2)."""

from __future__ import annotations

from channels.simulator.posts import Part
from channels.simulator.schemas import SayWish
from channels.simulator.simulation import SayError, Simulation
from channels.simulator.wire import as_object
from channels.simulator.world import Account, Customer, Message
from channels.types import JsonObject

_REACTION_NAMES = {
    "❤": "love", "❤️": "love", "😆": "laugh", "😂": "laugh", "😮": "wow", "😢": "sad", "😠": "angry", "👍": "like",
    "👎": "dislike",
}  # fmt: skip


def moment(account: Account, at: float) -> int | str:
    return number(account, int(at * 1000))


def number(account: Account, value: int) -> int | str:
    return str(value) if account.meta.string_numbers and account.kind == "instagram" else value


def from_customer(account: Account, customer: Customer, at: float, content: JsonObject) -> JsonObject:
    return {
        "sender": {"id": customer.id},
        "recipient": {"id": account.account_id},
        "timestamp": moment(account, at),
        **content,
    }


def from_business(account: Account, customer: Customer, at: float, content: JsonObject) -> JsonObject:
    """Echoes are swapped."""
    return {
        "sender": {"id": account.account_id},
        "recipient": {"id": customer.id},
        "timestamp": moment(account, at),
        **content,
    }


def part_of(*, standby: bool) -> Part:
    return "standby" if standby else "messaging"


def optin_of(content: JsonObject) -> JsonObject:
    return as_object(content.get("optin"))


def attachment_url(simulation: Simulation, account: Account, wish: SayWish) -> str:
    if wish.url is not None and wish.data is None:
        return wish.url
    return simulation.link(simulation.media_of(account, wish))


def reaction(wish: SayWish, target: Message | None) -> JsonObject:
    if wish.message_id is None:
        raise SayError("a reaction needs message_id")
    if wish.kind == "unreact":
        if target is not None:
            target.reactions.pop("customer", None)
        return {"reaction": {"mid": wish.message_id, "action": "unreact"}}
    if target is not None:
        target.reactions["customer"] = wish.emoji
    about: JsonObject = {
        "mid": wish.message_id,
        "action": "react",
        "reaction": _REACTION_NAMES.get(wish.emoji, "other"),
        "emoji": wish.emoji,
    }
    return {"reaction": about}


def edit(account: Account, wish: SayWish, target: Message | None) -> JsonObject:
    if target is None or not target.incoming:
        raise SayError("edit needs the message_id of a message of this customer")
    if target.edits >= 5:
        raise SayError("a message can be edited five times")
    target.text, target.edits = wish.text or "", target.edits + 1
    return {"message_edit": {"mid": target.id, "text": target.text, "num_edit": number(account, target.edits)}}


def has_quick_replies(target: Message | None) -> bool:
    return target is None or "quick_replies" in target.content
