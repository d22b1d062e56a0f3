"""Addresses and secrets of subscriptions, sealed for their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, TypeAdapter

from inbox.kernel.encoding import encode
from inbox.kernel.secrets import SecretBox
from inbox.subscriptions.posting import SigningKey, Target
from inbox.subscriptions.signing import key_of

TABLE: Final = "subscriptions"


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """``until`` None: the one that is in use now."""

    secret: str = field(repr=False)
    until: datetime | None = None


class _Stored(BaseModel):
    secret: str
    until: AwareDatetime | None


_SECRETS = TypeAdapter(list[_Stored])


class Vault:
    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def seal_url(self, subscription_id: UUID, url: str) -> bytes:
        return self._box.seal(url, table=TABLE, row=subscription_id, column="url")

    def url(self, subscription_id: UUID, sealed: bytes) -> str:
        return self._box.open(sealed, table=TABLE, row=subscription_id, column="url").decode()

    def seal_secrets(self, subscription_id: UUID, secrets: Sequence[StoredSecret]) -> bytes:
        return self._box.seal(encode(secrets), table=TABLE, row=subscription_id, column="secrets")

    def secrets(self, subscription_id: UUID, sealed: bytes) -> list[StoredSecret]:
        """Newest first."""
        opened = self._box.open(sealed, table=TABLE, row=subscription_id, column="secrets")
        return [StoredSecret(one.secret, one.until) for one in _SECRETS.validate_json(opened)]

    def target(self, subscription_id: UUID, url: bytes, secrets: bytes) -> Target:
        keys = [SigningKey(key_of(one.secret), one.until) for one in self.secrets(subscription_id, secrets)]
        return Target(self.url(subscription_id, url), keys)
