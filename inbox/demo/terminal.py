"""Standard input and output, shared by what is typed and what comes in: neither ever breaks into the other's line."""

from __future__ import annotations

import asyncio
import codecs
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from inbox.demo.editor import Editor, EndOfInput

if sys.platform != "win32":
    import termios
    import tty

READ = 65536
BRACKETED_PASTE_ON, BRACKETED_PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
ERASE_LINE = "\r\x1b[K"


class Terminal:
    """``interactive``: both ends are terminals. Otherwise lines are read and written as they are."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty() and sys.platform != "win32"
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.prompt = "> "
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._editor = Editor()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._on_typing: Callable[[bool], None] = lambda typing: None

    @contextmanager
    def reading(self, on_typing: Callable[[bool], None]) -> Iterator[None]:
        """Read until the block ends. ``on_typing`` hears whether there is something on the line, at every key."""
        self._on_typing = on_typing
        loop = asyncio.get_running_loop()
        descriptor = sys.stdin.fileno()
        with self._key_by_key(descriptor):
            try:
                loop.add_reader(descriptor, self._read, loop, descriptor)
            except PermissionError:  # a regular file cannot be waited for, and has no need to be
                self._take(os.read(descriptor, READ))
                self._lines.put_nowait(None)
                yield
                return
            try:
                yield
            finally:
                loop.remove_reader(descriptor)

    async def line(self) -> str | None:
        """The next line that was entered; ``None``: there will be no more."""
        return await self._lines.get()

    def say(self, text: str) -> None:
        """A whole line above the one that is being typed."""
        if not self.interactive:
            print(text, flush=True)  # noqa: T201 - this is the terminal
            return
        sys.stdout.write(f"{ERASE_LINE}{text}\n")
        self.show_prompt()

    def show_prompt(self) -> None:
        if self.interactive:
            columns = shutil.get_terminal_size().columns - len(self.prompt) - 1
            sys.stdout.write(f"{ERASE_LINE}{self.prompt}{self._editor.shown(columns)}")
            sys.stdout.flush()

    @contextmanager
    def _key_by_key(self, descriptor: int) -> Iterator[None]:
        if not self.interactive:
            yield
            return
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        sys.stdout.write(BRACKETED_PASTE_ON)
        self.show_prompt()
        try:
            yield
        finally:
            sys.stdout.write(f"{ERASE_LINE}{BRACKETED_PASTE_OFF}")
            sys.stdout.flush()
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    def _read(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        data = os.read(descriptor, READ)
        if not data:
            loop.remove_reader(descriptor)
            self._lines.put_nowait(None)
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        if not self.interactive:
            *lines, self._pending = (self._pending + text).split("\n")
            for line in lines:
                self._lines.put_nowait(line.strip())
            return
        try:
            for line in self._editor.feed(text):
                self._lines.put_nowait(line)
        except EndOfInput:
            self._lines.put_nowait(None)
        self._on_typing(bool(self._editor.text) and not self._editor.text.startswith("/"))
        self.show_prompt()
