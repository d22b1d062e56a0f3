"""`inbox say`: be a customer of the demo."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import click

from channels.simulator.client import SimulatorClient, SimulatorError
from channels.types import JsonObject
from inbox.commands.access import folder_option, from_outside
from inbox.demo.customers import customer_named
from inbox.demo.errors import DemoError
from inbox.demo.lines import safe
from inbox.demo.record import get_record

LOOK_SECONDS = 0.2
KINDS = ("text", "image", "video", "voice", "document", "sticker", "location", "contact")


@click.command()
@click.argument("channel", metavar="CHANNEL")
@click.argument("text", required=False)
@click.option(
    "--as", "name", default="Alex Visitor", show_default=True, help="Who speaks; the same name is the same person."
)
@click.option(
    "--kind", type=click.Choice(KINDS), default="text", show_default=True, help="With a file: TEXT is its caption."
)
@click.option("--image", is_flag=True, help="Short for --kind image.")
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(0, 3600),
    default=15,
    show_default=True,
    help="How long to wait for an answer, in seconds.",
)
@folder_option
def say(channel: str, text: str | None, name: str, kind: str, image: bool, seconds: float, folder: Path) -> None:
    """Say something as a customer. CHANNEL is whatsapp, messenger, instagram or telegram, or a channel's name."""
    kind = "image" if image else kind
    if kind == "text" and not text:
        raise click.UsageError("say what? Give a TEXT, or a --kind")

    async def run() -> None:
        record = get_record(folder)
        account = record.channel(channel)
        customer = customer_named(account.kind, name)
        async with SimulatorClient(record.simulator_url) as simulator:
            since = time.time()
            try:
                said = await simulator.say(account.account_id, customer, text, kind=kind)
                click.echo(f"{name} → {account.name} ({account.kind}): {safe(text or f'[{kind}]')}")
                await _listen(simulator, account.account_id, str(said["customer"]), name, since, seconds)
            except SimulatorError as error:
                raise DemoError(f"the simulator refused: {error}") from error
            except (aiohttp.ClientError, OSError) as error:
                raise DemoError(
                    f"the simulator at {record.simulator_url} does not answer", "start the demo: `make demo`"
                ) from error

    from_outside(run)


async def _listen(
    simulator: SimulatorClient, account_id: str, customer: str, name: str, since: float, seconds: float
) -> None:
    """Print the first answer, and what comes with it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        new = [each for each in await simulator.inbox(account_id, customer) if _time_of(each) >= since]
        for message in new:
            words = message["text"] or f"[{message['kind']}]"
            click.echo(f"{name} ← {safe(str(words))}")
        if new:
            return


def _time_of(message: JsonObject) -> float:
    at = message["at"]
    return at if isinstance(at, float) else 0.0
