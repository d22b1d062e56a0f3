"""The processes of a demo: each in a session of its own, so that Ctrl-C reaches us alone, and with a pipe from us.

However we end, also by ``kill -9``, the pipe closes and the child stops (see ``--end-with-parent`` and ``tethered``).
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LOG_KEPT = 8 * 1024 * 1024
SECONDS_TO_STOP = 45.0
TAIL_LINES = 12


class Child:
    """``arguments`` say what to run, and to end when the pipe closes: see ``command`` and ``script``."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._arguments = arguments
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_KEPT:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self._environment),
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Until it ends; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    def tell_to_stop(self) -> None:
        """The second time it hurries."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def stop(self) -> None:
        """In order; by force when that takes too long."""
        if self._process is None:
            return
        self.tell_to_stop()
        try:
            await asyncio.wait_for(self._process.wait(), SECONDS_TO_STOP)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def last_words(self) -> str:
        try:
            return "\n".join(self.log_file.read_text(errors="replace").strip().splitlines()[-TAIL_LINES:])
        except OSError:
            return ""


def command(arguments: Sequence[str]) -> list[str]:
    """Our own command line in the Python that runs us; ``-P`` keeps the current folder's modules out."""
    return [sys.executable, "-P", "-m", "inbox", *arguments]


def script(path: Path, *arguments: str) -> list[str]:
    """A program of somebody else's, who knows nothing of our pipe."""
    return [sys.executable, "-P", "-m", "inbox.demo.tethered", str(path), *arguments]
