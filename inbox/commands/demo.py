"""`inbox demo`: the whole product with simulated customers."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from inbox.commands.failures import Failure
from inbox.demo.errors import ApiError, DemoError
from inbox.demo.record import FOLDER
from inbox.demo.running import Demo, Wish


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    envvar="INBOX_DEMO_FOLDER",
    show_default=True,
    help="Where everything is kept. Delete it to begin anew.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Of the server; otherwise 8080, or a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address on which the server listens.")
@click.option("--simulator-port", type=click.IntRange(0, 65535), help="Otherwise 8081, or a free one.")
@click.option(
    "--per-minute",
    type=click.FloatRange(0, 6000),
    default=12,
    show_default=True,
    help="How often customers write; 0: never.",
)
@click.option("--quiet", is_flag=True, help="Do not print a line per message.")
def demo(folder: Path, port: int | None, host: str, simulator_port: int | None, per_minute: float, quiet: bool) -> None:
    """Run everything on this machine: server, PostgreSQL and four simulated channels, until Ctrl-C.

    The first start makes a workspace with an admin, a supervisor, an agent and a bot. Later starts go on with its data.
    """
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    wish = Wish(folder, host, port, simulator_port, per_minute, quiet, colour)
    try:
        asyncio.run(Demo(wish, click.echo).run())
    except* DemoError as errors:
        failure = _first(errors)
        assert isinstance(failure, DemoError)
        raise Failure(failure.reason, failure.what_to_do) from None
    except* ApiError as errors:
        raise Failure(f"the server refused: {_first(errors)}") from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
