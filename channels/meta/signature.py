"""`X-Hub-Signature-256`: HMAC-SHA256 of the exact body bytes under the app secret (channel facts, section 0).

Meta escapes non-ASCII before signing, so only the bytes as received can match; a parsed and dumped body never would.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

HEADER: Final = "x-hub-signature-256"
_PREFIX: Final = "sha256="
_LENGTH: Final = 71


def sign(body: bytes, secret: str) -> str:
    """The header value that Meta would send for ``body``; the simulator and tests sign with it."""
    return _PREFIX + hmac.digest(secret.encode(), body, "sha256").hex()


def verify(header: str | None, body: bytes, secrets: Iterable[str]) -> bool:
    """Whether one of ``secrets`` signed ``body``. An empty secret signs nothing: anyone could know it."""
    if header is None or len(header) != _LENGTH or not header.startswith(_PREFIX) or not header.isascii():
        return False
    return any(secret and hmac.compare_digest(sign(body, secret), header) for secret in secrets)
