"""One request to a receiver: signed, bounded in time and size, through the guarded client. Never raises for its answer.

A redirect is an answer like any other failure: what is signed for one address is not handed to another.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from inbox.kernel.clock import Clock
from inbox.kernel.encoding import encode
from inbox.kernel.eventlog import StoredEvent
from inbox.kernel.http_errors import AnswerTooLarge, HttpError
from inbox.subscriptions import signing
from inbox.subscriptions.retries import retry_after

TIMEOUT: Final = 15.0
MOST_ANSWER_BYTES: Final = 64 * 1024
KEPT_ANSWER: Final = 512
JSON: Final = "application/json"
Body: TypeAlias = bytes
SHORTEST_HIDDEN: Final = 6
"""A path of ``/`` or ``/hook`` hides nothing."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a receiver answered. Names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Http(Protocol):
    """The guarded client. Raises ``HttpError``."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> Answered: ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    key: bytes = field(repr=False)
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where one subscription sends, and what it signs with, newest key first."""

    url: str = field(repr=False)
    keys: Sequence[SigningKey] = field(repr=False)

    def valid_keys(self, now: datetime) -> list[bytes]:
        return [one.key for one in self.keys if one.until is None or one.until > now]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of one request. ``error`` is set when there was no complete answer.

    ``json``: the whole answer, where the receiver says that it is JSON; ``too_large``: it was more than is read.
    """

    at: datetime
    status: int | None
    error: str | None
    milliseconds: int
    bytes: int
    answer: str
    retry_after: datetime | None = None
    json: Body | None = field(default=None, repr=False)
    too_large: bool = False

    @property
    def delivered(self) -> bool:
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def gone(self) -> bool:
        return self.status == HTTPStatus.GONE

    @property
    def busy_until(self) -> datetime | None:
        """The receiver as a whole asked for a pause."""
        busy = self.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        return self.retry_after if busy else None


class Poster:
    def __init__(self, http: Http, clock: Clock, *, timeout: float = TIMEOUT) -> None:
        self._http = http
        self._clock = clock
        self._timeout = timeout

    @property
    def timeout(self) -> float:
        return self._timeout

    async def post(self, target: Target, message_id: str, body: bytes) -> Exchange:
        now = self._clock.now()
        headers = signing.headers(target.valid_keys(now), message_id, int(now.timestamp()), body)
        began = time.perf_counter()
        status: int | None = None
        error: str | None = None
        answer, after, json, too_large = "", None, None, False
        try:
            got = await self._http.request(
                "POST", target.url, headers=headers, body=body, timeout=self._timeout, max_bytes=MOST_ANSWER_BYTES
            )
        except AnswerTooLarge as large:
            # The receiver has it and has answered; how much it said does not matter.
            status, too_large = large.status, True
        except HttpError as failed:
            error = failed.reason
        else:
            status = got.status
            answer = shown(got.body, target.url) if got.body else ""
            if header := got.headers.get("retry-after"):
                after = retry_after(header, self._clock.now())
            if got.body and got.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON:
                json = got.body
        milliseconds = int(1000 * (time.perf_counter() - began))
        return Exchange(now, status, error, milliseconds, len(body), answer, after, json, too_large)


def shown(body: bytes, url: str) -> str:
    """How the answer begins, as text that PostgreSQL can hold, without the address that many servers repeat."""
    text = body[: 2 * KEPT_ANSWER].decode("utf-8", "replace").replace("\x00", "\ufffd")
    parts = urlsplit(url)
    for secret in (f"{parts.path}?{parts.query}", parts.query, parts.path):
        if len(secret) > SHORTEST_HIDDEN:
            text = text.replace(secret, "***")
    return text[:KEPT_ANSWER]


def body_of(event: StoredEvent, epoch: UUID) -> bytes:
    """The document that is sent: what the live stream tells of the event, and whose it is."""
    return b'{"workspace_id":"%b","epoch":"%b","position":%d,"kind":%b,"at":%b,"conversation_id":%b,"data":%b}' % (
        str(event.workspace_id).encode(),
        str(epoch).encode(),
        event.position,
        encode(event.kind),
        encode(event.created_at),
        b'"%b"' % str(event.conversation_id).encode() if event.conversation_id else b"null",
        event.payload.encode(),
    )
