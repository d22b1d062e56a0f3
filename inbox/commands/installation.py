"""What every command that works on the data needs: the settings, the database, and a runtime without any loops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import SettingsError

from inbox.commands.failures import Failure
from inbox.commands.reporting import faults_of
from inbox.kernel.logging import configure
from inbox.kernel.postgres import EmbeddedPostgres
from inbox.kernel.settings import Settings
from inbox.runtime import Runtime

T = TypeVar("T")


@dataclass(slots=True)
class OpenDatabase:
    """``server`` is the embedded one, if any; whoever replaces it leaves the new one here, to be stopped in the end."""

    dsn: str
    server: EmbeddedPostgres | None


def load_settings(**given: object) -> Settings:
    """From the environment; what the command line says (anything but None) goes first. Raises ``Failure``."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"INBOX_{name.upper()}: {fault}" for name, fault in faults_of(error))
        raise Failure(f"a setting is not right: {faults}", "`inbox settings` explains each of them") from None
    except SettingsError as error:  # a list that is not JSON
        raise Failure(f"a setting is not right: {error}", "`inbox settings` explains each of them") from None


def configure_logs(settings: Settings, *, level: str | None = None) -> None:
    configure(settings.log_format, level or settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells at length how it looks for its plugins


@contextmanager
def open_database(settings: Settings) -> Iterator[OpenDatabase]:
    """The database of the settings, or an embedded one, which needs the main thread. Raises ``PostgresUnavailable``."""
    if settings.database_url is not None:
        yield OpenDatabase(settings.database_url.get_secret_value(), None)
        return
    server = EmbeddedPostgres.start(settings.data_folder, binaries=settings.postgres_binaries)
    opened = OpenDatabase(server.dsn(), server)
    try:
        yield opened
    finally:
        if opened.server is not None:
            opened.server.stop()


@asynccontextmanager
async def _runtime(settings: Settings, dsn: str) -> AsyncIterator[Runtime]:
    runtime = Runtime(settings, dsn)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


def on_runtime(work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` on a runtime with no role, beside a server that may be running on the same data."""
    settings = load_settings(roles=())
    configure_logs(settings, level="warning")

    async def run(dsn: str) -> T:
        async with _runtime(settings, dsn) as runtime:
            return await work(runtime)

    with open_database(settings) as database:
        return asyncio.run(run(database.dsn))
