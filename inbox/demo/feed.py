"""The lines that a running demo prints, read by long polls: so nobody appears to be online who is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from inbox.demo.api import Api
from inbox.demo.board import Board
from inbox.demo.errors import Away, Refused
from inbox.demo.lines import rendered
from inbox.demo.lookout import complete, load_board
from inbox.realtime.client import ClientEvent

WAIT_SECONDS = "25"
PAUSE = 1.0


class Feed:
    def __init__(self, api: Api, say: Callable[[str], None], *, colour: bool = False) -> None:
        self._api = api
        self._say = say
        self._colour = colour
        self._board = Board()

    async def run(self) -> None:
        """For ever, over restarts of the server."""
        while True:
            page = await self._again(lambda: load_board(self._api, self._board))
            epoch, position = str(page.epoch), page.position
            try:
                while True:
                    position = await self._read(epoch, position)
            except Refused as refused:
                if refused.status == 401:
                    raise
                # The log was begun anew, or goes on without us: look at everything again.

    async def _read(self, epoch: str, position: int) -> int:
        query = {"epoch": epoch, "after": str(position), "wait": WAIT_SECONDS}
        page = await self._again(lambda: self._api.get("/v1/events", query))
        for each in page["events"]:
            conversation = each["conversation_id"]
            event = ClientEvent(
                each["position"], each["kind"], each["at"], UUID(conversation) if conversation else None, each["data"]
            )
            await complete(self._api, self._board, event)
            for line in self._board.apply(event):
                self._say(rendered(line, colour=self._colour))
        return int(page["position"])

    async def _again(self, call: Callable[[], Any]) -> Any:
        while True:
            try:
                return await call()
            except Away:
                await asyncio.sleep(PAUSE)
