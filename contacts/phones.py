"""Phone numbers in E.164, refused otherwise with the reason (row C4)."""

from __future__ import annotations

import phonenumbers


def normalise(value: str) -> str:
    """``+<country><number>``. Raises ``ValueError`` with a sentence for a person."""
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError("a phone number needs its country, for example +4915112345678") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("this is too short, too long or otherwise impossible as a phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
