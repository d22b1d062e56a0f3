"""What the product takes when nothing happens, how soon it is there, and what a thousand sockets at once do to it."""

from __future__ import annotations

import asyncio
import shutil

import click

from benchmarks.launcher import Broken, Product, Stage, crowd, free_port, serving, stage, warmed_up
from benchmarks.load import Crowd
from benchmarks.loads import Mix, load_product
from benchmarks.report import Row

SOCKETS, BYSTANDERS = 1000, 10
MISSED = 600
RATE = 50
MIX = Mix()
COLD = "with its own PostgreSQL, to the first answer"


async def main(quick: bool) -> list[Row]:
    click.echo("The sockets' other ends share the cores with the server.\n")
    async with stage() as place:
        rows = await starts(place)
        async with place.product(INBOX_TICKET_SECONDS="300") as product, place.ceilings() as ceilings:
            await asyncio.sleep(2)
            rest = product.part.memory()
            rows.append(Row("memory at rest", rest / 1e6, "MB", "the server", aim="≤ 120 MB", met=rest <= 120e6))
            await warmed_up(place, product, ceilings, MIX.known)
            rows += await idle_sockets(product)
            rows += await reconnect(product, 5 if quick else 15)
        return rows


async def starts(place: Stage) -> list[Row]:
    """The whole product, as somebody who has nothing else starts it."""
    data = place.folder / "own"
    environment = {"INBOX_DATA_FOLDER": str(data), "INBOX_LOG_LEVEL": "warning"}
    seconds = []
    for _ in range(2):
        port = free_port()
        command = ["-m", "inbox", "serve", "--port", str(port), "--end-with-parent"]
        async with serving(command, port, "/readyz", log=place.folder / "own.log", environment=environment) as part:
            seconds.append(part.ready_after)
    shutil.rmtree(data)
    first, again = seconds
    return [
        Row("first start", first, "s", COLD, aim="≤ 5 s", met=first <= 5),
        Row("start on existing data", again, "s", COLD, aim="≤ 2 s", met=again <= 2),
    ]


async def idle_sockets(product: Product) -> list[Row]:
    before = product.part.memory()
    async with crowd(Crowd(product.part.port, await product.sockets(SOCKETS))):
        await asyncio.sleep(1)
        each = (product.part.memory() - before) / SOCKETS
    return [Row("memory of an idle socket", each / 1e3, "kB", f"of {SOCKETS:,}", aim="≤ 40 kB", met=each <= 40e3)]


async def reconnect(product: Product, seconds: float) -> list[Row]:
    """A thousand come back with one old cursor, while others go on reading what is said now."""
    cursor = await product.cursor()
    await load_product(product, 2, MIX, rate=MISSED / 2)
    await product.drained()
    tickets = await product.sockets(SOCKETS)
    live = load_product(product, seconds, MIX, rate=RATE, sockets=await product.sockets(BYSTANDERS))
    watching = asyncio.create_task(live)
    await asyncio.sleep(1.5)
    async with crowd(Crowd(product.part.port, tickets, {"type": "resume", **cursor}, patience=60)) as gathered:
        result = await watching
    if gathered.events < SOCKETS * MISSED:
        raise Broken(f"{gathered.events} events for {SOCKETS} sockets that missed {MISSED} messages each")
    all_there, others = gathered.caught_up.most / 1000, result.frame.p99
    what = f"{gathered.events / SOCKETS:,.0f} events each"
    return [
        Row(f"{SOCKETS:,} sockets back at once, all caught up", all_there, "s", what, aim="≤ 3 s", met=all_there <= 3),
        Row(
            "frames of the others meanwhile, p99",
            others,
            "ms",
            f"{BYSTANDERS} sockets, {RATE} messages/s for {seconds:.0f} s",
            aim="≤ 100 ms",
            met=others <= 100,
        ),
    ]
