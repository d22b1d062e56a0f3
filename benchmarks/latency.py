"""From the moment a webhook is sent to the frame at an agent's socket, beside the same way with nothing but one commit.

The moment is the schedule's, not the one at which the generator got round to it; how late the generator itself was is
part of both sides.
"""

from __future__ import annotations

import click

from benchmarks.launcher import Broken, stage, warmed_up
from benchmarks.loads import Mix, load_ceiling, load_product
from benchmarks.report import Row

MIX = Mix()
SOCKETS = 10
MOST_TIMES_CEILING = 2.5
AIMS = {50: (5.0, 10.0), 1000: (None, 15.0), 3000: (None, 100.0)}
"""Milliseconds by rate: p50 and p99."""


async def main(quick: bool) -> list[Row]:
    click.echo("The load generator and the 10 sockets share the cores with the servers: trust ratios.\n")
    seconds = 3 if quick else 6
    rows: list[Row] = []
    async with stage() as place, place.product() as product, place.ceilings() as ceilings:
        await warmed_up(place, product, ceilings, MIX.known)
        for rate, (most_p50, most_p99) in AIMS.items():
            plain = ["/stream"] * SOCKETS
            theirs = await load_ceiling(ceilings, product, "/group", seconds, MIX, rate=rate, sockets=plain)
            ours = await load_product(product, seconds, MIX, rate=rate, sockets=await product.sockets(SOCKETS))
            await product.drained()
            if ours.frame.count != ours.accepted * SOCKETS:
                raise Broken(f"{ours.accepted} accepted, {ours.frame.count} frames at {SOCKETS} sockets")
            late = f"generator late by p50 {ours.late.p50:.1f}, p99 {ours.late.p99:.1f} ms"
            rows.append(_row(rate, "p50", ours.frame.p50, theirs.frame.p50, most_p50, late))
            rows.append(_row(rate, "p99", ours.frame.p99, theirs.frame.p99, most_p99, late))
    return rows


def _row(rate: int, which: str, ours: float, theirs: float, most: float | None, late: str) -> Row:
    met = ours <= MOST_TIMES_CEILING * theirs and (most is None or ours <= most)
    aim = f"≤ {MOST_TIMES_CEILING} × one commit" + (f", ≤ {most:.0f} ms" if most is not None else "")
    return Row(
        f"webhook → frame at {rate:,}/s, {which}", ours, "ms", f"{SOCKETS} sockets; {late}", theirs, None, aim, met
    )
