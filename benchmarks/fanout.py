"""Fan-out of a 600-byte event: the product's hub beside its ceilings, in turn, in one run. 40 s on two idle cores.

    make bench ARGS=fanout

encode once  one frame, written to every uvicorn transport in a plain loop: the ceiling
hub          hand-over of a commit → tail → lane → the same transports, durable resume on
broadcast    websockets.broadcast over as many sockets of a websockets server

Every round runs all of them one after the other and waits until the last byte arrived at the other process. Rates are
deliveries per second of wall time and per second of the server's CPU; on a shared machine trust the ratios. Then all
sockets come back at once with old cursors, while others go on reading live.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import orjson
import psutil
import uvicorn
import uvloop
from starlette.applications import Starlette
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.report import Row
from inbox.agents.principal import Principal
from inbox.kernel.database import Database
from inbox.kernel.eventlog import Event, EventLog, StoredEvent
from inbox.kernel.migrate import upgrade
from inbox.kernel.postgres import EmbeddedPostgres
from inbox.kernel.wakeup import Wakeup
from inbox.realtime.build import build_hub
from inbox.realtime.hub import Hub, Pace
from inbox.realtime.protocol import text_frame
from inbox.realtime.room import Room
from inbox.realtime.routes import stream_routes
from inbox.realtime.server import UVICORN_OPTIONS, StreamProtocol

WORKSPACE = UUID("018f0000-0000-7000-8000-0000000000b1")
ONE = "one at a time"
PAYLOAD = orjson.dumps({"text": "x" * 400}).decode()
SINGLES, BURSTS, BURST = 20, 5, 16
OLD_EVENTS, BEHIND, BYSTANDERS, LIVE_RATE = 3000, (100, 300), 50, 20
MOST_SECONDS = 90
KEY = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"


# --- the other end of the sockets, in a process of its own ------------------------------------------------------------


class Counting:
    """All that the reading process knows: bytes that came, who caught up when, and how old live events were."""

    received = 0
    caught_up = 0
    ages: list[float] = []  # noqa: RUF012 - one object in one process


class Reader(asyncio.Protocol):
    def __init__(self, request: bytes, first: bytes, *, timed: bool, until_beat: bool) -> None:
        self.request = request
        self.first = first
        self.timed = timed
        self.until_beat = until_beat
        self.upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.upgraded.done():
            _, found, data = data.partition(b"\r\n\r\n")
            if not found:
                return
            self.upgraded.set_result(None)
            if self.first:
                self.transport.write(self.first)
        Counting.received += len(data)
        if self.until_beat and b'"type":"heartbeat"' in data:
            self.until_beat = False
            Counting.caught_up += 1
        if self.timed:
            now = time.monotonic_ns()
            for part in data.split(b'"sent":')[1:]:
                Counting.ages.append((now - int(part[:20].split(b"}")[0])) / 1e6)


def masked(text: bytes) -> bytes:
    head = bytes((0x81, 0x80 | len(text))) if len(text) < 126 else b"\x81\xfe" + len(text).to_bytes(2, "big")
    return head + b"\0\0\0\0" + text


async def read_for_parent() -> None:
    """Obey lines on stdin: ``open PORT COUNT LOW HIGH EPOCH``, ``bytes N``, ``caught N``, ``ages``, ``close``."""
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    lines: asyncio.Queue[str] = asyncio.Queue()

    def listen() -> None:
        while line := sys.stdin.readline():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        os._exit(0)  # the parent is gone

    threading.Thread(target=listen, daemon=True).start()
    while line := (await lines.get()).split():
        verb, *rest = line
        answer = "ok"
        if verb == "open":
            port, count, low, high, epoch, timed = int(rest[0]), int(rest[1]), int(rest[2]), int(rest[3]), *rest[4:]
            request = (
                f"GET /v1/stream?ticket=x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{KEY}"
            ).encode()
            fresh: list[Reader] = []
            for _ in range(count):
                first = b""
                if epoch != "-":
                    cursor = {"epoch": epoch, "after": random.randint(low, high)} if high >= 0 else {}
                    first = masked(orjson.dumps({"type": "resume", **cursor}))
                fresh.append(Reader(request, first, timed=timed == "timed", until_beat=epoch != "-"))

            async def connect(reader: Reader, port: int = port) -> None:
                await loop.create_connection(lambda: reader, "127.0.0.1", port)
                await reader.upgraded

            for at in range(0, count, 100):
                await asyncio.gather(*(connect(reader) for reader in fresh[at : at + 100]))
            readers += fresh
        elif verb == "bytes":
            while Counting.received < int(rest[0]):
                await asyncio.sleep(0.0005)
        elif verb == "caught":
            while Counting.caught_up < int(rest[0]):
                await asyncio.sleep(0.001)
        elif verb == "count":
            answer = str(Counting.received)
        elif verb == "ages":
            answer = ",".join(f"{age:.2f}" for age in Counting.ages)
            Counting.ages.clear()
        elif verb == "close":
            for reader in readers:
                reader.transport.abort()
            readers.clear()
        print(answer, flush=True)


class OtherEnd:
    """The reading process, as the benchmark talks to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> OtherEnd:
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.fanout", stdin=pipe, stdout=pipe, limit=2**22
            )
        )

    async def tell(self, line: str, seconds: float = 30) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        answer = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        if not answer:
            raise ConnectionError("the reading process died")
        return answer.decode().strip()

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


