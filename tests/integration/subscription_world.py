"""Real receivers on this machine, a log to write to, and nodes that deliver. Helpers, no tests."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest, digest
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiohttp import web
from clock import FakeClock

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from inbox.agents.principal import Principal
from inbox.kernel.clock import Clock
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EVERYONE, Audience, Event, EventLog
from inbox.kernel.http import HttpClient, HttpSettings
from inbox.kernel.ids import new_id
from inbox.kernel.partitions import ensure
from inbox.kernel.secrets import SecretBox
from inbox.kernel.wakeup import Wakeup
from inbox.subscriptions.posting import Answered, Poster
from inbox.subscriptions.retries import Retries
from inbox.subscriptions.schemas import SubscriptionIn
from inbox.subscriptions.service import Subscriptions
from inbox.subscriptions.vault import Vault
from inbox.subscriptions.worker import Worker

Json = dict[str, Any]
LOOPBACK = (IPv4Network("127.0.0.0/8"),)
EVENTS_TOPIC, OWNERS_TOPIC = "events", "tokens"


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As the public specification tells a receiver to: any of the signatures may be the one that fits."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = b64decode(secret.split("_", 1)[1])
    expected = digest(key, content, sha256)
    given = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and compare_digest(b64decode(one), expected) for version, one in given)


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Json:
        document: Json = orjson.loads(self.body)
        return document

    @property
    def position(self) -> int:
        position: int = self.event["position"]
        return position


Behaviour = Callable[[Received], Awaitable[web.Response] | web.Response]


@dataclass
class Receiver:
    """One address. ``behave`` decides on the answer; ``accepted`` is what it answered 2xx to."""

    url: str
    behave: Behaviour = field(default=lambda received: web.Response())
    received: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    in_the_air: int = 0
    most_in_the_air: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        received = Received({name.lower(): value for name, value in request.headers.items()}, await request.read())
        self.received.append(received)
        self.in_the_air += 1
        self.most_in_the_air = max(self.most_in_the_air, self.in_the_air)
        try:
            answer = self.behave(received)
            response = answer if isinstance(answer, web.Response) else await answer
        finally:
            self.in_the_air -= 1
        if response.status < 300:
            self.accepted.append(received)
        return response

    def answer(self, status: int, **headers: str) -> None:
        self.behave = lambda received: web.Response(
            status=status, headers={n.replace("_", "-"): v for n, v in headers.items()}
        )

    def positions(self) -> list[int]:
        """Of what was accepted, repeats dropped by id as a receiver is told to do."""
        return [int(one.rsplit("_", 1)[1]) for one in dict.fromkeys(received.id for received in self.accepted)]

    async def gets(self, count: int, *, within: float = 15.0) -> list[Received]:
        await until(lambda: len(self.accepted) >= count, within, lambda: f"{len(self.accepted)} of {count} arrived")
        return self.accepted


class Receivers:
    """A web server whose every path is a receiver."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.by_path: dict[str, Receiver] = {}

    def add(self, name: str | None = None) -> Receiver:
        path = f"/hook/{name or uuid4().hex}"
        receiver = self.by_path[path] = Receiver(f"http://127.0.0.1:{self._port}{path}")
        return receiver


@asynccontextmanager
async def receivers() -> AsyncIterator[Receivers]:
    made: Receivers

    async def handle(request: web.Request) -> web.StreamResponse:
        return await made.by_path[request.path].handle(request)

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made = Receivers(runner.addresses[0][1])
    try:
        yield made
    finally:
        await runner.cleanup()


async def until(done: Callable[[], object], within: float = 10.0, what: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + within
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what()}")
        await asyncio.sleep(0.01)


async def eventually(look: Callable[[], Awaitable[Any]], wanted: object, within: float = 10.0) -> None:
    end = time.monotonic() + within
    while (found := await look()) != wanted:
        if time.monotonic() > end:
            raise AssertionError(f"{found!r} instead of {wanted!r} after {within} s")
        await asyncio.sleep(0.02)


