"""What this machine can do at best: the smallest servers that keep the same promise, measured in the same run.

Each verifies the signature and parses the JSON of the same bodies that the product gets, and each is one uvicorn
process on the same PostgreSQL, with durable commits. ``python -m benchmarks.ceilings PORT DSN`` serves all of them:

    /bare     no database
    /insert   one INSERT and COMMIT a request, over a pool
    /group    neighbours share one ``unnest`` INSERT of one table; after the commit a frame to each socket of /stream
    /four     neighbours share one statement on four tables: raw body, contact, message, event with its position
"""

from __future__ import annotations

import asyncio
import gc
import hmac
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

SECRET = "the secret of the ceilings"
MOST = 256
SCHEMA = """
CREATE TABLE raw (id uuid PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE contact (phone text PRIMARY KEY, name text NOT NULL);
CREATE TABLE message (external_id text PRIMARY KEY, phone text NOT NULL, parts jsonb NOT NULL);
CREATE TABLE log (head bigint NOT NULL);
INSERT INTO log VALUES (0);
CREATE TABLE event (position bigint PRIMARY KEY, payload json NOT NULL);
"""
RAW = "INSERT INTO raw SELECT * FROM unnest($1::uuid[], $2::bytea[])"
FOUR = """
WITH raws AS (INSERT INTO raw SELECT * FROM unnest($1::uuid[], $2::bytea[])),
contacts AS (
    INSERT INTO contact SELECT DISTINCT ON (phone) * FROM unnest($3::text[], $4::text[]) AS c (phone, name)
    ON CONFLICT DO NOTHING
), messages AS (
    INSERT INTO message SELECT * FROM unnest($5::text[], $3::text[], $6::jsonb[]) ON CONFLICT DO NOTHING
), bumped AS (UPDATE log SET head = head + $7 RETURNING head - $7 AS base)
INSERT INTO event SELECT base + n, payload FROM bumped, unnest($8::json[]) WITH ORDINALITY AS e (payload, n)
"""

Body = tuple[bytes, dict[str, Any]]


class Group:
    """Whatever queued up while the last commit ran is the next batch."""

    def __init__(self, work: Callable[[list[Body]], Awaitable[None]]) -> None:
        self._work = work
        self._queue: list[tuple[Body, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, body: Body) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((body, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:MOST], self._queue[MOST:]
            await self._work([body for body, _ in batch])
            for _, future in batch:
                future.set_result(None)
        self._task = None


class Ceilings:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._one = Group(self._commit_one)
        self._four = Group(self._commit_four)
        self._sockets: set[WebSocket] = set()
        self._pool: asyncpg.Pool[asyncpg.Record]

    def app(self) -> Starlette:
        routes = [
            Route("/bare", self.bare, methods=["POST"]),
            Route("/insert", self.insert, methods=["POST"]),
            Route("/group", self.group, methods=["POST"]),
            Route("/four", self.four, methods=["POST"]),
            WebSocketRoute("/stream", self.stream),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._pool = await asyncpg.create_pool(self._dsn, min_size=16, max_size=16)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)  # as the product does
        async with self._pool:
            yield

    async def bare(self, request: Request) -> Response:
        await _verified(request)
        return Response()

    async def insert(self, request: Request) -> Response:
        body, _ = await _verified(request)
        await self._pool.execute("INSERT INTO raw VALUES ($1, $2)", uuid4(), body)
        return Response()

    async def group(self, request: Request) -> Response:
        await self._one.submit(await _verified(request))
        return Response()

    async def four(self, request: Request) -> Response:
        await self._four.submit(await _verified(request))
        return Response()

    async def stream(self, socket: WebSocket) -> None:
        await socket.accept()
        self._sockets.add(socket)
        await socket.send_text('{"type":"heartbeat"}')
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            self._sockets.discard(socket)

    async def _commit_one(self, bodies: list[Body]) -> None:
        await self._pool.execute(RAW, *_raw_columns(bodies))
        for socket in list(self._sockets):
            for _, payload in bodies:
                message = _message_of(payload)
                event = {"type": "event", "at": time(), "text": message["text"]["body"], "from": message["from"]}
                await socket.send_text(orjson.dumps(event).decode())

    async def _commit_four(self, bodies: list[Body]) -> None:
        messages = [_message_of(payload) for _, payload in bodies]
        ids, raws = _raw_columns(bodies)
        events = [orjson.dumps({"kind": "message", "message": message}).decode() for message in messages]
        await self._pool.execute(
            FOUR,
            ids,
            raws,
            [message["from"] for message in messages],
            [f"Customer {message['from']}" for message in messages],
            [message["id"] for message in messages],
            [orjson.dumps(message["text"]).decode() for message in messages],
            len(messages),
            events,
        )


async def _verified(request: Request) -> Body:
    body = await request.body()
    expected = "sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex()
    if not hmac.compare_digest(request.headers["x-hub-signature-256"], expected):
        raise PermissionError
    return body, orjson.loads(body)


def _raw_columns(bodies: list[Body]) -> tuple[list[UUID], list[bytes]]:
    return [uuid4() for _ in bodies], [body for body, _ in bodies]


def _message_of(payload: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = payload["entry"][0]["changes"][0]["value"]["messages"][0]
    return message


def main() -> None:
    port, dsn = sys.argv[1:]
    uvicorn.run(
        Ceilings(dsn).app(),
        port=int(port),
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
