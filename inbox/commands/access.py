"""How `inbox watch` and `inbox say` find the installation: by what is said, or by the demo's record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from inbox.commands.failures import Failure
from inbox.demo.api import Api
from inbox.demo.errors import ApiError, DemoError, Refused
from inbox.demo.record import FOLDER, Role, get_record
from inbox.realtime.client import StreamError

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    envvar="INBOX_DEMO_FOLDER",
    show_default=True,
    help="Of the demo.",
)


async def enter(api: Api, folder: Path, role: Role) -> UUID:
    """Log in as one of the demo's people, unless there is a token. Who we are."""
    if api.token is not None:
        return UUID((await api.get("/v1/me"))["agent"]["id"])
    person = get_record(folder).person(role)
    try:
        return await api.log_in(person.email, person.password)
    except Refused as refused:
        raise DemoError(f"{person.email} was not let in: {refused}") from refused


def from_outside(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it; what goes wrong is said in one line, and Ctrl-C is a way to leave."""
    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except DemoError as error:
        raise Failure(error.reason, error.what_to_do) from None
    except (ApiError, StreamError) as error:
        raise Failure(str(error)) from None
