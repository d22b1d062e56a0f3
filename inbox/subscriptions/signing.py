"""Standard Webhooks (specification 1.0): ids, secrets and symmetric signatures, without any I/O.

What is signed is ``{id}.{timestamp}.{body}`` with HMAC-SHA256. While secrets are rotated a message carries one
signature for each of them, so that a receiver may know either.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final
from uuid import UUID

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> str:
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    return b64decode(secret.removeprefix(PREFIX))


def message_id(subscription_id: UUID, epoch: UUID, position: int) -> str:
    """The same for every try of one event, and never again for another: positions begin anew with an epoch."""
    return f"msg_{subscription_id.hex}_{epoch.hex[:8]}_{position}"


def headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """``timestamp`` in Unix seconds is the moment of this try, so that a receiver can refuse what is old."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    signatures = (b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
