"""The thousand: agents send, the simulated WhatsApp answers with three receipts each, and 30 % of the customers reply.

Everything is stored and streamed: it counts as done when each send is read, each reply is a message, and a socket has
shown every send. The simulator, PostgreSQL, the server and the load generator share the cores; so the share that each
of them takes is part of the result, and the server's own cost is what remains when the simulator is Meta's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import click
import psutil

from benchmarks.launcher import APP_SECRET, Broken, Part, Product, Stage, cpu_of, free_port, serving, stage
from benchmarks.load import Job
from benchmarks.report import Row

NUMBERS = ("106540352242901", "106540352242902", "106540352242903", "106540352242904")
CUSTOMERS = 800
REPLIES = 0.3
SAID_AT_ONCE = 40
AIM = 500


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of CPU, and transactions."""

    server: float
    postgres: float
    simulator: float
    commits: int

    def since(self, before: Used) -> Used:
        return Used(
            self.server - before.server,
            self.postgres - before.postgres,
            self.simulator - before.simulator,
            self.commits - before.commits,
        )


async def main(quick: bool) -> list[Row]:
    click.echo("Server, PostgreSQL, simulator and load generator share the cores.\n")
    sends = 1_000 if quick else 5_000
    async with stage() as place, place.product() as product, simulator(place) as provider:
        paths = await introduce(place, product, provider)
        async with place.connection() as connection:
            await connection.execute("ANALYZE")
        return await run(place, product, provider, paths, sends)


@asynccontextmanager
async def simulator(place: Stage) -> AsyncIterator[Part]:
    port = free_port()
    command = ["-m", "inbox", "simulator", "--port", str(port), "--end-with-parent"]
    async with serving(command, port, "/control/health", log=place.folder / "simulator.log") as part:
        yield part


async def introduce(place: Stage, product: Product, provider: Part) -> list[str]:
    """Connect the numbers, and let every customer write first, which opens the window. Paths to send to."""
    base = f"http://127.0.0.1:{provider.port}"
    await product.connect_numbers(*NUMBERS, api_base=f"{base}/graph", options={"messages_per_second": "1000"})
    callback = f"http://127.0.0.1:{product.part.port}{product.webhook_path}"
    async with aiohttp.ClientSession(base) as session:
        for number in NUMBERS:
            account = {"kind": "whatsapp", "account_id": number, "token": f"token of {number}"}
            account |= {"app_secret": APP_SECRET, "webhook_url": callback}
            await _post(session, "/control/accounts", account)
        await say(session, range(CUSTOMERS))
    await until(product, "SELECT count(*) FROM conversations", CUSTOMERS)
    await product.drained()
    async with place.connection() as connection:
        found = await connection.fetch("SELECT id FROM conversations ORDER BY id")
    return [f"/v1/conversations/{row[0]}/messages" for row in found]


async def run(place: Stage, product: Product, provider: Part, paths: list[str], sends: int) -> list[Row]:
    replies = int(sends * REPLIES)
    server, answering = psutil.Process(product.part.pid), psutil.Process(provider.pid)

    async def used() -> Used:
        commits = await product.value("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return Used(cpu_of(server), place.postgres_cpu(), cpu_of(answering), commits)

    received = await product.value("SELECT count(*) FROM messages WHERE direction = 'in'")
    traffic = product.traffic("sends", sends, paths=paths, token=product.token)
    job = Job(product.part.port, "", traffic, 600, connections=16, sockets=await product.sockets(1), settle=60)
    before, started = await used(), time.monotonic()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{provider.port}") as session:
        talk = asyncio.create_task(_reply(session, product, replies, sends))
        result = await product.load(job)
        queued = result.rate
        await talk
    await until(product, "SELECT count(*) FROM deliveries WHERE state = 'read'", sends)
    await until(product, "SELECT count(*) FROM messages WHERE direction = 'in'", received + replies)
    elapsed = time.monotonic() - started
    spent = (await used()).since(before)
    if result.frame.count != sends:
        raise Broken(f"{sends} sends, {result.frame.count} of them on the socket")
    rate = sends / elapsed
    total = spent.server + spent.postgres + spent.simulator + result.cpu
    shares = ", ".join(
        f"{name} {seconds / total:.0%}"
        for name, seconds in (
            ("server", spent.server),
            ("PostgreSQL", spent.postgres),
            ("simulator", spent.simulator),
            ("load", result.cpu),
        )
    )
    return [
        Row("sends with three receipts and 30 % replies", rate, "/s", shares, aim=f"≥ {AIM}/s", met=rate >= AIM),
        Row("CPU of server and PostgreSQL a send", (spent.server + spent.postgres) / sends * 1000, "ms", "all of it"),
        Row("transactions a send", spent.commits / sends, "", "the send, its way out, its receipts and replies"),
        Row("sends queued over the API", queued, "/s", "answered 202, while the rest goes on"),
    ]


async def _reply(session: aiohttp.ClientSession, product: Product, replies: int, sends: int) -> None:
    """In step with what has been queued, so that replies and sends overlap all the way."""
    said = 0
    while said < replies:
        queued = await product.value("SELECT count(*) FROM deliveries")
        wanted = min(replies, int(queued / sends * replies))
        while said < wanted:
            upto = min(wanted, said + SAID_AT_ONCE)
            await say(session, range(said, upto))
            said = upto
        await asyncio.sleep(0.1)


async def say(session: aiohttp.ClientSession, customers: range) -> None:
    wishes = [
        {
            "account_id": NUMBERS[number % CUSTOMERS % len(NUMBERS)],
            "customer": {"phone": str(15560000000 + number % CUSTOMERS)},
            "text": f"Customer {number % CUSTOMERS} speaks for the {number // CUSTOMERS}. time",
        }
        for number in customers
    ]
    await _post(session, "/control/say", wishes)


async def until(product: Product, count: str, wanted: int, patience: float = 60) -> None:
    """Raises ``Broken`` when ``count`` stays below ``wanted``."""
    deadline = time.monotonic() + patience
    while (found := await product.value(count)) < wanted:
        if time.monotonic() > deadline:
            raise Broken(f"{count}: {found} of {wanted}")
        await asyncio.sleep(0.1)


async def _post(session: aiohttp.ClientSession, path: str, body: object) -> None:
    async with session.post(path, json=body) as answer:
        if answer.status >= 300:
            raise Broken(f"the simulator answered {path} with {answer.status}: {(await answer.text())[:500]}")
