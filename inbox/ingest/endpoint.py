"""The webhook endpoint: verify the exact bytes, keep them, answer. Plain ASGI, because it is the hot path.

Answers: 200 kept · 401 not from the provider · 403 handshake refused · 404 no such endpoint · 405 · 413 too large ·
503 cannot be kept now, so that the provider sends it again. No answer says more than its status, for whoever asks may
be anybody (design, section 4).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from channels.adapter import Provider
from inbox.connections.directory import Directory, ProviderApp
from inbox.ingest.acceptance import Acceptance
from inbox.ingest.metrics import IngestMetrics
from inbox.kernel.batching import Stopped
from inbox.kernel.database import DatabaseUnavailable

log = logging.getLogger(__name__)

PREFIX = "/webhooks/"
KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
BODY_SECONDS = 30.0
"""How long a body may take to arrive."""


class _TooLarge(Exception):
    pass


class _Gone(Exception):
    """The sender hung up before the body was complete."""


class WebhooksFirst:
    """Takes ``/webhooks/…`` past the middleware and the router of the API, which are a quarter of a webhook's cost."""

    def __init__(self, app: ASGIApp, *, webhooks: WebhookEndpoint) -> None:
        self._app = app
        self._webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._webhooks(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class WebhookEndpoint:
    """Answers at ``/webhooks/{provider}/{endpoint_key}``."""

    def __init__(
        self,
        directory: Directory,
        providers: Mapping[str, Provider],
        acceptance: Acceptance,
        metrics: IngestMetrics,
        *,
        max_bytes: int,
    ) -> None:
        self._directory = directory
        self._providers = providers
        self._acceptance = acceptance
        self._metrics = metrics
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, _, key = scope["path"].removeprefix(PREFIX).partition("/")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                status, body = await self._handle(scope, receive, name, key)
        except (DatabaseUnavailable, Stopped):
            status, body = 503, b""
        except TimeoutError:
            status, body = 408, b""
        except _TooLarge:
            status, body = 413, b""
        except _Gone:
            return
        except Exception:
            log.exception("a webhook failed; the provider is asked to send it again")
            status, body = 503, b""
        self._metrics.answered(name if name in self._providers else "unknown", status)
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain; charset=utf-8")]
        if status == 503:
            headers.append((b"retry-after", b"5"))
        elif status == 413 or status == 408:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _handle(self, scope: Scope, receive: Receive, name: str, key: str) -> tuple[int, bytes]:
        provider = self._providers.get(name)
        app = await self._directory.find_app(name, key) if provider and KEY.fullmatch(key) else None
        if provider is None or app is None:
            return 404, b""
        if scope["method"] == "POST":
            return await self._take(scope, receive, provider, app), b""
        if scope["method"] in ("GET", "HEAD"):
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            challenge = provider.handshake(query, app.secrets)
            return (403, b"") if challenge is None else (200, challenge.encode())
        return 405, b""

    async def _take(self, scope: Scope, receive: Receive, provider: Provider, app: ProviderApp) -> int:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        body = await self._read(headers.get("content-length"), receive)
        if not provider.verify(headers, body, app.secrets):
            return 401
        await self._acceptance.accept(app.id, body)
        return 200

    async def _read(self, announced: str | None, receive: Receive) -> bytes:
        if announced is not None and announced.isdecimal() and int(announced) > self._max_bytes:
            raise _TooLarge
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise _TooLarge
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