@dataclass
class Node:
    """One process of the product, as far as subscriptions go."""

    database: Database
    event_log: EventLog
    wakeup: Wakeup
    service: Subscriptions
    worker: Worker
    clock: Clock
    http: HttpClient[Answered]
    _task: asyncio.Task[None] | None = None

    def run(self) -> None:
        self._task = asyncio.create_task(self.worker.run())

    async def rest(self) -> None:
        """Stop as a process that is told to."""
        if self._task is not None:
            self.worker.stop()
            await asyncio.wait_for(self._task, 25)
            self._task = None

    async def workspace(self, role: str = "admin") -> Principal:
        workspace_id, agent_id = new_id(), new_id()
        async with self.database.transaction() as unit:
            await unit.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'Test')", workspace_id)
            await unit.execute("INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", workspace_id, uuid4())
        return await self.agent(workspace_id, agent_id, role)

    async def agent(self, workspace_id: UUID, agent_id: UUID, role: str) -> Principal:
        async with self.database.transaction() as unit:
            await unit.execute(
                "INSERT INTO agents (workspace_id, id, name, role) VALUES ($1, $2, $3, $4)",
                workspace_id,
                agent_id,
                f"the {role}",
                role,
            )
        return Principal(workspace_id, agent_id, f"the {role}", role, new_id())  # type: ignore[arg-type]

    async def subscribe(self, caller: Principal, receiver: Receiver, **more: Any) -> tuple[UUID, str]:
        """Id and secret of a subscription that does not want to hear about subscriptions, unless told so."""
        kinds = more.pop("kinds", ["message.*", "contact.*"])
        made = await self.service.create(caller, SubscriptionIn(name="Hook", url=receiver.url, kinds=kinds, **more))
        return made.subscription.id, made.secret

    async def append(
        self,
        workspace_id: UUID,
        *conversations: UUID | None,
        kind: str = "message.created",
        audience: Audience = EVERYONE,
    ) -> list[int]:
        """One event for each conversation, in one commit. Returns their positions."""
        async with self.database.transaction() as unit:
            for one in conversations:
                payload = orjson.dumps({"text": "Grüße", "of": str(one)})
                unit.record(Event(workspace_id, kind, payload, one, audience))
        async with self.database.session() as connection:
            head = (await self.event_log.state(connection, workspace_id)).head
        return list(range(head - len(conversations) + 1, head + 1))

    async def fetch(self, query: str, *args: object) -> list[Any]:
        async with self.database.session() as connection:
            return list(await connection.fetch(query, *args))

    async def fetchval(self, query: str, *args: object) -> Any:
        async with self.database.session() as connection:
            return await connection.fetchval(query, *args)

    async def kinds_logged(self, workspace_id: UUID) -> list[str]:
        rows = await self.fetch("SELECT kind FROM events WHERE workspace_id = $1 ORDER BY position", workspace_id)
        return [row[0] for row in rows]


@asynccontextmanager
async def node(
    dsn: str,
    *,
    clock: Clock | None = None,
    lease_seconds: float = 30.0,
    timeout: float = 5.0,
    allow_private: tuple[IPv4Network, ...] = LOOPBACK,
    run: bool = True,
    **more: Any,
) -> AsyncIterator[Node]:
    event_log, wakeup, clock = EventLog(), Wakeup(), clock or FakeClock()
    database = Database(dsn, connections=6, event_log=event_log)
    vault = Vault(SecretBox({"k": bytes(32)}, "k"))
    http = HttpClient(
        HttpSettings(allow_private=allow_private, connections=0, connections_per_host=0, keep_alive=30), Answered
    )
    poster = Poster(http, clock, timeout=timeout)
    changed = lambda workspace_id: wakeup.publish("subscriptions", workspace_id)  # noqa: E731
    worker = Worker(
        database,
        event_log,
        wakeup,
        vault,
        poster,
        clock,
        events_topic=EVENTS_TOPIC,
        owners_topic=OWNERS_TOPIC,
        retries=Retries(uniform=lambda least, most: 1.0),
        lease_seconds=lease_seconds,
        poll_seconds=more.pop("poll_seconds", 0.2),
        **more,
    )
    service = Subscriptions(database, event_log, vault, poster, clock, changed, allow_private=allow_private)
    async with AsyncExitStack() as stack:
        await database.start()
        stack.push_async_callback(database.stop)
        async with database.session() as connection:
            await ensure(connection)
        await stack.enter_async_context(http)
        made = Node(database, event_log, wakeup, service, worker, clock, http)
        if run:
            made.run()
        stack.push_async_callback(made.rest)
        yield made
