"""The webhook endpoint: ``x-pigeon-signature`` is base64 of the HMAC-SHA256 of the exact bytes. No handshake."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from channels.adapter import WebhookSecrets
from channels.inbound import Inbound
from example_channel.parse import parse

HEADER: Final = "x-pigeon-signature"


def sign(body: bytes, secret: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


class PigeonProvider:
    name = "pigeon"

    def handshake(self, query: Mapping[str, str], secrets: WebhookSecrets) -> str | None:
        return None

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: WebhookSecrets) -> bool:
        """Compared as bytes: ``compare_digest`` raises for text that is not ASCII, which a stranger may send."""
        given = headers.get(HEADER, "").encode("utf-8", "replace")
        matches = [hmac.compare_digest(given, sign(body, secret).encode()) for secret in secrets.signing if secret]
        return any(matches)

    def parse(self, body: bytes, *, account_id: str | None = None) -> list[Inbound]:
        return parse(body)
