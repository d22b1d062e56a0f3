"""The way in: webhooks accepted, stored end to end, and how long their answer takes. Everything beside its ceiling.

A round measures the ceilings and the product one after the other (A B A B …); what counts is the median of the ratios.
Nothing is believed that the database does not confirm: as many new messages as bodies were answered with 200.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from statistics import median

import click

from benchmarks.history import add_sent
from benchmarks.launcher import Broken, Part, Product, Stage, stage, warmed_up
from benchmarks.load import Job, Result
from benchmarks.loads import Mix, load_ceiling, load_product, median_ratio
from benchmarks.report import Row

MIX = Mix()
STATED_RATE = 3300
"""Meta's worked example for 1,000 sends a second (channel facts, section 0)."""
SUSTAINED_SHARE = 0.8
"""Of what was stored per second at saturation: the load that has to go on without a growing backlog."""
MOST_BACKLOG_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds, and rounds."""

    rounds: int
    each: float
    answer: float
    sustained: float


FULL = Lengths(rounds=3, each=3, answer=6, sustained=60)
QUICK = Lengths(rounds=2, each=1.5, answer=2, sustained=6)


@dataclass(slots=True)
class Rounds:
    """Requests per second, by round."""

    bare: list[float] = field(default_factory=list)
    insert: list[float] = field(default_factory=list)
    group: list[float] = field(default_factory=list)
    four: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)


async def main(quick: bool) -> list[Row]:
    lengths = QUICK if quick else FULL
    click.echo("The load generator shares the cores with the servers: trust ratios, not rates.\n")
    async with stage() as place, place.product() as product, place.ceilings() as ceilings:
        await warmed_up(place, product, ceilings, MIX.known)
        rounds = Rounds()
        for number in range(lengths.rounds):
            await measure_round(product, ceilings, rounds, lengths.each, first=number == 0)
        rows = saturation(rounds)
        rows += await sustained(product, rounds, lengths.sustained)
        rows += await answers(product, ceilings, lengths.answer)
        rows += await receipts(place, product, ceilings, lengths.each)
        return rows


async def measure_round(product: Product, ceilings: Part, rounds: Rounds, seconds: float, *, first: bool) -> None:
    if first:  # these two are the same for all: once is enough
        rounds.bare.append((await load_ceiling(ceilings, product, "/bare", seconds, MIX)).rate)
        rounds.insert.append((await load_ceiling(ceilings, product, "/insert", seconds, MIX)).rate)
    rounds.group.append((await load_ceiling(ceilings, product, "/group", seconds, MIX)).rate)
    rounds.four.append((await load_ceiling(ceilings, product, "/four", seconds, MIX)).rate)
    before = await product.value("SELECT count(*) FROM messages")
    result = await load_product(product, seconds, MIX)
    waited = await product.drained()
    stored = await product.value("SELECT count(*) FROM messages") - before
    if stored != result.accepted:
        raise Broken(f"{result.accepted} were accepted, {stored} are stored")
    rounds.accepted.append(result.rate)
    rounds.stored.append(stored / (result.seconds + waited))


def saturation(rounds: Rounds) -> list[Row]:
    accepted = median_ratio(zip(rounds.accepted, rounds.group, strict=True))
    stored = median_ratio(zip(rounds.stored, rounds.four, strict=True))
    return [
        Row("bare Starlette: verify and parse", rounds.bare[0], "/s", "ceiling without a database"),
        Row("one INSERT and COMMIT a request", rounds.insert[0], "/s", "what sharing commits is compared with"),
        Row(
            "webhooks accepted and answered 200",
            median(rounds.accepted),
            "/s",
            f"processing goes on beside it; {MIX}",
            ceiling=median(rounds.group),
            ratio=accepted,
            aim="≥ 0.8 × group commit",
            met=accepted >= 0.8,
        ),
        Row(
            "webhooks stored, from first to last",
            median(rounds.stored),
            "/s",
            "until nothing is pending; messages counted",
            ceiling=median(rounds.four),
            ratio=stored,
            aim="≥ 0.6 × four tables",
            met=stored >= 0.6,
        ),
    ]


async def sustained(product: Product, rounds: Rounds, seconds: float) -> list[Row]:
    """A steady load with agents listening: the backlog at its end says whether it could go on for ever."""
    rate = int(median(rounds.stored) * SUSTAINED_SHARE)
    before = await product.value("SELECT count(*) FROM messages")
    watch = asyncio.create_task(_most_pending(product))
    job = Job(
        product.part.port,
        product.webhook_path,
        product.traffic("messages", int(rate * seconds), known=MIX.known, new_every=MIX.new_every),
        seconds,
        rate=rate,
        sockets=await product.sockets(2),
        settle=20,
    )
    result = await product.load(job)
    waited = await product.drained()
    watch.cancel()
    pending = max(await watch)
    stored = await product.value("SELECT count(*) FROM messages") - before
    shown = result.frame.count / 2
    if not stored == result.accepted == shown:
        raise Broken(f"{result.accepted} accepted, {stored} stored, {shown:.0f} on each socket")
    ratio = rate / median(rounds.four)
    backlog = pending / rate
    return [
        Row(
            f"sustained {seconds:.0f} s: in the thread, in the log, on 2 sockets",
            rate,
            "/s",
            f"most pending {pending} ({backlog:.2f} s), {waited:.2f} s after the end; {MIX}",
            ceiling=median(rounds.four),
            ratio=ratio,
            aim="≥ 0.6 × four tables, backlog not growing",
            met=ratio >= 0.6 and backlog <= MOST_BACKLOG_SECONDS,
        )
    ]


async def _most_pending(product: Product) -> list[int]:
    seen = [0]
    try:
        while True:
            await asyncio.sleep(1)
            seen.append(await product.value("SELECT count(*) FROM pending_deliveries"))
    except asyncio.CancelledError:
        return seen


async def answers(product: Product, ceilings: Part, seconds: float) -> list[Row]:
    theirs = await load_ceiling(ceilings, product, "/group", seconds, MIX, rate=STATED_RATE)
    ours = await load_product(product, seconds, MIX, rate=STATED_RATE)
    await product.drained()
    what = f"answer of a webhook at {STATED_RATE:,}/s"
    return [
        Row(
            f"{what}, p50", ours.answer.p50, "ms", str(MIX), theirs.answer.p50, aim="≤ 10 ms", met=ours.answer.p50 <= 10
        ),
        Row(
            f"{what}, p99", ours.answer.p99, "ms", str(MIX), theirs.answer.p99, aim="≤ 50 ms", met=ours.answer.p99 <= 50
        ),
    ]


async def receipts(place: Stage, product: Product, ceilings: Part, seconds: float) -> list[Row]:
    """Three receipts for each of our own messages: what a busy sender gets most of."""
    count = int(seconds * 12_000)
    traffic = product.traffic("receipts", count - count % 3, known=MIX.known)
    async with place.connection() as connection:
        await add_sent(connection, traffic.first, traffic.count // 3)
        await connection.execute("ANALYZE messages, deliveries")
    theirs = await load_ceiling(ceilings, product, "/four", seconds, MIX)
    result: Result = await product.load(Job(product.part.port, product.webhook_path, traffic, seconds))
    waited = await product.drained()
    parked = await product.value("SELECT count(*) FROM parked_receipts")
    if parked:
        raise Broken(f"{parked} receipts did not find their message")
    rate = result.accepted / (result.seconds + waited)
    return [Row("receipts stored, from first to last", rate, "/s", "sent, delivered, read", theirs.rate)]
