"""`inbox migrate`: bring the database to this program's schema, look whether it is, or write the next revision."""

from __future__ import annotations

import asyncio

import click

from inbox.commands.failures import Failure
from inbox.commands.installation import configure_logs, load_settings, open_database
from inbox.commands.reporting import reported
from inbox.kernel import migrate as schema
from inbox.tables import metadata


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 when the schema is not this program's.")
@click.option("--revision", "message", metavar="MESSAGE", help="For developers: write the next version script.")
@reported
def migrate(check: bool, message: str | None) -> None:
    """Migrate the database to the schema of this program. Safe to run on several nodes at once."""
    if check and message is not None:
        raise click.UsageError("--check and --revision do not go together")
    settings = load_settings()
    configure_logs(settings)
    with open_database(settings) as database:
        if message is not None:
            click.echo(f"wrote {asyncio.run(schema.revision(database.dsn, message, metadata))}")
        elif check:
            asyncio.run(_check(database.dsn))
        else:
            click.echo(f"the database is at revision {asyncio.run(schema.upgrade(database.dsn))}")


async def _check(dsn: str) -> None:
    await schema.check_schema(dsn)
    if differences := await schema.differences(dsn, metadata):
        raise Failure(
            "the tables of this program differ from what its version scripts make: " + "; ".join(differences),
            "write the missing one with `inbox migrate --revision MESSAGE`",
        )
    click.echo(f"the database is at revision {schema.head()}, as this program needs it")
