"""PostgreSQL for tests: one throw-away server per session, a migrated template, a clone of it per test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import psutil

from inbox.kernel.postgres import EmbeddedPostgres

FOLDER_PREFIX = "inbox-test-"
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made below it
MEMORY_NEEDED = 1024**3


class Cluster:
    """Makes and drops databases on one server. ``dsn`` is any database of it, for a role that may create databases."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._prefix = f"inbox_test_{os.getpid()}"
        self._numbers = count(1)

    def dsn(self, database: str) -> str:
        return urlunsplit(urlsplit(self._dsn)._replace(path="/" + quote(database, safe="")))

    async def create(self, template: str | None = None) -> str:
        """The name of a new database: empty, or a file-level copy of ``template``."""
        name = f"{self._prefix}_{next(self._numbers)}"
        source = f"{template} STRATEGY file_copy" if template else "template0"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        return name

    async def create_template(self, migrate: Callable[[str], Awaitable[object]]) -> str:
        name = await self.create()
        await migrate(self.dsn(name))
        await self._execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")  # a clone needs its source unused
        return name

    async def drop(self, name: str) -> None:
        await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _execute(self, command: str) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute(command)
        finally:
            await connection.close()


@contextmanager
def own_folder(base: Path | None = None) -> Iterator[Path]:
    """A temporary folder that other accounts can pass through, for root's server runs as one of them."""
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=base))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def throwaway_server() -> Iterator[EmbeddedPostgres]:
    """A server that promises nothing after a crash: in memory where there is room."""
    base = MEMORY if _has_room(MEMORY) else Path(tempfile.gettempdir())
    _remove_left_over(base)
    with own_folder(base) as folder, EmbeddedPostgres.start(folder, durable=False) as server:
        yield server


def crash(server: EmbeddedPostgres) -> None:
    """Kill every process of the server at once, as a power cut would, without any chance to write."""
    main = psutil.Process(server.pid)
    processes = [main, *main.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes[1:], timeout=10)
    if server.running:
        main.wait(10)


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > MEMORY_NEEDED


def _remove_left_over(base: Path) -> None:
    """Folders of test sessions that were killed: memory does not empty itself."""
    for folder in base.glob(f"{FOLDER_PREFIX}*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
