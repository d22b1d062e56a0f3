"""`inbox simulator`: the providers' side as a program of its own."""

from __future__ import annotations

import click

from channels.simulator.server import run
from inbox.commands.listening import listen
from inbox.commands.parent import end_with_parent


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8081, show_default=True)
@click.option("--base-url", help="How the server reaches it, when that is another address.")
@click.option("--seed", type=int, default=0, show_default=True, help="Repeats the same mishaps.")
@click.option("--end-with-parent", "with_parent", is_flag=True, help="Stop when standard input is closed.")
def simulator(host: str, port: int, base_url: str | None, seed: int, with_parent: bool) -> None:
    """Play WhatsApp, Messenger, Instagram and Telegram on one local port, until Ctrl-C.

    Connect a channel with the API base that this prints; POST /control/… says what customers do.
    """
    with listen(host, port):
        pass  # a port in use is said in one line; the simulator binds it again for itself
    if with_parent:
        end_with_parent()
    own = base_url or f"http://{host}:{port}"
    click.echo(f"simulator at {own}\n  api_base for WhatsApp, Messenger and Instagram: {own}/graph")
    click.echo(f"  api_base for Telegram: {own}")
    run(host, port, base_url=base_url, seed=seed, log_level="warning")
