"""The webhook endpoint of one bot. Telegram signs nothing: a secret header, an unguessable path, and no handshake."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from channels.adapter import WebhookSecrets
from channels.inbound import Inbound
from channels.telegram.parse import parse_update

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105  the name of a header, not a secret


class TelegramProvider:
    name = "telegram"

    def handshake(self, query: Mapping[str, str], secrets: WebhookSecrets) -> str | None:
        return None

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: WebhookSecrets) -> bool:
        """Every secret is compared, so that the time tells neither which one matched nor how much of it."""
        given = headers.get(SECRET_HEADER, "").encode("utf-8", "replace")
        matches = [
            bool(secret) & hmac.compare_digest(given, secret.encode("utf-8", "replace")) for secret in secrets.signing
        ]
        return any(matches)

    def parse(self, body: bytes, *, account_id: str | None = None) -> list[Inbound]:
        return parse_update(body, account_id)
