"""Takes a file in, piece by piece, into a temporary file: counted, hashed, its beginning kept for a look.

Invariant: nothing enters a store before its size and type were found good. Disk work happens in threads, a mebibyte at
a time, so that the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

from inbox.media.content import HEAD

_CHUNK: Final = 1024 * 1024
_ABANDONED: Final = 24 * 3600.0
_PREFIX: Final = "incoming-"


class TooMuch(Exception):
    """More bytes than the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")
        self.limit = limit


class Spooled:
    """A file that is all here. ``path`` is gone when the context of ``Spool.take`` ends, unless a store moved it."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        self._limit = limit
        self._hash = hashlib.sha256()
        self._waiting = bytearray()

    @property
    def sha256(self) -> bytes:
        return self._hash.digest()

    async def fill(self, chunks: AsyncIterator[bytes]) -> Self:
        """Raises ``TooMuch`` as soon as the limit is passed, and whatever ``chunks`` raises."""
        with self.path.open("wb") as file:
            async for chunk in chunks:
                self.size += len(chunk)
                if self.size > self._limit:
                    raise TooMuch(self._limit)
                if len(self.head) < HEAD:
                    self.head += chunk[: HEAD - len(self.head)]
                self._waiting += chunk
                if len(self._waiting) >= _CHUNK:
                    await asyncio.to_thread(self._write, file.fileno())
            await asyncio.to_thread(self._write, file.fileno(), sync=True)
        return self

    def _write(self, descriptor: int, *, sync: bool = False) -> None:
        data = memoryview(bytes(self._waiting))
        self._waiting.clear()
        self._hash.update(data)
        while data:
            data = data[os.write(descriptor, data) :]
        if sync:
            os.fsync(descriptor)


class Spool:
    """The folder of files on their way in. For a local store it has to be on the same file system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def take(self, chunks: AsyncIterator[bytes], *, limit: int) -> AsyncIterator[Spooled]:
        """Read all of ``chunks``. Raises ``TooMuch``, ``OSError`` (disk full), and what ``chunks`` raises."""
        path = await asyncio.to_thread(self._new_path)
        try:
            yield await Spooled(path, limit).fill(chunks)
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    async def sweep(self) -> None:
        """Delete what processes that died left behind."""
        await asyncio.to_thread(self._sweep)

    def _new_path(self) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir=self._folder)
        os.close(descriptor)
        return Path(name)

    def _sweep(self) -> None:
        for path in self._folder.glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()
