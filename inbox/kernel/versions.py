"""Entity tags made of a row's version number, and changes that demand one (RFC 9110, sections 8.8.3 and 13.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from inbox.kernel.errors import PreconditionFailed
from inbox.kernel.web import Header

ETAG: Final = {"ETag": 'The version of what is answered, such as "3"; send it back as If-Match.'}
"""For ``headers`` of an operation."""

IfMatch = Annotated[
    str | None,
    Header(
        pattern=r'^(\*|"[0-9]{1,18}")$',
        description="The ETag that you read: refused with 412 when it is not current. `*`: any will do.",
    ),
]


class VersionChanged(PreconditionFailed):
    """``version`` is the current one."""

    code = "version_changed"


def etag(version: int) -> Mapping[str, str]:
    return {"ETag": f'"{version}"'}


def wanted_version(if_match: str | None) -> int | None:
    """The version that has to be current, or ``None`` where any will do."""
    return None if if_match is None or if_match == "*" else int(if_match.strip('"'))
