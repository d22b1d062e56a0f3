"""Events out: one log to 200 receivers in ordered lanes, beside the rate at which aiohttp posts the same bytes.

The receivers are sockets of one other process that answers 204 and does nothing else. Product and ceiling run in turn;
each round of the product reads the log, signs, posts, and writes the delivery log and the cursors to a durable
PostgreSQL. The ceiling posts a ready body with ready headers over one ``ClientSession``, as many at a time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

import aiohttp
import orjson
import uvloop

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from benchmarks.report import Row
from inbox.agents.principal import Principal
from inbox.kernel.clock import SystemClock
from inbox.kernel.database import Database
from inbox.kernel.eventlog import Event, EventLog
from inbox.kernel.http import HttpClient, HttpSettings
from inbox.kernel.ids import new_id
from inbox.kernel.migrate import upgrade
from inbox.kernel.partitions import ensure
from inbox.kernel.postgres import EmbeddedPostgres
from inbox.kernel.secrets import SecretBox
from inbox.kernel.wakeup import Wakeup
from inbox.subscriptions.posting import Answered, Poster
from inbox.subscriptions.schemas import SubscriptionIn
from inbox.subscriptions.service import Subscriptions
from inbox.subscriptions.signing import headers, key_of, new_secret
from inbox.subscriptions.vault import Vault
from inbox.subscriptions.worker import Worker

RECEIVERS = 200
CONVERSATIONS = 20
AIM = 0.5
LIMIT_SECONDS = 120.0
LOOPBACK = (IPv4Network("127.0.0.0/8"),)
PAYLOAD = orjson.dumps({"message": {"text": "x" * 400, "direction": "in"}})


class Receiver(asyncio.Protocol):
    """Answers each request whose body is complete; several may come in one piece."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.index(b"content-length:") + len(b"content-length:")
            size = int(head[at:].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + size:
                return
            self._buffer = self._buffer[end + 4 + size :]
            assert self._transport is not None
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def receive(count: int) -> None:
    """Open the sockets, say where, and serve until the other side closes our input."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Receiver, "127.0.0.1", 0, backlog=512) for _ in range(count)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)


class Product:
    """Everything of a process that delivers, and the log it delivers."""

    def __init__(self, dsn: str, http: HttpClient[Answered]) -> None:
        self.event_log, self._wakeup, self._clock = EventLog(), Wakeup(), SystemClock()
        self.database = Database(dsn, connections=8, event_log=self.event_log)
        self._vault = Vault(SecretBox({"k": bytes(32)}, "k"))
        self._poster = Poster(http, self._clock)
        self.caller = Principal(new_id(), new_id(), "admin", "admin", new_id())

    async def prepare(self, ports: Sequence[int]) -> None:
        await self.database.start()
        workspace_id, agent_id = self.caller.workspace_id, self.caller.agent_id
        async with self.database.session() as connection:
            await ensure(connection)
            await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'Bench')", workspace_id)
            await connection.execute(
                "INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", workspace_id, uuid4()
            )
            await connection.execute(
                "INSERT INTO agents (workspace_id, id, name, role) VALUES ($1, $2, 'admin', 'admin')",
                workspace_id,
                agent_id,
            )
        service = Subscriptions(
            self.database,
            self.event_log,
            self._vault,
            self._poster,
            self._clock,
            lambda workspace_id: None,
            allow_private=LOOPBACK,
        )
        for port in ports:
            fields = SubscriptionIn(name="Hook", url=f"http://127.0.0.1:{port}/hook", kinds=["message.created"])
            await service.create(self.caller, fields)

    async def round(self, events: int, conversations: Sequence[UUID]) -> float:
        """Deliveries a second, from the first look at the log to the last cursor written."""
        async with self.database.transaction() as unit:
            for n in range(events):
                conversation = conversations[n % len(conversations)]
                unit.record(Event(self.caller.workspace_id, "message.created", PAYLOAD, conversation))
        worker = Worker(
            self.database,
            self.event_log,
            self._wakeup,
            self._vault,
            self._poster,
            self._clock,
            events_topic="events",
            owners_topic="tokens",
        )
        before = await self._delivered()
        began = time.perf_counter()
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(LIMIT_SECONDS):
            while await self._behind():
                await asyncio.sleep(0.05)
        elapsed = time.perf_counter() - began
        worker.stop()
        await task
        delivered = await self._delivered() - before
        assert delivered == RECEIVERS * events, (delivered, RECEIVERS * events)
        return delivered / elapsed

    async def _behind(self) -> bool:
        async with self.database.session() as connection:
            behind: bool = await connection.fetchval(
                "SELECT exists(SELECT FROM subscriptions s JOIN event_logs l USING (workspace_id) WHERE cursor < head)"
            )
        return behind

    async def _delivered(self) -> int:
        async with self.database.session() as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM subscription_attempts WHERE outcome = 'delivered'"
            )
        return count


async def ceiling(ports: Sequence[int], events: int, at_once: int) -> float:
    body = orjson.dumps(
        {"workspace_id": uuid4(), "position": 1, "kind": "message.created", "data": orjson.Fragment(PAYLOAD)}
    )
    sent = headers([key_of(new_secret())], "msg_1", int(time.time()), body)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def post(port: int, count: int) -> None:
            for _ in range(count):
                async with session.post(f"http://127.0.0.1:{port}/hook", data=body, headers=sent) as answer:
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(post(port, events // at_once) for port in ports for _ in range(at_once)))
        return len(ports) * (events // at_once) * at_once / (time.perf_counter() - began)


@asynccontextmanager
async def receivers() -> AsyncIterator[list[int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"import asyncio; from benchmarks.events_out import receive; asyncio.run(receive({RECEIVERS}))",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield [int(port) for port in (await process.stdout.readline()).split()]
    finally:
        process.stdin.close()
        await process.wait()


async def main(quick: bool) -> list[Row]:
    events, rounds = (20, 2) if quick else (100, 3)
    conversations = [uuid4() for _ in range(CONVERSATIONS)]
    rates: list[float] = []
    ceilings: list[float] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inbox-bench-")))
        folder.chmod(0o711)
        dsn = stack.enter_context(EmbeddedPostgres.start(folder)).dsn()
        await upgrade(dsn)
        settings = HttpSettings(allow_private=LOOPBACK, connections=0, connections_per_host=0, keep_alive=30)
        async with receivers() as ports, HttpClient(settings, Answered) as http:
            product = Product(dsn, http)
            await product.prepare(ports)
            for _ in range(rounds):
                ceilings.append(await ceiling(ports, events, at_once=2))
                rates.append(await product.round(events, conversations))
            await product.database.stop()
    top = median(ceilings)
    ratio = median(rate / best for rate, best in zip(rates, ceilings, strict=True))
    conditions = f"{RECEIVERS} receivers, {events} events in {CONVERSATIONS} conversations, durable PostgreSQL"
    return [
        Row(
            "events out, ordered lanes",
            median(rates),
            "deliveries/s",
            conditions,
            ceiling=top,
            ratio=ratio,
            aim=f"≥ {AIM} × aiohttp",
            met=ratio >= AIM,
        ),
    ]


if __name__ == "__main__":
    from benchmarks.report import table

    print(table(uvloop.run(main("--quick" in sys.argv))))
