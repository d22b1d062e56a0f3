"""Pigeon's side over real HTTP on 127.0.0.1: takes messages, keeps files, and refuses what a test tells it to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "token-of-loft-1"
Json = dict[str, Any]


@dataclass
class PigeonServer:
    base_url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    people: dict[str, Json] = field(default_factory=dict)
    sent: list[Json] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By recipient: HTTP status and error code."""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_authorised])
        app.router.add_get("/v1/me", self._me)
        app.router.add_get("/v1/people/{id}", self._person)
        app.router.add_get("/v1/files/{id}", self._file)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_post("/v1/messages", self._message)
        return app

    async def _me(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "loft-1", "name": "The Loft"})

    async def _person(self, request: web.Request) -> web.Response:
        found = self.people.get(request.match_info["id"])
        return _refused(404, "not_found") if found is None else web.json_response(found)

    async def _file(self, request: web.Request) -> web.Response:
        data = self.files.get(request.match_info["id"])
        return _refused(404, "not_found") if data is None else web.Response(body=data, content_type="image/png")

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file_id = f"up{len(self.files)}"
        self.files[file_id] = form["file"].file.read()  # type: ignore[union-attr]
        return web.json_response({"id": file_id})

    async def _message(self, request: web.Request) -> web.Response:
        message: Json = await request.json()
        if message["to"] in self.refusals:
            return _refused(*self.refusals[message["to"]])
        self.sent.append(message)
        return web.json_response({"id": f"p{len(self.sent)}"})


@web.middleware
async def _authorised(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return _refused(401, "bad_token")
    answer: web.StreamResponse = await handler(request)
    return answer


def _refused(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"code": code}}, status=status)


@asynccontextmanager
async def pigeon_server() -> AsyncIterator[PigeonServer]:
    pigeon = PigeonServer()
    runner = web.AppRunner(pigeon.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pigeon.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield pigeon
    finally:
        await runner.cleanup()
