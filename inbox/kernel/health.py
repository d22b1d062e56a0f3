"""Whether this process lives, whether it can do its work now, and its figures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

Check = Callable[[], Awaitable[str | None]]
"""Answers ``None`` when all is well, or what is wrong in words for an operator."""

CHECK_SECONDS = 3.0


class Health:
    """``collect`` samples what is only known to the database, right before the figures are written."""

    def __init__(
        self, registry: CollectorRegistry, checks: Mapping[str, Check], collect: Callable[[], Awaitable[None]]
    ) -> None:
        self._registry = registry
        self._checks = checks
        self._collect = collect

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/healthz", self.live, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def live(self, request: Request) -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    async def ready(self, request: Request) -> Response:
        faults = await asyncio.gather(*(self._run(check) for check in self._checks.values()))
        checks = {name: fault or "ok" for name, fault in zip(self._checks, faults, strict=True)}
        healthy = not any(faults)
        body = orjson.dumps({"status": "ready" if healthy else "not ready", "checks": checks})
        return Response(body, status_code=200 if healthy else 503, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        await self._collect()
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def _run(self, check: Check) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await check()
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:.0f} s"
