"""Changes of who somebody is: a new phone number, a new business-scoped id (channel facts, section 1.2).

``old`` holds what no longer names the person, ``new`` what does from now on. Both shapes seen in 2026 are read:
``previous_…`` beside the new value, and ``{previous, current}`` within it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from channels.inbound import IdentityChanged, Inbound
from channels.types import Address, JsonObject, JsonValue, Person
from channels.whatsapp.people import PHONE, USER, address_of, person_of
from channels.whatsapp.scope import Scope
from channels.wire import as_object

_NUMBER_CHANGES: Final = frozenset(("user_changed_number", "customer_changed_number"))
_ID_CHANGES: Final = frozenset(("user_changed_user_id",))


def system_person(message: JsonObject) -> Person | None:
    """The person of a system message whose envelope names nobody."""
    content = as_object(message.get("system"))
    return person_of(_values(content, "wa_id", "user_id"))


def of_system_message(scope: Scope, message: JsonObject, peer: Person) -> IdentityChanged | None:
    """The change that a ``system`` message tells of; ``None`` where it tells of something else or names nothing new."""
    content = as_object(message.get("system"))
    kind = content.get("type")
    new = _addresses(_values(content, "wa_id", "new_wa_id", "user_id"))
    if kind in _NUMBER_CHANGES:
        old = tuple(address for address in peer.addresses if address not in new)
    elif kind in _ID_CHANGES:
        new, old = _of_new_id(content, peer.addresses, new)
    else:
        return None
    if not old or not new:
        return None
    number = (
        next((address.value for address in new if address.kind == PHONE), None) if kind in _NUMBER_CHANGES else None
    )
    return IdentityChanged(scope.account_id, old, new, scope.time_of(message), f"+{number}" if number else None)


def now_known_as(peer: Person, change: IdentityChanged) -> Person:
    """``peer`` as the change leaves them: the notice of it must not bring the old number back."""
    if change.phone is None:
        return peer
    return replace(peer, addresses=tuple(dict.fromkeys((*change.new, *peer.addresses))), phone=change.phone)


def update(scope: Scope, item: JsonObject) -> list[Inbound]:
    """One element of ``user_id_update``."""
    person = person_of((item.get("wa_id"),), scope.contacts.find(item.get("wa_id"), *_values(item, "user_id")))
    new, old = _of_new_id(item, person.addresses if person else (), _addresses(_values(item, "user_id")))
    if not old or not new:
        return [scope.unsupported("user_id_update", item)]
    return [IdentityChanged(scope.account_id, old, new, scope.time_of(item))]


def _of_new_id(
    content: JsonObject, known: tuple[Address, ...], new: tuple[Address, ...]
) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """(new, old): the number and the name stay, only ids are replaced."""
    previous = as_object(content.get("user_id")).get("previous")
    old = _addresses((content.get("previous_user_id"), previous))
    if not old:
        old = tuple(address for address in known if address.kind == USER)
    stays = tuple(address for address in known if address.kind != USER)
    new = tuple(dict.fromkeys((*new, *stays)))
    return new, tuple(address for address in old if address not in new)


def _values(content: JsonObject, *keys: str) -> list[JsonValue]:
    """The present values of ``keys``."""
    found = (content.get(key) for key in keys)
    return [value.get("current") if isinstance(value, dict) else value for value in found]


def _addresses(values: Iterable[JsonValue]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(address for address in map(address_of, values) if address))
