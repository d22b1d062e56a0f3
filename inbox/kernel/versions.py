"""Entity tags made of a row's version number (RFC 9110, section 8.8.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from inbox.kernel.errors import Invalid
from inbox.kernel.web import Header

IfMatch = Annotated[
    str | None, Header(max_length=64, description="The ETag that you read; refused with 412 when it is not current.")
]


def etag(version: int) -> Mapping[str, str]:
    return {"ETag": f'"{version}"'}


def parse_if_match(value: str | None) -> int | None:
    """The version, or ``None`` where any will do. Raises ``Invalid``."""
    if value is None or value.strip() == "*":
        return None
    digits = value.strip().removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        raise Invalid.at("/header/If-Match", "this is not an ETag that we gave out", "etag")
    return int(digits)
