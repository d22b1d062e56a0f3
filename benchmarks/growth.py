"""Whether the figures stay as they are when ten times as many messages are stored. Each is taken beside its ceiling,
which does not grow, so that the machine's moods cancel out; what is compared are the ratios before and after."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import click

from benchmarks.history import add_received
from benchmarks.launcher import Part, Product, Stage, stage, warmed_up
from benchmarks.loads import Mix, load_ceiling, load_product
from benchmarks.report import Row

MIX = Mix()
RATE = 1000
TIMES = 10
TOLERANCE = 0.10


@dataclass(frozen=True, slots=True)
class Figures:
    """``stored`` per second and its ratio to the ceiling; ``answer`` and ``page`` are p50 in ms."""

    stored: float
    ratio: float
    answer: float
    answer_ratio: float


async def main(quick: bool) -> list[Row]:
    click.echo("The load generator shares the cores with the servers: trust ratios.\n")
    few, rounds, seconds = (20_000, 2, 1.5) if quick else (200_000, 2, 2.5)
    async with stage() as place, place.product() as product, place.ceilings() as ceilings:
        await warmed_up(place, product, ceilings, MIX.known)
        await grow(place, few)
        before = await measure(product, ceilings, rounds, seconds)
        await grow(place, few * (TIMES - 1))
        after = await measure(product, ceilings, rounds, seconds)
    sizes = f"{few:,} → {few * TIMES:,} messages"
    return [
        _row("webhooks stored, ratio to four tables", before.ratio, after.ratio, sizes, more_is_better=True),
        _row(
            f"answer at {RATE:,}/s, p50, ratio to group commit", before.answer_ratio, after.answer_ratio, sizes,
            more_is_better=False,
        ),
    ]  # fmt: skip


async def grow(place: Stage, count: int) -> None:
    async with place.connection() as connection:
        await add_received(connection, count)
        await connection.execute("VACUUM ANALYZE", timeout=300)
        await connection.execute("CHECKPOINT", timeout=300)


async def measure(product: Product, ceilings: Part, rounds: int, seconds: float) -> Figures:
    stored, ratios, answers, answer_ratios = [], [], [], []
    for _ in range(rounds):
        theirs = await load_ceiling(ceilings, product, "/four", seconds, MIX)
        ours = await load_product(product, seconds, MIX)
        rate = ours.accepted / (ours.seconds + await product.drained())
        stored.append(rate)
        ratios.append(rate / theirs.rate)
        plain = await load_ceiling(ceilings, product, "/group", seconds, MIX, rate=RATE)
        steady = await load_product(product, seconds, MIX, rate=RATE)
        await product.drained()
        answers.append(steady.answer.p50)
        answer_ratios.append(steady.answer.p50 / plain.answer.p50)
    return Figures(median(stored), median(ratios), median(answers), median(answer_ratios))


def _row(name: str, before: float, after: float, sizes: str, *, more_is_better: bool) -> Row:
    change = after / before - 1
    met = (-change if more_is_better else change) <= TOLERANCE
    return Row(name, after, "", f"{sizes}: {change:+.0%}", before, after / before, "within 10 %", met)
