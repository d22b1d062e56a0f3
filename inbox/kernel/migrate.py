"""Brings a database to the schema of this program: forward only, one node at a time, and nothing when nothing is to do.

The history is linear. Whether work is needed is told by plain SQL and the names in the version scripts, so that an
ordinary start pays neither for a lock nor for importing Alembic.

    SchemaError
    ├── SchemaMismatch   the database is at another revision than this program (found, wanted)
    └── BrokenHistory    the version scripts do not form one line: a defect of the program
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, MetaData

log = logging.getLogger(__name__)

SCRIPTS = Path(__file__).parent.parent / "migrations"
VERSION_TABLE = "alembic_version"
LOCK = 0x696E626F78  # an advisory lock is a number: the bytes of "inbox"
LOCK_POLL = 0.1  # seconds

T = TypeVar("T")


class SchemaError(RuntimeError):
    """The schema of the database or its history is not what this program needs."""


class SchemaMismatch(SchemaError):
    """The database is at revision ``found`` (None: it is empty), this program works with ``wanted``."""

    def __init__(self, found: str | None, wanted: str | None, *, newer: bool) -> None:
        advice = (
            "it was migrated by a newer version of this program: run that version"
            if newer
            else "run `inbox migrate` and start again"
        )
        at = f"at revision {found}" if found else "empty"
        super().__init__(f"The database is {at}, this program needs revision {wanted}; {advice}.")
        self.found = found
        self.wanted = wanted
        self.newer = newer


class BrokenHistory(SchemaError):
    """The version scripts do not form one line."""


def head(scripts: Path = SCRIPTS) -> str | None:
    """The newest revision among the version scripts; None when there is none."""
    line = _history(scripts)
    return line[-1] if line else None


async def current(dsn: str) -> str | None:
    """The revision of the database; None before its first migration."""
    connection = await asyncpg.connect(dsn)
    try:
        return await _current(connection)
    finally:
        await connection.close()


async def check_schema(dsn: str, *, scripts: Path = SCRIPTS) -> None:
    """Raise :class:`SchemaMismatch` unless the database is exactly at this program's revision."""
    found, line = await current(dsn), _history(scripts)
    wanted = line[-1] if line else None
    if found != wanted:
        raise SchemaMismatch(found, wanted, newer=found is not None and found not in line)


async def upgrade(dsn: str, *, scripts: Path = SCRIPTS) -> str | None:
    """Migrate to the newest revision and return it.

    Safe when several nodes start at once: one migrates, the others wait and find it done. Everything happens in one
    transaction, unless a script asks for an ``autocommit_block``. Raises :class:`SchemaMismatch` for a newer database.
    """
    line = _history(scripts)
    wanted = line[-1] if line else None
    if await current(dsn) == wanted:
        return wanted
    async with _lock(dsn) as connection:
        found = await _current(connection)
        if found is not None and found not in line:
            raise SchemaMismatch(found, wanted, newer=True)
        if found != wanted:
            log.info("migrating the database from revision %s to %s", found, wanted)
            await _with_alembic(dsn, scripts, None, _upgrade_to_head)
    return wanted


async def revision(dsn: str, message: str, metadata: MetaData, *, scripts: Path = SCRIPTS) -> Path:
    """Write the version script that leads from the database's schema (it has to be at head) to ``metadata``."""
    await check_schema(dsn, scripts=scripts)
    number = f"{len(_history(scripts)) + 1:04d}"

    def write(config: Config) -> Path:
        from alembic import command  # noqa: PLC0415 - see _with_alembic

        script = command.revision(config, message, autogenerate=True, rev_id=number)
        if script is None or isinstance(script, list):
            raise BrokenHistory("Alembic was expected to write exactly one script")
        return Path(script.path)

    return await _with_alembic(dsn, scripts, metadata, write)


async def differences(dsn: str, metadata: MetaData, *, scripts: Path = SCRIPTS) -> list[str]:
    """What a new version script would still have to change: empty when migrations and tables agree."""

    def compare(config: Config) -> list[str]:
        from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - see _with_alembic
        from alembic.migration import MigrationContext  # noqa: PLC0415

        found: list[str] = []

        def note(rev: object, context: MigrationContext) -> list[object]:
            found.extend(str(change) for change in compare_metadata(context, metadata))
            return []

        _run_environment(config, note)
        return found

    return await _with_alembic(dsn, scripts, metadata, compare)


def _upgrade_to_head(config: Config) -> None:
    from alembic import command  # noqa: PLC0415 - see _with_alembic

    command.upgrade(config, "head")


def _run_environment(config: Config, step: Callable[..., list[object]]) -> None:
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - see _with_alembic
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, scripts, fn=step):
        scripts.run_env()


async def _with_alembic(dsn: str, scripts: Path, metadata: MetaData | None, work: Callable[[Config], T]) -> T:
    """Run synchronous Alembic work on a connection of its own.

    Imported here and not at the top: a start with nothing to migrate would pay a quarter of a second for it.
    """
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["metadata"] = metadata

    def with_connection(connection: Connection) -> T:
        config.attributes["connection"] = connection
        return work(config)

    dialect = "postgresql+asyncpg://"
    engine = create_async_engine(dialect, async_creator=lambda: asyncpg.connect(dsn), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(with_connection)
    finally:
        await engine.dispose()


@asynccontextmanager
async def _lock(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Hold the migration lock on a session of its own; a node that dies gives it up with its connection.

    Waiting is polling: a session that waits *inside* ``pg_advisory_lock`` holds a snapshot, for which a
    ``CREATE INDEX CONCURRENTLY`` of the node that migrates would wait in turn.
    """
    connection = await asyncpg.connect(dsn)
    try:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):  # noqa: ASYNC110
            await asyncio.sleep(LOCK_POLL)
        yield connection
    finally:
        await connection.close()


async def _current(connection: asyncpg.Connection[asyncpg.Record]) -> str | None:
    if await connection.fetchval("SELECT to_regclass($1)", VERSION_TABLE) is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")
    return found


def _history(scripts: Path) -> list[str]:
    """The revisions from the first to the newest, read from the text of the scripts."""
    follower: dict[str | None, str] = {}
    for script in sorted((scripts / "versions").glob("[!_]*.py")):
        text = script.read_text(encoding="utf-8")
        own, before = _assigned(text, "revision"), _assigned(text, "down_revision")
        if own is None:
            raise BrokenHistory(f"{script.name} does not name its revision")
        if before in follower:
            raise BrokenHistory(f"{own} and {follower[before]} both follow {before}: rebase one of them")
        follower[before] = own
    line: list[str] = []
    while (after := follower.get(line[-1] if line else None)) is not None:
        line.append(after)
    if len(line) != len(follower):
        raise BrokenHistory(f"{sorted(set(follower.values()) - set(line))} cannot be reached from the first revision")
    return line


def _assigned(text: str, name: str) -> str | None:
    found = re.search(rf"""^{name}\b[^=\n]*= *["']([^"']+)["']""", text, re.MULTILINE)
    return found[1] if found else None
