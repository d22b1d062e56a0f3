"""Who a WhatsApp body speaks of: phone number, business-scoped user id (BSUID) and username of one person.

Since 2026 each may be missing, and a BSUID also turns up where a phone number was, so values are told apart by their
shape and never by the field they stand in. Every address that was seen together is kept together: that is what lets a
phone-only and a BSUID-only body reach the same contact. Channel facts, section 1.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from channels.inbound import PersonNamed
from channels.types import Address, JsonObject, JsonValue, Person
from channels.wire import SHORT, UNKNOWN_TIME, as_id, as_object, as_text, as_time, objects

PHONE: Final = "whatsapp_phone"
USER: Final = "whatsapp_user"
USERNAME: Final = "whatsapp_username"
GROUP: Final = "whatsapp_group"

_PHONE_LENGTHS: Final = range(4, 21)
_PUNCTUATION: Final = str.maketrans("", "", " -()+")


def address_of(value: JsonValue) -> Address | None:
    """A phone number by its digits; anything else that says something is an id of the user."""
    text = as_id(value, SHORT)
    if text is None:
        return None
    digits = _digits(text)
    return Address(PHONE, "", digits) if digits else Address(USER, "", text)


def _digits(text: str) -> str | None:
    """The digits of a phone number, ``None`` if ``text`` is none."""
    if text[0].isalpha():
        return None
    digits = text if text.isdigit() else text.translate(_PUNCTUATION)
    return digits if digits.isdigit() and digits.isascii() and len(digits) in _PHONE_LENGTHS else None


def username_of(value: JsonValue) -> str | None:
    """Usernames come with and without the leading ``@``."""
    name = as_text(value, SHORT)
    return name.removeprefix("@") or None if name else None


def person_of(
    names: Sequence[JsonValue], contact: JsonObject | None = None, *, parent: JsonValue = None
) -> Person | None:
    """The person that ``names`` (phone numbers and ids) and the matching ``contact`` speak of; ``None``: nobody.

    ``parent`` is the id across linked businesses. It is used only where nothing else names the person, since messages
    are not sent to it.
    """
    contact = contact or {}
    profile = as_object(contact.get("profile"))
    phones: dict[str, None] = {}
    users: dict[str, None] = {}
    for name in (*names, contact.get("wa_id"), contact.get("user_id")):
        text = as_id(name, SHORT) if name is not None else None
        if text is None or text in phones or text in users:
            continue
        digits = _digits(text)
        if digits:
            phones[digits] = None
        else:
            users[text] = None
    username = username_of(profile.get("username") or contact.get("username"))
    addresses = [Address(PHONE, "", value) for value in phones]
    addresses += [Address(USER, "", value) for value in users]
    if username:
        addresses.append(Address(USERNAME, "", username.lower()))
    if not addresses:
        address = address_of(parent) or address_of(contact.get("parent_user_id"))
        if address is None:
            return None
        addresses.append(address)
    return Person(
        tuple(addresses),
        name=as_text(profile.get("name"), SHORT),
        username=username,
        phone="+" + next(iter(phones)) if phones else None,
    )


def group_of(value: JsonValue) -> Person | None:
    name = as_id(value, SHORT)
    return Person((Address(GROUP, "", name),), is_group=True) if name else None


def named_groups(account_id: str, value: JsonObject, moment: datetime | None) -> Iterator[PersonNamed]:
    """Groups that a ``group_lifecycle_update`` or ``group_settings_update`` tells the subject of: messages never do."""
    for told in objects(value.get("groups")):
        kind, renamed = told.get("type"), as_object(told.get("group_subject"))
        name = as_text(told.get("subject") if kind == "group_create" else renamed.get("text"), SHORT)
        group = group_of(told.get("group_id"))
        if group is None or not name or renamed.get("update_successful") is False:
            continue
        yield PersonNamed(
            account_id, replace(group, name=name), as_time(told.get("timestamp")) or moment or UNKNOWN_TIME
        )


class Contacts:
    """The ``contacts`` of one value, found by any id of the person they describe."""

    def __init__(self, contacts: Sequence[JsonObject], *, sole_match: bool = False) -> None:
        """``sole_match``: there is one message, so the only contact describes its sender even with no id in common."""
        self._contacts = contacts
        self._sole = contacts[0] if sole_match and len(contacts) == 1 else None

    def find(self, *names: JsonValue) -> JsonObject | None:
        for contact in self._contacts:
            for name in names:
                if name is not None and (name == contact.get("wa_id") or name == contact.get("user_id")):
                    return contact
        sole = self._sole
        return sole if sole is not None and not _contradicts(names, sole) else None


def _contradicts(names: Sequence[JsonValue], contact: JsonObject) -> bool:
    """Whether both sides name the same kind of address differently: then they are two people."""
    ours = {address.kind for address in map(address_of, names) if address}
    theirs = {address.kind for address in map(address_of, (contact.get("wa_id"), contact.get("user_id"))) if address}
    return bool(ours & theirs)
