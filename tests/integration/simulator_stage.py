"""A business with one account per provider at a running simulator, and its webhook endpoint.

The endpoint checks signatures with code of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer

SECRET = "app-secret-1"
BOT = "4242"
BOT_TOKEN = f"{BOT}:AAAA-simulated-token"
TOKENS = {"111": "wa-token", "222": "page-token", "333": "ig-token", BOT: BOT_TOKEN}


@dataclass
class Receiver:
    """A business's webhook endpoint. ``answers`` are the next statuses; 200 when they are used up."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    refused: int = 0
    answers: list[int] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            if request.query["hub.verify_token"] != "verify-me":
                return web.Response(status=403)
            return web.Response(text=request.query["hub.challenge"])
        raw = await request.read()
        if request.path == "/telegram":
            genuine = request.headers.get("X-Telegram-Bot-Api-Secret-Token") == "hook-secret"
        else:
            expected = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
            genuine = hmac.compare_digest(request.headers.get("X-Hub-Signature-256", ""), expected)
        if not genuine:
            self.refused += 1
            return web.Response(status=403)
        if self.answers and (status := self.answers.pop(0)) != 200:
            return web.Response(status=status)
        self.raw.append(raw)
        self.bodies.append(json.loads(raw))
        return web.Response()

    async def until(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(5):
            while len(self.bodies) < count:
                await asyncio.sleep(0.005)
        return self.bodies

    def items(self) -> list[dict[str, Any]]:
        """Every messaging item, change value or update, in the order of arrival."""
        found: list[dict[str, Any]] = []
        for body in self.bodies:
            if "update_id" in body:
                found.append(body)
            for entry in body.get("entry", []):
                found += entry.get("messaging", []) + [change["value"] for change in entry.get("changes", [])]
        return found

    def statuses(self) -> list[dict[str, Any]]:
        return [status for item in self.items() for status in item.get("statuses", [])]


@dataclass
class Stage:
    server: SimulatorServer
    control: SimulatorClient
    receiver: Receiver
    http: aiohttp.ClientSession

    async def graph(
        self, method: str, path: str, token: str = "", body: Any = None, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.server.graph_url}/v26.0/{path}"
        async with self.http.request(method, url, json=body, headers=headers, **more) as answer:
            return answer.status, await answer.json()

    async def whatsapp(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        body = {"messaging_product": "whatsapp", **fields}
        return await self.graph("POST", "111/messages", "wa-token", body)

    async def page(self, account: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return await self.graph("POST", f"{account}/messages", TOKENS[account], fields)

    async def bot(self, method: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        url = f"{self.server.telegram_url}/bot{BOT_TOKEN}/{method}"
        async with self.http.post(url, json=fields) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def open_stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with (
        SimulatorClient(simulator.base_url) as control,
        aiohttp.ClientSession() as http,
    ):
        meta: dict[str, Any] = {
            "app_secret": SECRET, "webhook_url": receiver.url + "/meta", "verify_token": "verify-me", "verify": True,
        }  # fmt: skip
        await control.register("whatsapp", "111", "wa-token", options={"waba_id": "999"}, **meta)
        await control.register("messenger", "222", "page-token", options={"app_id": "77"}, **meta)
        await control.register("instagram", "333", "ig-token", **meta)
        await control.register(
            "telegram", BOT, BOT_TOKEN, secret_token="hook-secret", webhook_url=receiver.url + "/telegram"
        )
        await control.receipts(delivered_after=0, read_after=0)
        yield Stage(simulator, control, receiver, http)
        await control.reset()
    await runner.cleanup()


async def wrote(stage: Stage, account_id: str, customer_id: str, **person: Any) -> str:
    """A customer who has just written; what was received so far is forgotten."""
    said = await stage.control.say(account_id, {"id": customer_id, "name": "Änn Bäker", **person}, "Hällo / ok")
    assert await stage.control.flush()
    stage.receiver.bodies.clear()
    stage.receiver.raw.clear()
    return str(said["id"])


def subset(expected: Any, found: Any) -> bool:
    """Whether ``found`` holds at least what is expected."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and subset(expected[key], found[key]) for key in expected)
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(subset, expected, found))
    return bool(expected == found)
