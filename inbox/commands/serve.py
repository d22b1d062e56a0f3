"""`inbox serve`: the server, with an embedded PostgreSQL unless a database is set."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from inbox.cli import Start
from inbox.commands.installation import configure_logs, load_settings, open_database
from inbox.commands.listening import listen
from inbox.commands.parent import end_with_parent
from inbox.commands.reporting import reported
from inbox.commands.serving import Service


@click.command()
@click.option("--host", help="Address to listen on. [INBOX_HOST]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one. [INBOX_PORT]")
@click.option("--roles", help="What this process does: api, worker or both, with a comma. [INBOX_ROLES]")
@click.option("--no-migrate", is_flag=True, help="Refuse to start on an older schema instead of migrating it.")
@click.option("--end-with-parent", "with_parent", is_flag=True, help="Stop when standard input is closed.")
@click.pass_obj
@reported
def serve(
    start: Start, host: str | None, port: int | None, roles: str | None, no_migrate: bool, with_parent: bool
) -> None:
    """Run the server until Ctrl-C.

    It finishes what it accepted; a second Ctrl-C hurries. Exit code 0 after an orderly stop, 1 when it cannot start,
    130 after a hurried stop.
    """
    given = None if roles is None else tuple(role.strip() for role in roles.split(","))
    settings = load_settings(host=host, port=port, roles=given)
    configure_logs(settings)
    signal.signal(signal.SIGTERM, _terminated)
    if with_parent:
        end_with_parent()
    with listen(settings.host, settings.port) as listener, open_database(settings) as database:
        code = Service(settings, database, listener, started=start.at, migrate=not no_migrate).run()
    sys.exit(code)


def _terminated(number: int, frame: FrameType | None) -> None:
    """Before the server runs: leave through every ``finally``, so that PostgreSQL is stopped in order."""
    raise SystemExit(128 + number)
