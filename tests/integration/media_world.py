"""An application with a WhatsApp channel whose provider is a small server that does what a test tells it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from time import time
from typing import Any
from uuid import UUID

import httpx2
import orjson
from aiohttp import web
from builders import whatsapp_body

from channels.simulator.samples import sample
from inbox.app import create_app
from inbox.ingest.repository import RawDelivery, accept
from inbox.kernel.backoff import BackOff
from inbox.kernel.ids import new_id
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.settings import Settings
from inbox.runtime import Runtime

PASSWORD = "correct horse battery"
NUMBER = "111"
TOKEN = "token-of-111"
Json = dict[str, Any]
PNG = sample("image")


@dataclass
class File:
    """What the provider keeps under one media id. ``links``: status of the next downloads; 200 when it is empty."""

    data: bytes
    mime_type: str = "image/png"
    links: list[int] = field(default_factory=list)
    zipped: bool = False
    url: str | None = None
    """In place of the provider's own link."""


@dataclass
class Provider:
    """The media endpoints of the Cloud API: a link that asks for the bearer token and works as ``links`` says."""

    base_url: str = ""
    files: dict[str, File] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: list[Json] = field(default_factory=list)
    uploaded: list[bytes] = field(default_factory=list)
    before: Callable[[], Any] | None = None
    """Awaited before a download begins."""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/{version}/{media_id}", self._link)
        app.router.add_post(f"/{{version}}/{NUMBER}/media", self._upload)
        app.router.add_post(f"/{{version}}/{NUMBER}/messages", self._message)
        app.router.add_get("/download/{media_id}/{number}", self._download)
        return app

    async def _link(self, request: web.Request) -> web.Response:
        file = self.files[request.match_info["media_id"]]
        self.asked.append("link")
        url = file.url or f"{self.base_url}/download/{request.match_info['media_id']}/{len(self.asked)}"
        return web.json_response({"url": url, "mime_type": file.mime_type, "file_size": len(file.data)})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        self.asked.append("file")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        file = self.files[request.match_info["media_id"]]
        if self.before is not None:
            await self.before()
        status = file.links.pop(0) if file.links else 200
        if status != 200:
            return web.Response(status=status)
        headers = {"Content-Encoding": "gzip"} if file.zipped else {}
        body = gzip.compress(file.data) if file.zipped else file.data
        return web.Response(body=body, content_type=file.mime_type, headers=headers)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.uploaded.append(form["file"].file.read())  # type: ignore[union-attr]
        return web.json_response({"id": f"uploaded-{len(self.uploaded)}"})

    async def _message(self, request: web.Request) -> web.Response:
        self.sent.append(await request.json())
        return web.json_response({"messages": [{"id": f"wamid.out.{len(self.sent)}"}]})


@asynccontextmanager
async def provider_server() -> AsyncIterator[Provider]:
    provider = Provider()
    runner = web.AppRunner(provider.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()


@dataclass
class MediaWorld:
    runtime: Runtime
    client: httpx2.AsyncClient
    provider: Provider
    folder: Path
    app_id: UUID
    channel_id: str
    workspace_id: UUID
    _numbers: count[int] = field(default_factory=lambda: count(1))

    async def feed(self, *messages: Json) -> None:
        """A webhook with these messages, from its acceptance to the commit."""
        body = whatsapp_body(NUMBER, *messages)
        raw = RawDelivery(new_id(), datetime.now(UTC), self.app_id, body)
        async with self.runtime.database.session() as connection:
            await accept(connection, [(raw.id, raw.app_id, body)], raw.received_at, 30)
        await self.runtime.processor.process([raw])
        assert await self.fetch("SELECT detail FROM quarantine") == []

    async def receive(self, file: File, *, kind: str = "image", external_id: str | None = None, **more: Any) -> str:
        """A customer sends a file. Answers the external id of the message."""
        number = next(self._numbers)
        media_id = f"9000{number}"
        self.provider.files[media_id] = file
        external_id = external_id or f"wamid.{number}"
        about = {"id": media_id, "mime_type": file.mime_type, **more}
        await self.feed(message(external_id, kind, about))
        return external_id

    async def work(self, seconds: float = 10.0) -> None:
        """Run jobs until none is left, or only dead ones."""
        worker = Worker(self.runtime.database, self.runtime.wakeup, poll_seconds=0.02, back_off=BackOff(0.02, 0.05))
        self.runtime.media.register(worker)
        self.runtime.forgetting.register(worker)
        async with asyncio.timeout(seconds):
            running = asyncio.create_task(worker.run())
            while await self.fetch("SELECT 1 FROM jobs WHERE state <> 'dead' LIMIT 1"):
                await asyncio.sleep(0.01)
            worker.stop()
            await running

    async def fetch(self, query: str, *args: object) -> list[Any]:
        async with self.runtime.database.session() as connection:
            return list(await connection.fetch(query, *args))

    async def rows(self) -> list[Any]:
        return await self.fetch("SELECT * FROM media ORDER BY id")

    async def row(self) -> Any:
        (row,) = await self.rows()
        return row

    async def parts(self) -> list[Json]:
        return [part for row in await self.fetch("SELECT parts FROM messages ORDER BY number") for part in row[0]]

    async def events(self) -> list[tuple[str, Json]]:
        found = await self.fetch("SELECT kind, payload FROM events ORDER BY position")
        return [(row[0], orjson.loads(row[1])) for row in found]

    async def media(self, media_id: object) -> Json:
        answer = await self.client.get(f"/v1/media/{media_id}")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def link(self, media_id: object) -> str:
        url: str = (await self.media(media_id))["url"]
        return url

    def kept(self) -> list[Path]:
        """Files in the store, and on their way into it."""
        return sorted(path for path in (self.folder / "media").rglob("*") if path.is_file())


def message(external_id: str, kind: str, about: Json) -> Json:
    """Sent just now, so that the messaging window is open."""
    return {"from": "15551230001", "id": external_id, "timestamp": str(int(time())), "type": kind, kind: about}


@asynccontextmanager
async def media_world(dsn: str, folder: Path, **settings: Any) -> AsyncIterator[MediaWorld]:
    async with provider_server() as provider:
        runtime = Runtime(
            Settings(
                data_folder=folder,
                roles=("api",),
                allow_private_networks=(ip_network("127.0.0.0/8"),),
                **settings,
            ),
            dsn,
        )
        runtime.media.fetcher._back_off = BackOff(0.02, 0.05)
        app = create_app(runtime)
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://inbox.test") as client:
                yield await _furnish(runtime, client, provider, folder)


async def _furnish(runtime: Runtime, client: httpx2.AsyncClient, provider: Provider, folder: Path) -> MediaWorld:
    await runtime.workspaces.create_workspace("Media", "Ada", "ada@example.com", PASSWORD)
    answer = await client.post("/v1/sessions", json={"email": "ada@example.com", "password": PASSWORD})
    client.headers["authorization"] = f"Bearer {answer.json()['token']}"
    made = await client.post("/v1/provider-apps", json={"provider": "meta", "name": "meta", "signing_secrets": ["s"]})
    app_id = made.json()["app"]["id"]
    fields = {
        "kind": "whatsapp", "provider_app_id": app_id, "account_id": NUMBER, "name": "Number", "token": TOKEN,
        "api_base": provider.base_url,
    }  # fmt: skip
    made = await client.post("/v1/channels", json=fields)
    assert made.status_code == 201, made.text
    async with runtime.database.session() as connection:
        workspace_id = await connection.fetchval("SELECT workspace_id FROM channels")
    return MediaWorld(runtime, client, provider, folder, UUID(app_id), made.json()["id"], workspace_id)
