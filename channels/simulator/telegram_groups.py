"""The bot's own standing: blocked and unblocked by a person, added to and removed from a group, a group that moves."""

from __future__ import annotations

from channels.simulator.schemas import SayWish
from channels.simulator.simulation import SayError
from channels.simulator.telegram_shapes import bot_object, chat_object, standing_object, user_object
from channels.simulator.telegram_state import Standing
from channels.simulator.wire import digits_id
from channels.simulator.world import Account, Customer, World
from channels.types import JsonObject

REACHED = frozenset({"member", "administrator", "restricted"})


def membership(account: Account, room: Customer, actor: Customer, after: Standing, at: float) -> JsonObject:
    """``my_chat_member``: in a private chat ``kicked`` means blocked."""
    before = room.chat.standing
    if not room.is_group:
        before = "kicked" if after in REACHED else "member"
    elif before == after:
        before = "left" if after in REACHED else "member"
    room.chat.standing = after
    room.blocked = after not in REACHED
    return {
        "chat": chat_object(room),
        "from": user_object(actor),
        "date": int(at),
        "old_chat_member": standing_object(account, before),
        "new_chat_member": standing_object(account, after),
    }


def service_of(account: Account, after: Standing) -> JsonObject | None:
    """The line which a basic group shows as well."""
    if after in ("member", "administrator"):
        return {"new_chat_members": [bot_object(account)]}
    return {"left_chat_member": bot_object(account)} if after in ("left", "kicked") else None


def moved(world: World, account: Account, room: Customer, wish: SayWish) -> Customer:
    """The supergroup that a basic group becomes; the old chat takes no more messages."""
    if not room.is_group or room.id.startswith("-100"):
        raise SayError("only a basic group becomes a supergroup: name one in `group`")
    if room.chat.moved_to is not None:
        raise SayError(f"the group became {room.chat.moved_to} before")
    room.chat.moved_to = wish.telegram.moved_to or f"-100{digits_id(10)}"
    if room.chat.moved_to in account.customers:
        raise SayError(f"there is a chat {room.chat.moved_to}")
    return world.add_customer(account, Customer(room.chat.moved_to, room.name, is_group=True))
