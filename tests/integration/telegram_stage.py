"""A simulated bot, its customers, and the webhook endpoint of the business behind it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

BOT = "4242"
TOKEN = f"{BOT}:AAAA-simulated-token"
Json = dict[str, Any]
ANN: Json = {"id": "42", "name": "Ann Lee"}
GROUP: Json = {"id": "-500", "title": "Team"}
SUPERGROUP: Json = {"id": "-1001234", "title": "Support"}


@dataclass
class Hook:
    """``answers`` are the next statuses with their headers; 200 when they are used up."""

    url: str = ""
    updates: list[Json] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    pause: float = 0.0
    together: int = 0
    most_together: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
        update = json.loads(await request.read())
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        await asyncio.sleep(self.pause)
        self.together -= 1
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        if status == 200:
            self.updates.append(update)
        return web.Response(status=status, headers=headers)

    def told(self, kind: str) -> list[Json]:
        return [update[kind] for update in self.updates if kind in update]


@dataclass
class Stage:
    server: SimulatorServer
    control: SimulatorClient
    hook: Hook
    http: aiohttp.ClientSession

    async def call(self, method: str, **fields: Any) -> Json:
        url = f"{self.server.telegram_url}/bot{TOKEN}/{method}"
        async with self.http.post(url, json=fields) as answer:
            body: Json = await answer.json()
            assert answer.status == (200 if body["ok"] else body["error_code"])
            return body

    async def do(self, method: str, **fields: Any) -> Any:
        """The result of a call that must succeed."""
        answer = await self.call(method, **fields)
        assert answer["ok"], answer
        return answer["result"]

    async def refused(self, method: str, **fields: Any) -> str:
        answer = await self.call(method, **fields)
        assert not answer["ok"], answer
        return str(answer["description"])

    async def form(self, method: str, files: dict[str, bytes], **fields: str) -> Json:
        form = aiohttp.FormData(fields)
        for name, data in files.items():
            form.add_field(name, io.BytesIO(data), filename=f"{name}.png", content_type="image/png")
        async with self.http.post(f"{self.server.telegram_url}/bot{TOKEN}/{method}", data=form) as answer:
            body: Json = await answer.json()
            return body

    async def say(self, kind: str = "text", text: str | None = None, who: Json = ANN, **act: Any) -> Json:
        return await self.control.say(BOT, who, text, kind=kind, **act)

    async def told(self, kind: str = "message") -> Json:
        """The only update that was delivered since the last call, of this kind."""
        assert await self.control.flush()
        (update,) = self.hook.updates
        self.hook.updates.clear()
        found: Json = update[kind]
        return found


@asynccontextmanager
async def open_stage(**options: Any) -> AsyncIterator[Stage]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/hook", hook.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    async with (
        SimulatorServer(**options) as server,
        SimulatorClient(server.base_url) as control,
        aiohttp.ClientSession() as http,
    ):
        await control.register("telegram", BOT, TOKEN, secret_token="s3cret", webhook_url=hook.url)
        yield Stage(server, control, hook, http)
    await runner.cleanup()
