"""Links that open one file, to whoever has them, for a short time. Nothing is stored: the link proves itself.

Invariant: a link that was not made here, or was changed in any part, or is past its time, opens nothing. The keys are
derived from those of the installation, so every node makes and accepts the same links, and rotating keys ends them.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from inbox.kernel.clock import Clock
from inbox.kernel.secrets import equal

PURPOSE: Final = "media links"


@dataclass(frozen=True, slots=True)
class Link:
    path: str
    expires_at: datetime


class Links:
    """``keys``: the first one signs, all of them are accepted."""

    def __init__(self, keys: Sequence[bytes], clock: Clock, *, seconds: int) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._life = timedelta(seconds=seconds)

    def make(self, workspace_id: UUID, media_id: UUID) -> Link:
        """A path that opens this file to whoever has it, until the link expires."""
        expires = int((self._clock.now() + self._life).timestamp())
        signature = _sign(self._keys[0], workspace_id, media_id, expires)
        path = f"/media/{workspace_id}/{media_id}?expires={expires}&signature={signature}"
        return Link(path, datetime.fromtimestamp(expires, UTC))

    def opens(self, workspace_id: UUID, media_id: UUID, expires: str | None, signature: str | None) -> int | None:
        """How many seconds the link still lives, or ``None`` where it opens nothing."""
        if not expires or not signature or not expires.isascii() or not expires.isdecimal() or len(expires) > 12:
            return None
        until = int(expires)
        if not any(equal(_sign(key, workspace_id, media_id, until), signature) for key in self._keys):
            return None
        left = until - int(self._clock.now().timestamp())
        return left if left > 0 else None


def _sign(key: bytes, workspace_id: UUID, media_id: UUID, expires: int) -> str:
    signed = workspace_id.bytes + media_id.bytes + expires.to_bytes(8, "big")
    return urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=").decode()
