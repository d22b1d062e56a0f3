"""Where the bytes are. A store knows keys and bytes only; which files there are and whose, the table ``media`` says.

Invariant: under a key there is a whole file or none, also after a crash or a power cut. Each file has a key of its own
(``key_of``), so that deleting one can never take bytes from another, and a fetch that is repeated overwrites itself.

    StoreError           the store failed; try again
    └── NoSuchObject     nothing is kept under this key
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, Protocol, TypeVar
from uuid import UUID

P = ParamSpec("P")
T = TypeVar("T")

READ_CHUNK: Final = 256 * 1024
_KEY: Final = re.compile(r"[0-9a-f-]{36}/[0-9a-f]{2}/[0-9a-f-]{36}")


class StoreError(Exception):
    """The store cannot do it now. The text names no path, bucket or credential."""


class NoSuchObject(StoreError):
    """Nothing is kept under this key."""


class Store(Protocol):
    async def put(self, key: str, path: Path) -> None:
        """Keep the file at ``path``, which may be moved away. Replaces what was there. Raises ``StoreError``."""
        ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``end``. Raises ``NoSuchObject``, ``StoreError``."""
        ...

    async def delete(self, key: str) -> None:
        """Nothing is left under the key, whether there was something or not. Raises ``StoreError``."""
        ...


def key_of(workspace_id: UUID, media_id: UUID) -> str:
    """The last two digits are random (UUIDv7), so that folders fill evenly."""
    name = str(media_id)
    return f"{workspace_id}/{name[-2:]}/{name}"


class LocalStore:
    """A folder: file made durable, then renamed into place, then the folder made durable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, path: Path) -> None:
        await _in_thread(self._put, self._path(key), path)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        file = await _in_thread(self._open, self._path(key), start)
        left = None if end is None else end - start
        try:
            while left is None or left > 0:
                chunk = await _in_thread(file.read, READ_CHUNK if left is None else min(READ_CHUNK, left))
                if not chunk:
                    break
                if left is not None:
                    left -= len(chunk)
                yield chunk
        finally:
            file.close()

    async def delete(self, key: str) -> None:
        await _in_thread(self._delete, self._path(key))

    def _path(self, key: str) -> Path:
        # Keys are ours; checked all the same, for one with ".." in it would lead out of the folder.
        if not _KEY.fullmatch(key):
            raise StoreError("not a key of this store")
        return self._folder / key

    @staticmethod
    def _put(target: Path, path: Path) -> None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(path)
        os.replace(path, target)
        for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
            _sync(folder)

    @staticmethod
    def _open(path: Path, start: int) -> BinaryIO:
        file = path.open("rb")
        file.seek(start)
        return file

    @staticmethod
    def _delete(path: Path) -> None:
        with suppress(FileNotFoundError):
            path.unlink()
            _sync(path.parent)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Disk errors as ours, without the path they name."""
    failure: StoreError
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except FileNotFoundError:
        failure = NoSuchObject("the file is not in the store")
    except OSError as error:
        failure = StoreError(f"the store's folder: {errno.errorcode.get(error.errno or 0, type(error).__name__)}")
    raise failure
