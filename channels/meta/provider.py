"""One webhook endpoint of a Meta app: handshake, signature, and the way from ``object`` to a product's parser.

The products are handed in as functions, so that this module knows none of them and none knows another.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from channels.adapter import WebhookSecrets
from channels.inbound import Inbound, UnsupportedEvent
from channels.meta import signature
from channels.types import JsonObject
from channels.wire import SHORT, Undecodable, as_text, decode, kept, undecodable

ProductParser: TypeAlias = Callable[[JsonObject], list[Inbound]]
"""Gets the decoded body whole and answers for every entry in it. Pure and total."""

_LONGEST_CHALLENGE: Final = 256


class MetaProvider:
    name = "meta"

    def __init__(self, products: Mapping[str, ProductParser]) -> None:
        """``products``: parser by the ``object`` of a body, for example ``whatsapp_business_account``."""
        self._products = dict(products)

    def handshake(self, query: Mapping[str, str], secrets: WebhookSecrets) -> str | None:
        challenge, token = query.get("hub.challenge", ""), query.get("hub.verify_token", "")
        expected = secrets.verify_token
        if query.get("hub.mode") != "subscribe" or not expected or not 0 < len(challenge) <= _LONGEST_CHALLENGE:
            return None
        matches = hmac.compare_digest(token.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
        # It goes back as the raw body under our own name, so nothing that a browser could run may pass.
        return challenge if matches and challenge.isascii() and challenge.isalnum() else None

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: WebhookSecrets) -> bool:
        return signature.verify(headers.get(signature.HEADER), body, secrets.signing)

    def parse(self, body: bytes, *, account_id: str | None = None) -> list[Inbound]:
        try:
            payload = decode(body)
        except Undecodable:
            return [UnsupportedEvent(account_id, "body_not_json", undecodable(body))]
        if not isinstance(payload, dict):
            return [UnsupportedEvent(account_id, "body_not_an_object", kept(payload))]
        kind = as_text(payload.get("object"), SHORT)
        product = self._products.get(kind) if kind else None
        if product is None:
            return [UnsupportedEvent(account_id, f"object:{kind}", kept(payload))]
        try:
            return product(payload)
        except (
            Exception
        ):  # a parser is total; were it not, the body would still wait visibly instead of failing for ever
            return [UnsupportedEvent(account_id, f"object:{kind}:unparsed", kept(payload))]
