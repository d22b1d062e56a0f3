"""`inbox quarantine` and `inbox replay`: see what could not be stored, and run kept webhooks again."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import get_args

import click

from inbox.commands.installation import on_runtime
from inbox.commands.reporting import reported
from inbox.ingest.repository import Reason
from inbox.runtime import Runtime

MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@reported
def quarantine(limit: int) -> None:
    """List webhook items that could not be stored, oldest first. `inbox replay` tries them again."""

    async def read(runtime: Runtime) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await runtime.replay.open_entries(None, limit=limit)]

    found = on_runtime(read)
    for _, raw_id, received_at, item, reason, detail, _ in found:
        place = "whole body" if item is None else f"item {item}"
        click.echo(f"{received_at:%Y-%m-%d %H:%M:%S}Z  {raw_id}  {place}  {reason}  {detail or ''}".rstrip())
    click.echo("nothing is in quarantine" if not found else f"{len(found)} shown", err=True)


@click.command()
@click.option("--reason", type=click.Choice(get_args(Reason)), help="Only entries of quarantine with this reason.")
@click.option("--since", type=MOMENT, help="Every kept webhook from here on (UTC), in quarantine or not.")
@click.option("--until", type=MOMENT, help="Up to here (UTC). Left out: up to now.")
@reported
def replay(reason: Reason | None, since: datetime | None, until: datetime | None) -> None:
    """Run kept webhooks again: what is in quarantine, or everything received in a stretch of time.

    Nothing appears twice: what was stored before is found and left as it is.
    """
    if since is None and until is not None:
        raise click.UsageError("--until needs --since")
    if since is not None and reason is not None:
        raise click.UsageError("--reason is about quarantine, --since about everything: give one of them")

    async def run(runtime: Runtime) -> tuple[int, int]:
        if since is None:
            ran = await runtime.replay.quarantined(reason=reason, progress=_progress)
        else:
            end = datetime.now(UTC) if until is None else until.replace(tzinfo=UTC)
            ran = await runtime.replay.between(since.replace(tzinfo=UTC), end, progress=_progress)
        return ran, await runtime.replay.still_open(None)

    click.echo(_said(*on_runtime(run)))


def _said(ran: int, still_open: int) -> str:
    said = "there is nothing to run again"
    if ran:
        said = "1 webhook was run again" if ran == 1 else f"{ran} webhooks were run again"
    if still_open == 1:
        return f"{said}; 1 entry is still in quarantine, `inbox quarantine` lists it"
    if still_open:
        return f"{said}; {still_open} entries are still in quarantine, `inbox quarantine` lists them"
    return f"{said}; nothing is left in quarantine" if ran else said


def _progress(count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{count} webhooks …", nl=False, err=True)
