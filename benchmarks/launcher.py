"""Everything a measurement needs around the product, each part a process of its own, all of them on this machine.

    Stage      a temporary folder with a durable PostgreSQL, the product and the ceilings side by side on it
    Product    ``inbox serve``, with a workspace, an agent, a Meta app and WhatsApp numbers made over its own API
    run_load   one load generator from start to end

Two servers may be up, but only one is loaded at a time; an idle one costs nothing that could be measured.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import asyncpg
import orjson
import psutil

from benchmarks.ceilings import SCHEMA, SECRET
from benchmarks.load import Crowd, Gathered, Job, Result, Spread
from benchmarks.traffic import Traffic
from inbox.kernel.migrate import upgrade
from inbox.kernel.postgres import EmbeddedPostgres
from inbox.kernel.settings import Settings
from inbox.runtime import Runtime

EMAIL, PASSWORD = "admin@benchmark.example", "correct horse battery staple"
APP_SECRET = "b3a1c0ffee5e77ab1e0fbe9c4a11ed00"
ACCOUNT = "106540352242922"
READY_SECONDS = 30.0


class Broken(RuntimeError):
    """A part did not do what a measurement rests on; its figures would be worth nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """A child process that serves on ``port``. ``ready_after``: seconds from its start to its first answer."""

    process: asyncio.subprocess.Process
    port: int
    ready_after: float

    @property
    def pid(self) -> int:
        return self.process.pid

    def memory(self) -> int:
        """Resident bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)


@asynccontextmanager
async def serving(
    command: Sequence[str], port: int, probe: str, *, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Part]:
    """Run a server until the block ends. ``probe`` is a path that answers once it is ready."""
    started = time.monotonic()
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        await _answering(process, port, probe, log)
        yield Part(process, port, time.monotonic() - started)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 30)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answering(process: asyncio.subprocess.Process, port: int, probe: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.returncode is None:
            try:
                async with session.get(f"http://127.0.0.1:{port}{probe}") as answer:
                    if answer.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.01)
    raise Broken(f"a server did not become ready:\n{log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Product:
    """``inbox serve`` with what a workspace needs, reached as a client reaches it, and its tables for counting."""

    def __init__(self, part: Part, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self.part = part
        self._pool = pool
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{part.port}")
        self.token = ""
        self.webhook_path = ""
        self.app_id = ""
        self._number = 0

    async def log_in(self) -> None:
        self.token = (await self.call("POST", "/v1/sessions", {"email": EMAIL, "password": PASSWORD}))["token"]

    async def connect_numbers(self, *account_ids: str, **more: object) -> list[str]:
        """A Meta app and one WhatsApp number for each id. Returns the ids of the channels."""
        if not self.app_id:
            fields = {"provider": "meta", "name": "Benchmark", "signing_secrets": [APP_SECRET]}
            app = (await self.call("POST", "/v1/provider-apps", fields))["app"]
            self.app_id = app["id"]
            self.webhook_path = "/" + app["webhook_url"].split("/", 3)[3]
        made = []
        for account_id in account_ids:
            fields = {"kind": "whatsapp", "provider_app_id": self.app_id, "account_id": account_id}
            fields |= {"name": f"Number {account_id}", "token": f"token of {account_id}", **more}  # type: ignore[dict-item]
            made.append((await self.call("POST", "/v1/channels", fields))["id"])
        return made

    async def call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self._session.request(method, path, json=body, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 400:
                raise Broken(f"{method} {path} was answered {answer.status}: {content.decode()[:500]}")
            return orjson.loads(content)

    async def sockets(self, count: int) -> list[str]:
        """Paths of streams, each with a ticket of its own, which lasts for a short time."""
        tickets = [(await self.call("POST", "/v1/socket-tickets"))["ticket"] for _ in range(count)]
        return [f"/v1/stream?ticket={ticket}" for ticket in tickets]

    async def cursor(self) -> dict[str, Any]:
        page: dict[str, Any] = await self.call("GET", "/v1/conversations?limit=1")
        return {"epoch": page["epoch"], "after": page["position"]}

    def traffic(self, kind: Literal["messages", "receipts", "sends"], count: int, **more: Any) -> Traffic:
        """Numbered on from the last one, so that nothing is a repetition."""
        first, self._number = self._number, self._number + count
        given = {"account_id": ACCOUNT, "secret": APP_SECRET, "at": int(time.time()), "first": first, **more}
        return Traffic(kind, count, **given)

    async def load(self, job: Job) -> Result:
        return await run_load(job)

    async def value(self, query: str, *args: object) -> Any:
        return await self._pool.fetchval(query, *args)

    async def drained(self, patience: float = 60.0) -> float:
        """Wait until nothing that was accepted is pending; how many seconds that took."""
        started = time.monotonic()
        while await self.value("SELECT EXISTS (SELECT 1 FROM pending_deliveries)"):
            if time.monotonic() - started > patience:
                raise Broken(f"still {await self.value('SELECT count(*) FROM pending_deliveries')} pending")
            await asyncio.sleep(0.02)
        return time.monotonic() - started

    async def close(self) -> None:
        await self._session.close()


class Stage:
    """PostgreSQL, and on it the product and the ceilings. Made by ``stage``."""

    def __init__(self, folder: Path, server: EmbeddedPostgres) -> None:
        self.folder = folder
        self.server = server
        self._port = free_port()
        self.environment = {
            "INBOX_DATABASE_URL": server.dsn(),
            "INBOX_DATA_FOLDER": str(folder / "product"),
            "INBOX_ALLOW_PRIVATE_NETWORKS": '["127.0.0.0/8"]',
            "INBOX_LOG_LEVEL": "warning",
        }

    async def prepare(self) -> None:
        """Schema and the first workspace, by the product's own code."""
        await upgrade(self.server.dsn())
        runtime = Runtime(Settings(data_folder=self.folder / "product", roles=()), self.server.dsn())
        await runtime.start()
        try:
            await runtime.workspaces.create_workspace("Benchmark", "Admin", EMAIL, PASSWORD)
        finally:
            await runtime.stop()

    @asynccontextmanager
    async def product(self, **environment: str) -> AsyncIterator[Product]:
        command = ["-m", "inbox", "serve", "--port", str(self._port), "--end-with-parent"]
        log = self.folder / "product.log"
        async with (
            serving(command, self._port, "/readyz", log=log, environment=self.environment | environment) as part,
            asyncpg.create_pool(self.server.dsn(), min_size=1, max_size=2) as pool,
        ):
            product = Product(part, pool)
            try:
                await product.log_in()
                yield product
            finally:
                await product.close()

    @asynccontextmanager
    async def ceilings(self) -> AsyncIterator[Part]:
        async with self.connection() as connection:
            await connection.execute("CREATE DATABASE ceilings")
        async with self.connection("ceilings") as connection:
            await connection.execute(SCHEMA)
        port = free_port()
        command = ["-m", "benchmarks.ceilings", str(port), self.server.dsn("ceilings")]
        async with serving(command, port, "/", log=self.folder / "ceilings.log") as part:
            yield part

    @asynccontextmanager
    async def connection(self, database: str = "inbox") -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(self.server.dsn(database))
        try:
            yield connection
        finally:
            await connection.close()

    def postgres_cpu(self) -> float:
        """Seconds that PostgreSQL has used, by the backends that still live."""
        main = psutil.Process(self.server.pid)
        return sum(cpu_of(process) for process in [main, *main.children(recursive=True)])


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="inbox-benchmark-"))
    folder.chmod(0o711)  # root's server runs as another account, which has to pass through
    try:
        with EmbeddedPostgres.start(folder / "postgres", durable=True) as server:
            made = Stage(folder, server)
            await made.prepare()
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def warmed_up(place: Stage, product: Product, ceilings: Part, known: int) -> None:
    """Everybody known has written once, caches are filled, and PostgreSQL has statistics, as after its first minute."""
    await product.connect_numbers(ACCOUNT)
    traffic = product.traffic("messages", 2 * known, known=known)
    await run_load(Job(product.part.port, product.webhook_path, traffic, 20))
    await product.drained()
    traffic = product.traffic("messages", 2 * known, known=known, secret=SECRET)
    for path in ("/bare", "/insert", "/group", "/four"):
        await run_load(Job(ceilings.port, path, traffic, 0.5 if path != "/four" else 5))
    for database in ("inbox", "ceilings"):
        async with place.connection(database) as connection:
            await connection.execute("ANALYZE")


def cpu_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


async def run_load(job: Job) -> Result:
    """Raises ``Broken`` when anything was refused: a rate of refusals is no rate."""
    process = await _generator(job)
    output, _ = await process.communicate(orjson.dumps(asdict(job)) + b"\n")
    if process.returncode:
        raise Broken("the load generator failed")
    found = orjson.loads(output)
    result = Result(**found | {name: Spread(**found[name]) for name in ("answer", "frame", "late")})
    if result.refused:
        raise Broken(f"requests were refused: {result.refused}")
    return result


@asynccontextmanager
async def crowd(task: Crowd) -> AsyncIterator[Gathered]:
    """Sockets that stay open until the block ends."""
    process = await _generator(task)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(orjson.dumps(asdict(task)) + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise Broken("the sockets were not caught up in time")
        found = orjson.loads(line)
        yield Gathered(**found | {"caught_up": Spread(**found["caught_up"])})
    finally:
        process.stdin.close()
        await process.wait()


async def _generator(task: Job | Crowd) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
