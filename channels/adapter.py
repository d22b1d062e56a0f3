"""The contract of an adapter, and of the HTTP client it is given. Small on purpose: one folder fulfils it.

Parsing is pure and total: for any bytes it returns a list and never raises; what it does not know becomes
``UnsupportedPart`` or ``UnsupportedEvent``. Sending is one HTTP exchange (an upload may precede it) and decides
nothing: no retries, no waiting, no state. What only some channels can do is apart, in ``channels.abilities``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from channels.capabilities import Capabilities
from channels.content import MediaRef
from channels.inbound import Inbound
from channels.outbound import Accepted, Envelope, OutboundPart, Piece
from channels.types import Account, Address, JsonValue, Person

# --- HTTP, as an adapter sees it --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a multipart request."""

    name: str
    """Of the form field."""
    filename: str
    content_type: str
    data: bytes = field(repr=False)


class HttpStream(Protocol):
    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...


class Http(Protocol):
    """The guarded client. Raises its own transport errors, which adapters let pass."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        json: JsonValue = None,
        form: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
        timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpAnswer:
        """``form`` with ``files`` is sent as multipart, ``form`` alone urlencoded. ``timeout`` in seconds, in all."""
        ...

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[HttpStream]: ...


# --- Webhooks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """Of one provider app. ``signing`` has several values while one is rotated, or for the two Instagram stacks."""

    signing: tuple[str, ...] = field(repr=False)
    verify_token: str | None = field(default=None, repr=False)


class Provider(Protocol):
    """What speaks at one webhook endpoint: a Meta app (three products) or a Telegram bot."""

    name: str

    def handshake(self, query: Mapping[str, str], secrets: WebhookSecrets) -> str | None:
        """The challenge to answer as the raw body, or ``None`` to refuse with 403."""
        ...

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: WebhookSecrets) -> bool:
        """Whether the exact bytes come from the provider. Header names in lower case. Constant time."""
        ...

    def parse(self, body: bytes, *, account_id: str | None = None) -> list[Inbound]:
        """Pure and total. ``account_id`` is the endpoint's own account where bodies do not name one (Telegram)."""
        ...


# --- Sending ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutboundFile:
    """A stored file to upload: its bytes fit the channel's limits (checked when planned)."""

    filename: str
    mime_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What a credential check found out. ``expires_at``: of the token, where the provider tells."""

    account_id: str
    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None


class Adapter(Protocol):
    kind: str
    """``whatsapp`` | ``messenger`` | ``instagram`` | ``telegram`` | …"""
    provider: str
    """Name of the ``Provider`` whose webhooks carry this kind."""
    capabilities: Capabilities

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        """Check against the capabilities and split. Raises ``ContentRefused``; later nothing is refused by size."""
        ...

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        """Raises ``SendError``. ``files`` are the stored ones named by ``envelope.piece.media_ids``, in that order."""
        ...

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        """Tell the provider that we read up to this message. Does nothing where the channel cannot."""
        ...

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        """Show that we type, once, for ``capabilities.typing_seconds``. ``external_id``: the last inbound message."""
        ...

    async def acknowledge(self, http: Http, account: Account, token: str) -> None:
        """Answer a tap (``ChoicePart.acknowledge``). Does nothing where the channel needs none."""
        ...

    def fetch(self, http: Http, account: Account, media: MediaRef) -> AbstractAsyncContextManager[HttpStream]:
        """Stream a file of the provider. Entering raises ``FetchError`` when it cannot be had."""
        ...

    async def profile(self, http: Http, account: Account, peer: Sequence[Address]) -> Person | None:
        """Fresh name and picture, or ``None`` where the provider tells nothing. Raises ``FetchError``."""
        ...

    async def check(self, http: Http, account: Account) -> AccountFacts:
        """Whether the credentials work, and whose they are. Raises ``FetchError``."""
        ...
