"""``python -m benchmarks [--quick] [NAME…]`` runs one benchmark after the other, each in a process of its own.

A process of its own, because the memory, the garbage and the event loop of one measurement would colour the next.
A benchmark is a module ``benchmarks/NAME.py`` with ``async def main(quick: bool) -> list[Row]``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter

import click

from benchmarks.report import table

NAMES = ("ingest", "fanout", "latency", "scheduler", "scheduled", "events_out", "thousand", "footprint", "growth")
MINUTES = 10
"""After this a benchmark is stopped and counts as failed: a load that does not end measures nothing."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="Small loads: shows that it works, not how fast it is.")
@click.option("--here", is_flag=True, hidden=True, help="Run the one benchmark that is named in this process.")
def run(names: tuple[str, ...], quick: bool, here: bool) -> None:
    """Measure the product. Without NAMES everything is measured."""
    if here:
        measure(names[0], quick)
        return
    failed = [name for name in names or available() if not spawn(name, quick)]
    if failed:
        raise click.ClickException(f"no result from: {', '.join(failed)}")


def available() -> tuple[str, ...]:
    return tuple(name for name in NAMES if find_spec(f"benchmarks.{name}"))


def spawn(name: str, quick: bool) -> bool:
    click.echo(f"\n## {name}\n")
    command = [sys.executable, "-m", "benchmarks", "--here", name, *(["--quick"] if quick else [])]
    started = perf_counter()
    try:
        done = subprocess.run(command, timeout=MINUTES * 60, check=False)
    except subprocess.TimeoutExpired:
        click.echo(f"stopped after {MINUTES} minutes", err=True)
        return False
    click.echo(f"\n({perf_counter() - started:.0f} s)")
    return done.returncode == 0


def measure(name: str, quick: bool) -> None:
    rows = asyncio.run(import_module(f"benchmarks.{name}").main(quick))
    click.echo(table(rows))


if __name__ == "__main__":
    run(prog_name="python -m benchmarks")
