"""`inbox watch`: be an agent, in a terminal."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import click

from inbox.commands.access import enter, folder_option, from_outside
from inbox.demo.api import Api
from inbox.demo.errors import ApiError
from inbox.demo.record import Role, get_record
from inbox.demo.terminal import Terminal
from inbox.demo.watching import Watching, stream_json


class Cursor(click.ParamType[tuple[UUID, int]]):
    name = "EPOCH:POSITION"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[UUID, int]:
        epoch, _, position = str(value).rpartition(":")
        try:
            return UUID(epoch), int(position)
        except ValueError:
            self.fail(f"{value} is not an epoch and a position with a colon between them", param, ctx)


@click.command()
@click.option("--url", help="Of the server, when it is not the demo's.")
@click.option("--token", envvar="INBOX_TOKEN", help="An API token, instead of the demo's log-in. [INBOX_TOKEN]")
@click.option("--as", "role", type=click.Choice(["admin", "supervisor", "agent"]), default="agent", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON; read nothing.")
@click.option("--once", is_flag=True, help="With --json: end when everything up to now is printed.")
@click.option("--after", type=Cursor(), help="With --json: begin behind this position, as an earlier run printed it.")
@folder_option
def watch(
    url: str | None,
    token: str | None,
    role: Role,
    as_json: bool,
    once: bool,
    after: tuple[UUID, int] | None,
    folder: Path,
) -> None:
    """Watch the inbox live and answer: messages, receipts, who is typing, who is online.

    Pick a conversation by its number and type. After a restart of the server it goes on where it was.
    """
    if (once or after is not None) and not as_json:
        raise click.UsageError("--once and --after go with --json")
    if url is not None and token is None:
        raise click.UsageError("--url needs --token")

    async def run() -> None:
        async with Api(url or get_record(folder).url, token) as api:
            me = await enter(api, folder, role)
            try:
                if as_json:
                    await stream_json(api, _say, once=once, cursor=after)
                else:
                    await Watching(api, me, Terminal()).run()
            finally:
                if token is None:
                    with suppress(ApiError):  # the server may be gone already
                        await api.log_out()

    from_outside(run)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
