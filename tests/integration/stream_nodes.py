"""Nodes of the live stream for tests: hub, routes, server and callers, on a database of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from inbox.agents.principal import Principal
from inbox.kernel.database import Database
from inbox.kernel.errors import Conflict, Unauthenticated
from inbox.kernel.eventlog import EVERYONE, Audience, Event, EventLog
from inbox.kernel.wakeup import Wakeup
from inbox.kernel.web import RequestBoundary, build_routes, exception_handlers
from inbox.realtime.build import build_hub
from inbox.realtime.client import ClientEvent, StreamClient
from inbox.realtime.hub import Hub, Pace
from inbox.realtime.protocol import JsonObject
from inbox.realtime.relay import PostgresRelay
from inbox.realtime.routes import StreamRoutes, stream_routes
from inbox.realtime.server import UVICORN_OPTIONS
from inbox.realtime.tail import CommitAnnouncer

WORKSPACE = UUID("018f0000-0000-7000-8000-0000000000a1")
OTHER_WORKSPACE = UUID("018f0000-0000-7000-8000-0000000000a2")
CONVERSATIONS = [UUID(int=n) for n in range(1, 5)]


async def prepare_log(database_url: str) -> str:
    """Give a migrated database two empty logs, with room for events of any date; answers its URL."""
    connection = await asyncpg.connect(database_url)
    try:
        if not await connection.fetchval(HAS_DEFAULT_PARTITION):
            await connection.execute("CREATE TABLE events_of_tests PARTITION OF events DEFAULT")
        await connection.executemany(
            "INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)",
            [(WORKSPACE, uuid4()), (OTHER_WORKSPACE, uuid4())],
        )
    finally:
        await connection.close()
    return database_url


HAS_DEFAULT_PARTITION = """
SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE inhparent = 'events'::regclass AND pg_get_expr(relpartbound, pg_class.oid) = 'DEFAULT')
"""


@dataclass
class Callers:
    """Stands in for the agents service: tickets by role, and who was revoked."""

    revoked: set[UUID] = field(default_factory=set)
    tokens: dict[str, Principal] = field(default_factory=dict)

    def principal(self, role: str, workspace_id: UUID = WORKSPACE) -> Principal:
        return Principal(workspace_id, uuid4(), "Ada", role, uuid4())  # type: ignore[arg-type]

    def ticket(self, principal: Principal) -> str:
        name = uuid4().hex
        self.tokens[name] = principal
        return name

    def tickets(self, principal: Principal) -> Callable[[], Awaitable[str]]:
        async def get_ticket() -> str:
            return self.ticket(principal)

        return get_ticket

    async def redeem(self, ticket: str) -> Principal:
        if (principal := self.tokens.pop(ticket, None)) is None:
            raise Unauthenticated("the ticket is unknown")
        return principal

    async def authenticate(self, request: Request) -> Principal:
        name = request.headers.get("authorization", "").removeprefix("Bearer ")
        if (principal := self.tokens.get(name)) is None:
            raise Unauthenticated("no token")
        return principal

    async def still_valid(self, principal: Principal) -> bool:
        return principal.token_id not in self.revoked


@dataclass
class Node:
    database: Database
    wakeup: Wakeup
    hub: Hub
    callers: Callers
    app: Starlette
    relay: PostgresRelay
    port: int = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    @property
    def events_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/events"

    async def commit(self, count: int = 1, workspace_id: UUID = WORKSPACE, **about: object) -> None:
        await commit(self.database, count, workspace_id, **about)  # type: ignore[arg-type]

    def client(
        self, role: str = "agent", *, after: int | None = 0, epoch: UUID | None = None, **more: object
    ) -> StreamClient:
        tickets = self.callers.tickets(self.callers.principal(role))
        return StreamClient(self.url, tickets, epoch=epoch, after=after if epoch else None, **more)  # type: ignore[arg-type]


async def commit(
    database: Database,
    count: int = 1,
    workspace_id: UUID = WORKSPACE,
    *,
    kind: str = "message.created",
    audience: Audience = EVERYONE,
    conversation_id: UUID | None = None,
    text: str = "x",
) -> None:
    async with database.transaction() as unit:
        for n in range(count):
            payload = orjson.dumps({"n": n, "text": text})
            where = conversation_id or random.choice(CONVERSATIONS)
            unit.record(Event(workspace_id, kind, payload, where, audience))


async def pong(principal: Principal, args: JsonObject) -> JsonObject:
    if args.get("refuse"):
        raise Conflict("not now")
    return {"agent": str(principal.agent_id), "args": args}


@asynccontextmanager
async def running_node(
    dsn: str,
    *,
    listening: bool = True,
    pace: Pace | None = None,
    poll_seconds: float = 0.9,
    most_behind: int = 50_000,
    ring_events: int = 2048,
) -> AsyncIterator[Node]:
    pace = pace or Pace(heartbeat=0.5, presence_grace=0.05)
    event_log = EventLog()
    database = Database(dsn, connections=8, event_log=event_log)
    wakeup = Wakeup()
    relay = PostgresRelay(dsn, uuid4().hex)
    callers = Callers()
    hub = build_hub(
        database,
        event_log,
        wakeup,
        still_valid=callers.still_valid,
        announcer=CommitAnnouncer(event_log, wakeup),
        relay=relay,
        pace=pace,
        poll_seconds=poll_seconds,
        most_behind=most_behind,
        ring_events=ring_events,
    )
    plain = stream_routes(
        hub,
        redeem_ticket=callers.redeem,
        authenticate=callers.authenticate,
        still_valid=callers.still_valid,
        commands={"pong": pong},
        heartbeat=pace.heartbeat,
    )
    app = Starlette(
        routes=[*plain, *build_routes([StreamRoutes(hub)], inject={Principal: callers.authenticate})],
        exception_handlers=exception_handlers,
    )
    app.add_middleware(RequestBoundary)
    await database.start()
    if listening:
        await wakeup.start(dsn)
        await wakeup.listening()
        await relay.start()
        await relay.listening()
    await hub.start()
    try:
        yield Node(database, wakeup, hub, callers, app, relay)
    finally:
        await hub.stop()
        await relay.stop()
        await wakeup.stop()
        await database.stop()


@asynccontextmanager
async def serving(node: Node, *, ours: bool = True) -> AsyncIterator[Node]:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", node.port))
    listener.listen(256)
    node.port = listener.getsockname()[1]
    options = UVICORN_OPTIONS if ours else {"ws": "websockets-sansio"}
    config = uvicorn.Config(node.app, lifespan="off", log_config=None, timeout_graceful_shutdown=2, **options)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield node
    finally:
        server.should_exit = True
        await task
        listener.close()


async def stored(dsn: str, workspace_id: UUID = WORKSPACE) -> list[tuple[int, str, int]]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT position, kind, audience FROM events WHERE workspace_id = $1 ORDER BY position", workspace_id
        )
        return [(row["position"], row["kind"], row["audience"]) for row in rows]
    finally:
        await connection.close()


async def epoch_of(dsn: str) -> UUID:
    connection = await asyncpg.connect(dsn)
    try:
        epoch: UUID = await connection.fetchval("SELECT epoch FROM event_logs WHERE workspace_id = $1", WORKSPACE)
        return epoch
    finally:
        await connection.close()


async def collect(client: StreamClient, count: int, seconds: float = 10) -> list[ClientEvent]:
    got: list[ClientEvent] = []

    async def read() -> None:
        async with aclosing(client.events()) as stream:
            async for event in stream:
                got.append(event)
                if len(got) == count:
                    return

    await asyncio.wait_for(read(), seconds)
    return got


@asynccontextmanager
async def raw_socket(node: Node, role: str = "agent", **resume: object) -> AsyncIterator[ClientConnection]:
    """A socket on which the test says every word itself; ``resume`` is sent, unless it is empty."""
    ticket = node.callers.ticket(node.callers.principal(role))
    async with connect(f"{node.url}?ticket={ticket}", compression=None, proxy=None) as one:
        assert (await frame(one))["type"] == "hello"
        if resume:
            await say(one, type="resume", **resume)
        yield one


async def say(one: ClientConnection, **message: object) -> None:
    await one.send(orjson.dumps(message).decode())


async def frame(one: ClientConnection, *kinds: str) -> dict[str, object]:
    """The next frame of these types (of any, when none is named)."""
    async with asyncio.timeout(5):
        while True:
            document: dict[str, object] = orjson.loads(await one.recv())
            if not kinds or document["type"] in kinds:
                return document


async def ending(one: ClientConnection) -> ConnectionClosed:
    """How the socket ended, after whatever was still on its way."""
    try:
        while True:
            await asyncio.wait_for(one.recv(), 5)
    except ConnectionClosed as closed:
        return closed


async def next_event(response: aiohttp.ClientResponse) -> tuple[str, dict[str, object]]:
    name, document = "", None
    async with asyncio.timeout(5):
        while document is None:
            line = (await response.content.readline()).decode().rstrip("\n")
            if line.startswith("id: "):
                name = line[4:]
            elif line.startswith("data: "):
                document = orjson.loads(line[6:])
    return name, document


async def execute(dsn: str, query: str, *args: object) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(query, *args)
    finally:
        await connection.close()
