"""The load generator: a process of its own that speaks just enough HTTP and WebSocket, on requests built beforehand.

``python -m benchmarks.load`` reads a ``Job`` or a ``Crowd`` as one line of JSON and answers with one line. It runs on
the same cores as what it measures, so it does as little as possible: no client library, no signing, no parsing.

In the open loop a request's clock starts when the schedule says so, whether or not a connection is free then: a server
that stalls cannot hide its stall by slowing the sender down (coordinated omission).
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter, process_time
from typing import Any, Self, cast

import orjson
import uvloop

from benchmarks.traffic import MARK, MARK_DIGITS, Traffic, make_requests

HOST = "127.0.0.1"
TICK = 0.001
"""The loop's timers have this grain: what is due within half of it is sent now."""
UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Job:
    """``rate`` None: as fast as ``connections`` allow. Ends after ``seconds`` or when ``traffic`` is used up.

    ``sockets`` are paths of live streams on the same port; the frames that tell of the messages are timed, too.
    """

    port: int
    path: str
    traffic: Traffic
    seconds: float
    rate: float | None = None
    connections: int = 64
    sockets: Sequence[str] = ()
    settle: float = 5.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """Sockets that connect at once and resume from one cursor; they stay until standard input ends."""

    port: int
    sockets: Sequence[str]
    resume: dict[str, object] = field(default_factory=lambda: {"type": "resume"})
    patience: float = 30.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds."""

    count: int
    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: list[float]) -> Self:
        if not seconds:
            return cls(0, float("nan"), float("nan"), float("nan"))
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(len(ordered), *(ordered[round(last * share)] * 1000 for share in (0.5, 0.99, 1.0)))


@dataclass(frozen=True, slots=True)
class Result:
    """``late``: how far the generator itself was behind its schedule, which is part of ``answer`` and ``frame``."""

    sent: int
    accepted: int
    refused: dict[str, int]
    seconds: float
    answer: Spread
    frame: Spread
    late: Spread
    cpu: float
    """Seconds that the generator used while it ran."""

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """``caught_up``: from the first connection to the first heartbeat of each socket."""

    sockets: int
    events: int
    caught_up: Spread


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end > 0:
            head = data[:end].lower()
            at = head.find(b"content-length: ")
            size = int(head[at + 16 : head.find(b"\r\n", at + 16) if b"\r\n" in head[at:] else end]) if at > 0 else 0
            if len(data) >= end + 4 + size:
                self._buffer = b""
                self._load.answered(self, data[9:12])
                return
        self._buffer = data

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost()


class Stream(asyncio.Protocol):
    """One live socket: finds the marks of the messages in what it is sent."""

    def __init__(self, path: str, resume: bytes, heard: Heard) -> None:
        self._path = path.encode()
        self._resume = resume
        self._heard = heard
        self._buffer = b""
        self._open = False
        self.live = asyncio.get_running_loop().create_future()
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(UPGRADE % self._path)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.live.done():
            self.live.set_exception(error or ConnectionError(f"the socket was closed: {self._buffer[:200]!r}"))

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        at = 0
        if not self._open:
            end = data.find(b"\r\n\r\n")
            if end < 0 or not data.startswith(b"HTTP/1.1 101"):
                self._buffer = data
                return
            self._open = True
            at = end + 4
            self._transport.write(client_frame(0x1, self._resume))
        now = perf_counter()
        have = len(data)
        while have - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
            if have < start + size:
                break
            if data[at] & 0xF == 0x1:
                self._frame(data, start, start + size, now)
            elif data[at] & 0xF == 0x9:
                self._transport.write(client_frame(0xA, data[start : start + size]))
            at = start + size
        self._buffer = data[at:]

    def _frame(self, data: bytes, start: int, end: int, now: float) -> None:
        if data.startswith(b'{"type":"event"', start):
            self.events += 1
            mark = data.find(MARK, start, end)
            if mark > 0:
                number = mark + len(MARK)
                self._heard.message(int(data[number : number + MARK_DIGITS]), now)
        elif not self.live.done() and data.find(b'"type":"heartbeat"', start, end) > 0:
            self.live.set_result(now)


class Heard:
    """What the sockets of one load were told, against when it was sent."""

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self.started: list[float] = []
        self.delays: list[float] = []

    def message(self, number: int, now: float) -> None:
        index = number - self._first
        if 0 <= index < len(self.started):
            self.delays.append(now - self.started[index])


class Load:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._requests = make_requests(job.traffic, job.path, HOST)
        self._next = 0
        self._heard = Heard(job.traffic.first)
        self._since: dict[Connection, float] = {}
        self._idle: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._delays: list[float] = []
        self._late: list[float] = []
        self._answers: Counter[bytes] = Counter()
        self._lost = 0
        self._until = 0.0
        self._ended = 0.0
        self._done = asyncio.Event()
        self._scheduled = False

    async def run(self) -> Result:
        loop, job = asyncio.get_running_loop(), self._job
        streams = await open_streams(job.port, job.sockets, b'{"type":"resume"}', self._heard)
        await asyncio.wait_for(asyncio.gather(*(stream.live for stream in streams)), 15)
        for _ in range(job.connections):
            _, connection = await loop.create_connection(lambda: Connection(self), HOST, job.port)
            self._idle.append(connection)
        gc.collect()
        gc.disable()
        started, used = perf_counter(), process_time()
        self._until = started + job.seconds
        if job.rate is None:
            for connection in list(self._idle):
                self._send(connection, perf_counter())
        else:
            await self._keep_to_schedule(started, job.rate)
        async with asyncio.timeout(job.seconds + 30):
            await self._done.wait()
        await self._settle(len(streams))
        accepted = self._answers[b"200"] + self._answers[b"202"]
        refused = {code.decode(): n for code, n in self._answers.items() if code not in (b"200", b"202")}
        if self._lost:
            refused["lost"] = self._lost
        return Result(
            self._next,
            accepted,
            refused,
            self._ended - started,
            Spread.of(self._delays),
            Spread.of(self._heard.delays),
            Spread.of(self._late),
            process_time() - used,
        )

    def answered(self, connection: Connection, status: bytes) -> None:
        now = self._ended = perf_counter()
        self._delays.append(now - self._since.pop(connection))
        self._answers[status] += 1
        if self._job.rate is None:
            self._send(connection, now)
        elif self._due:
            self._send(connection, self._due.popleft())
        else:
            self._idle.append(connection)
            self._finish_when_idle()

    def lost(self) -> None:
        if not self._done.is_set():
            self._lost += 1
            if self._lost == self._job.connections:
                self._done.set()

    def _send(self, connection: Connection, since: float) -> None:
        if self._next >= len(self._requests) or (self._job.rate is None and since > self._until):
            self._idle.append(connection)
            self._finish_when_idle()
            return
        assert connection.transport is not None
        self._since[connection] = since
        self._heard.started.append(since)
        connection.transport.write(self._requests[self._next])
        self._next += 1

    async def _keep_to_schedule(self, started: float, rate: float) -> None:
        count = min(len(self._requests), int(self._job.seconds * rate))
        step = 1 / rate
        number = 0
        while number < count:
            now = perf_counter()
            while number < count and (intended := started + number * step) <= now + TICK / 2:
                number += 1
                since = min(intended, now)
                self._late.append(now - since)
                if self._idle:
                    self._send(self._idle.popleft(), since)
                else:
                    self._due.append(since)
            await asyncio.sleep(max(0.0, started + number * step - perf_counter()))
        self._scheduled = True
        self._finish_when_idle()

    def _finish_when_idle(self) -> None:
        if not self._since and not self._due and (self._job.rate is None or self._scheduled):
            self._done.set()

    async def _settle(self, streams: int) -> None:
        """Wait for the frames of everything that was accepted; what does not come shows in the count."""
        until = perf_counter() + self._job.settle
        expected = (self._answers[b"200"] + self._answers[b"202"]) * streams
        while len(self._heard.delays) < expected and perf_counter() < until:
            await asyncio.sleep(0.01)


async def gather(crowd: Crowd) -> Gathered:
    heard = Heard()
    started = perf_counter()
    streams = await open_streams(crowd.port, crowd.sockets, orjson.dumps(crowd.resume), heard)
    async with asyncio.timeout(crowd.patience):
        live = await asyncio.gather(*(stream.live for stream in streams))
    events = sum(stream.events for stream in streams)
    return Gathered(len(streams), events, Spread.of([moment - started for moment in live]))


async def open_streams(port: int, paths: Sequence[str], resume: bytes, heard: Heard) -> list[Stream]:
    loop = asyncio.get_running_loop()
    made = await asyncio.gather(
        *(loop.create_connection(lambda path=path: Stream(path, resume, heard), HOST, port) for path in paths)  # type: ignore[misc]
    )
    return [stream for _, stream in made]


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Masked, as clients must, with a key of zeros: the payload stays as it is (RFC 6455, section 5.3)."""
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2)
    return head + b"\0\0\0\0" + payload


def main() -> None:
    task: dict[str, Any] = orjson.loads(sys.stdin.buffer.readline())
    if "traffic" in task:
        task["traffic"] = Traffic(**task["traffic"])
        result: Result | Gathered = uvloop.run(_run(Job(**task)))
        print(orjson.dumps(asdict(result)).decode(), flush=True)
    else:
        uvloop.run(_hold(Crowd(**task)))


async def _run(job: Job) -> Result:
    return await Load(job).run()


async def _hold(crowd: Crowd) -> None:
    print(orjson.dumps(asdict(await gather(crowd))).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    main()