# --- the server -------------------------------------------------------------------------------------------------------


@dataclass
class Product:
    hub: Hub
    event_log: EventLog
    database: Database
    port: int
    server: uvicorn.Server
    position: int = 0

    @property
    def room(self) -> Room:
        return self.hub.tails.of(WORKSPACE).room

    def hand_over(self) -> None:
        """What a commit of this process does after COMMIT, without the commit: the ceilings have none either."""
        self.position += 1
        now = datetime.now(UTC)
        self.event_log.committed([StoredEvent(WORKSPACE, self.position, now, "message.created", PAYLOAD, WORKSPACE, 0)])

    def transports(self) -> list[asyncio.Transport]:
        sessions = self.room.sessions
        return [session.outlet.transport for session in sessions if isinstance(session.outlet, StreamProtocol)]


async def start_product(dsn: str) -> Product:
    event_log = EventLog()
    database = Database(dsn, connections=8, event_log=event_log)
    await database.start()

    async def anybody(_: object) -> Principal:
        return Principal(WORKSPACE, uuid4(), "reader", "admin", uuid4())

    async def always(_: Principal) -> bool:
        return True

    # A socket may fall behind here: whole rounds are written faster than the other process reads.
    pace = Pace(heartbeat=3600, queue_bytes=64 * 1024 * 1024)
    hub = build_hub(database, event_log, Wakeup(), still_valid=always, pace=pace)
    await hub.start()
    routes = stream_routes(hub, redeem_ticket=anybody, authenticate=anybody, still_valid=always, commands={})
    config = uvicorn.Config(
        Starlette(routes=routes), port=0, lifespan="off", log_config=None, ws_ping_interval=None, **UVICORN_OPTIONS
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    return Product(hub, event_log, database, server.servers[0].sockets[0].getsockname()[1], server)


@dataclass
class Figures:
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


async def measured(
    other: OtherEnd, figures: Figures, deliveries: int, send: Callable[[], Awaitable[int]], already: int
) -> int:
    """Run ``send``, which answers the bytes it sent, until they all arrived; answers bytes received in all."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    expected = already + await send()
    await other.tell(f"bytes {expected}")
    figures.wall.append(deliveries / (time.perf_counter() - wall))
    figures.cpu.append(deliveries / (time.process_time() - cpu))
    return expected


async def fan_out(product: Product, other: OtherEnd, sockets: set[ServerConnection], rounds: int) -> list[Row]:
    transports = product.transports()
    count = len(transports)
    document = b'{"type":"event","position":1000,"previous":999,"kind":"message.created","at":"%b","data":%b}' % (
        datetime.now(UTC).isoformat().encode(),
        PAYLOAD.encode() + b" " * 120,
    )
    text = document.decode()
    room = product.room

    def encode_once(events: int, times: int) -> Callable[[], Awaitable[int]]:
        async def send() -> int:
            for _ in range(times):
                for _ in range(events):
                    frame = text_frame(document)
                    for transport in transports:
                        transport.write(frame)
                await asyncio.sleep(0)
            return times * events * count * len(text_frame(document))

        return send

    def by_hub(events: int, times: int) -> Callable[[], Awaitable[int]]:
        async def send() -> int:
            before = room.head
            for _ in range(times):
                for _ in range(events):
                    product.hand_over()
                while room.waiting:
                    await asyncio.sleep(0)
            recent = room.recent(before, events * times)
            assert recent is not None
            return sum(len(event.frame) for event in recent) * count

        return send

    def by_broadcast(events: int, times: int) -> Callable[[], Awaitable[int]]:
        async def send() -> int:
            for _ in range(times):
                for _ in range(events):
                    broadcast(sockets, text)
                await asyncio.sleep(0)
            return times * events * len(sockets) * len(text_frame(document))

        return send

    ways = {"encode once": encode_once, "hub": by_hub, "broadcast": by_broadcast}
    received = int(await other.tell("count"))
    rows: list[Row] = []
    for label, events, times in ((ONE, 1, SINGLES), (f"bursts of {BURST}", BURST, BURSTS)):
        figures = {name: Figures() for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                deliveries = events * times * count
                received = await measured(other, figures[name], deliveries, way(events, times), received)
        rows += compared(label, count, figures)
    return rows


def compared(label: str, count: int, figures: dict[str, Figures]) -> list[Row]:
    """The hub beside each of the others, by wall time and by CPU time of the server, as medians over the rounds."""
    rows = []
    for over, least in (("encode once", 0.9 if label == ONE else None), ("broadcast", None if label == ONE else 5.0)):
        for kind in ("wall", "cpu"):
            hub, other = getattr(figures["hub"], kind), getattr(figures[over], kind)
            ratio = statistics.median(a / b for a, b in zip(hub, other, strict=True))
            rows.append(
                Row(
                    f"{label}: deliveries beside {over}",
                    statistics.median(hub),
                    "/s" if kind == "wall" else "/CPU s",
                    f"{count} sockets",
                    ceiling=statistics.median(other),
                    ratio=ratio,
                    aim="" if least is None else f"≥ {least} ×",
                    met=None if least is None else ratio >= least,
                )
            )
    return rows


async def storm(product: Product, other: OtherEnd, sockets: int) -> list[Row]:
    """Everybody comes back at once to a node that has none of the events in memory yet."""
    log_epoch = product.room.log.epoch
    async with product.database.session() as connection:
        head = (await product.event_log.state(connection, WORKSPACE)).head
    await other.tell(f"open {product.port} {BYSTANDERS} 0 -1 {log_epoch} timed")
    await other.tell(f"caught {BYSTANDERS}")

    async def live() -> None:
        while True:
            async with product.database.transaction() as unit:
                unit.record(Event(WORKSPACE, "message.created", b'{"sent":%d}' % time.monotonic_ns()))
            await asyncio.sleep(1 / LIVE_RATE)

    writer = asyncio.create_task(live())
    await asyncio.sleep(2)
    quiet = sorted(map(float, (await other.tell("ages")).split(",")))
    before, spent = time.perf_counter(), time.process_time()
    await other.tell(f"open {product.port} {sockets} {head - BEHIND[1]} {head - BEHIND[0]} {log_epoch} -")
    opened = time.perf_counter() - before
    await other.tell(f"caught {BYSTANDERS + sockets}")
    seconds, spent = time.perf_counter() - before, time.process_time() - spent
    busy = sorted(map(float, (await other.tell("ages")).split(",")))
    writer.cancel()
    late = {name: ages[int(len(ages) * 0.99)] for name, ages in (("before", quiet), ("meanwhile", busy))}
    behind = f"{BEHIND[0]}-{BEHIND[1]} events behind; opening alone {opened:.1f} s, {spent:.1f} s of the server's CPU"
    return [
        Row(f"{sockets} sockets back at once", seconds, "s", behind, aim="≤ 3 s", met=seconds <= 3),
        Row("live event at others before, p99", late["before"], "ms", f"{BYSTANDERS} sockets"),
        Row(
            "live event at others meanwhile, p99",
            late["meanwhile"],
            "ms",
            f"{BYSTANDERS} sockets",
            aim="≤ 100 ms",
            met=late["meanwhile"] <= 100,
        ),
    ]


async def prepare(dsn: str) -> None:
    await upgrade(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", WORKSPACE, uuid4())
    with suppress(asyncpg.InvalidObjectDefinitionError):  # there is one for all dates already
        await connection.execute("CREATE TABLE events_of_benchmark PARTITION OF events DEFAULT")
    await connection.close()


async def run(dsn: str, sockets: int, rounds: int) -> list[Row]:
    await prepare(dsn)
    product = await start_product(dsn)
    other = await OtherEnd.start()
    connections: set[ServerConnection] = set()

    async def keep(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()

    process = psutil.Process(os.getpid())
    product.hub.tails.of(WORKSPACE)
    await other.tell(f"open {product.port} 20 0 -1 {UUID(int=0)} -")  # imports and caches are not a socket's
    gc.collect()
    before = process.memory_info().rss
    await other.tell(f"open {product.port} {sockets - 20} 0 -1 {UUID(int=0)} -")
    await other.tell(f"caught {sockets}")
    gc.collect()
    memory = (process.memory_info().rss - before) / 1024 / (sockets - 20)
    rows = [Row("memory of an idle socket", memory, "kB", f"{sockets} sockets", aim="≤ 40 kB", met=memory <= 40)]

    async with serve(keep, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await other.tell(f"open {port} {sockets} 0 -1 - -")
        gc.freeze()
        rows += await fan_out(product, other, connections, rounds)
    await other.tell("close")
    await other.stop()
    product.server.should_exit = True
    await asyncio.sleep(0.3)
    await product.hub.stop()
    await product.database.stop()

    # Another product on the same database: the positions handed over above were never committed.
    product, other = await start_product(dsn), await OtherEnd.start()
    for _ in range(OLD_EVENTS // 100):
        async with product.database.transaction() as unit:
            unit.record_all([Event(WORKSPACE, "message.created", PAYLOAD.encode())] * 100)
    await product.hub.tails.of(WORKSPACE).refreshed()
    rows += await storm(product, other, sockets)
    await other.tell("close")
    await other.stop()
    product.server.should_exit = True
    await asyncio.sleep(0.3)
    await product.hub.stop()
    await product.database.stop()
    return rows


async def main(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="inbox-fanout-") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres.start(Path(folder)) as server:
            work = run(server.dsn(), *((200, 1) if quick else (1000, 3)))
            return await asyncio.wait_for(work, MOST_SECONDS)


if __name__ == "__main__":
    uvloop.run(asyncio.wait_for(read_for_parent(), MOST_SECONDS))
