"""A small live agent over the real WebSocket: sees everything as it happens, picks a conversation, answers.

Events come from ``StreamClient``: each once and in order, over restarts of the server. What cannot be resumed is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from inbox.demo.api import Api
from inbox.demo.board import Board, Entry
from inbox.demo.commands import Commands
from inbox.demo.errors import ApiError, Away, Refused
from inbox.demo.lines import Line, rendered
from inbox.demo.lookout import complete, load_board
from inbox.demo.terminal import Terminal
from inbox.realtime.client import ClientEvent, Reset, StreamClient

TYPING_AGAIN = 4.0
"""Seconds after which a sign of typing is repeated, while something is on the line."""
SHOWN_AT_START = 12
PAUSE = 1.0


class Link:
    """The stream with its state in words: connected, lost, connected again."""

    def __init__(self, api: Api, on_frame: Callable[[Mapping[str, Any]], None], say: Callable[[str], None]) -> None:
        self._api = api
        self._on_frame = on_frame
        self._say = say
        self._connected = False
        self._lost = False
        self.client = StreamClient(api.stream_url, self._ticket, on_notice=self._heard)

    async def _ticket(self) -> str:
        if self._connected:
            self._connected = False
            self._lost = True
            self._say("Connection lost; trying again …")
        try:
            return await self._api.ticket()
        except Away:
            if not self._lost:
                self._lost = True
                self._say("The server does not answer; trying again …")
            raise

    def _heard(self, frame: Mapping[str, Any]) -> None:
        if frame["type"] == "hello":
            self._connected = True
            if self._lost:
                self._lost = False
                self._say("Connected again; nothing was missed.")
        self._on_frame(frame)


class Watching:
    def __init__(self, api: Api, me: UUID, terminal: Terminal) -> None:
        self._api = api
        self._terminal = terminal
        self._board = Board(me=me)
        self._link = Link(api, self._frame, self._note)
        self._commands = Commands(api, self._board, self._link.client, self._print, self._note, self._opened)
        self._typing_since: float | None = None
        self._typing_tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the user leaves. Raises ``Closed`` and ``ApiError`` for what does not repair itself."""
        page = await load_board(self._api, self._board)
        self._link.client.restart(page.epoch, page.position)
        self._commands.show_list(SHOWN_AT_START)
        self._note("Number or /open N: pick a conversation.  Text: answer it.  /help: the rest.  /quit")
        with self._terminal.reading(self._typed):
            stream = asyncio.create_task(self._stream(), name="stream")
            lines = asyncio.create_task(self._obey(), name="lines")
            done, waiting = await asyncio.wait([stream, lines], return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for task in done:
                task.result()

    async def _stream(self) -> None:
        while True:
            try:
                async for event in self._link.client.events():
                    await self._show(event)
            except Reset as reset:
                self._note(f"The server cannot replay what happened meanwhile ({reset.reason}). This is how it stands:")
                page = await load_board(self._api, self._board)
                self._link.client.restart(page.epoch, page.position)
                self._commands.show_list(SHOWN_AT_START)

    async def _show(self, event: ClientEvent) -> None:
        while True:
            try:
                await complete(self._api, self._board, event)
                break
            except Away:
                await asyncio.sleep(PAUSE)
        for line in self._board.apply(event):
            self._print(line)

    def _frame(self, frame: Mapping[str, Any]) -> None:
        for line in self._board.notice(frame):
            self._print(line)

    async def _obey(self) -> None:
        while True:
            line = await self._terminal.line()
            if line is None:
                if self._terminal.interactive:
                    return
                await asyncio.Event().wait()  # the script has said all; we go on watching
            elif line and not await self._commands.run(line):
                return

    # --- the terminal -------------------------------------------------------------------------------------------------

    def _print(self, line: Line) -> None:
        self._terminal.say(rendered(line, colour=self._terminal.colour))

    def _note(self, text: str) -> None:
        self._terminal.say(f"\x1b[2m{text}\x1b[0m" if self._terminal.colour else text)

    def _opened(self, entry: Entry | None) -> None:
        name = "" if entry is None else f"[{entry.number}] {self._board.name_of(entry.conversation)} "
        self._terminal.prompt = f"{name}> "
        self._terminal.show_prompt()

    def _typed(self, typing: bool) -> None:
        """Tell the other agents and, where the channel can, the customer that an answer is being written."""
        entry = self._commands.open_entry
        now = asyncio.get_running_loop().time()
        if entry is None or (not typing and self._typing_since is None):
            return
        if typing and self._typing_since is not None and now - self._typing_since < TYPING_AGAIN:
            return
        self._typing_since = now if typing else None
        task = asyncio.create_task(self._tell_typing(entry.conversation.id, typing))
        self._typing_tasks.add(task)
        task.add_done_callback(self._typing_tasks.discard)

    async def _tell_typing(self, conversation_id: UUID, typing: bool) -> None:
        try:
            await self._link.client.say({"type": "typing", "conversation_id": str(conversation_id), "on": typing})
            if typing:
                await self._api.post(f"/v1/conversations/{conversation_id}/typing")
        except (OSError, ApiError):
            pass  # best effort, as it is everywhere


async def stream_json(api: Api, say: Callable[[str], None], *, once: bool, cursor: tuple[UUID, int] | None) -> None:
    """Events as JSON lines. The first line says from where; ``once`` ends when what there is has been printed."""
    if cursor is None:
        page = await api.get("/v1/conversations", {"limit": "1"})
        cursor = UUID(page["epoch"]), page["position"]
    epoch, position = cursor
    say(orjson.dumps({"kind": "start", "epoch": str(epoch), "position": position}).decode())
    if once:
        await _print_rest(api, say, str(epoch), position)
        return
    client = StreamClient(api.stream_url, api.ticket, epoch=epoch, after=position)
    async for event in client.events():
        say(orjson.dumps(event).decode())


async def _print_rest(api: Api, say: Callable[[str], None], epoch: str, position: int) -> None:
    while True:
        try:
            page = await api.get("/v1/events", {"epoch": epoch, "after": str(position)})
        except Refused as refused:
            raise ApiError(f"the cursor cannot be resumed: {refused}") from refused
        for event in page["events"]:
            shown = {name: event[name] for name in ("position", "kind", "at", "conversation_id", "data")}
            say(orjson.dumps(shown).decode())
        if not page["events"]:
            return
        position = page["position"]
