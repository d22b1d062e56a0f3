"""A client that shows how the stream is meant to be read; ``inbox watch``, tests and benchmarks use it.

It keeps the cursor, connects again by itself and hands out every event once and in order. What it cannot repair itself
it raises: ``Reset`` (fetch a snapshot, then ``restart``), ``Closed`` (it would end the same way), ``Gap`` (a bug).

    StreamError
    ├── Reset    the cursor is of no use any more (epoch, position, reason)
    ├── Closed   the server ended the stream for good (code, reason)
    └── Gap      an event is missing: never seen, checked always
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from inbox.realtime.closing import CLOSINGS, CloseCode

FIRST_BACK_OFF: Final = 0.1
LONGEST_BACK_OFF: Final = 10.0
MOST_REFUSED_TICKETS: Final = 3
MOST_FRAME_BYTES: Final = 16 * 1024 * 1024
CLOSE_SECONDS: Final = 1.0
STABLE_SECONDS: Final = 10.0
"""A connection that lived so long was none of the failures in a row; one that only got as far as its frames was."""

GetTicket = Callable[[], Awaitable[str]]


class StreamError(Exception):
    """The stream cannot simply go on."""


class Reset(StreamError):
    def __init__(self, epoch: UUID, position: int, reason: str) -> None:
        super().__init__(f"the cursor cannot be resumed: {reason}")
        self.epoch = epoch
        self.position = position
        self.reason = reason


class Closed(StreamError):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the stream was closed with {code} {reason}")
        self.code = code
        self.reason = reason


class Gap(StreamError):
    def __init__(self, cursor: int, previous: int) -> None:
        super().__init__(f"at position {cursor}, the next event follows {previous}")


class CommandRefused(Exception):
    """The server answered a command with a problem document."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail")))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ClientEvent:
    position: int
    kind: str
    at: str
    conversation_id: UUID | None
    data: Mapping[str, Any]


class StreamClient:
    """``url`` is ``ws://…/v1/stream``. ``wanted`` is a filter as on the wire; without a cursor, from now on."""

    def __init__(
        self,
        url: str,
        get_ticket: GetTicket,
        *,
        epoch: UUID | None = None,
        after: int | None = None,
        wanted: Mapping[str, object] | None = None,
        on_notice: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.epoch = epoch
        self.position = after
        self.reconnects = 0
        self._url = url
        self._get_ticket = get_ticket
        self._wanted = wanted
        self._on_notice = on_notice
        self._socket: ClientConnection | None = None
        self._answers: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._commands = 0

    def restart(self, epoch: UUID, position: int) -> None:
        """Go on from a snapshot, after ``Reset``."""
        self.epoch, self.position = epoch, position

    async def events(self) -> AsyncGenerator[ClientEvent]:
        """For ever. Raises ``StreamError``."""
        failures = refused = 0
        while True:
            connected_at: float | None = None
            try:
                async with connect(
                    self._url,
                    subprotocols=["inbox.v1", f"ticket.{await self._get_ticket()}"],  # type: ignore[list-item]
                    compression=None,
                    max_size=MOST_FRAME_BYTES,
                    close_timeout=CLOSE_SECONDS,  # with unread frames it would wait for this long, for nothing
                    proxy=None,
                ) as socket:
                    connected_at = time.monotonic()
                    self._socket = socket
                    await self._say_resume(socket)
                    async for text in socket:
                        refused = 0
                        if (event := self._take(orjson.loads(text))) is not None:
                            yield event
                    self._judge(socket.close_code, socket.close_reason)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
                refused += code == CloseCode.TICKET_INVALID
                self._judge(code, closed.rcvd.reason if closed.rcvd else "", refused)
            except (OSError, TimeoutError, InvalidHandshake, InvalidMessage):
                pass  # the server is away, or not a stream yet: try again
            finally:
                self._lost()
            stable = connected_at is not None and time.monotonic() - connected_at >= STABLE_SECONDS
            failures = 1 if stable else failures + 1
            self.reconnects += 1
            await asyncio.sleep(_back_off(failures))

    async def command(self, kind: str, args: Mapping[str, object]) -> Mapping[str, Any]:
        """Only while ``events`` is being read. Raises ``CommandRefused``; ``ConnectionError``: fate unknown."""
        if self._socket is None:
            raise ConnectionError("not connected")
        self._commands += 1
        command_id = f"c{self._commands}"
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[command_id] = future
        await self.say({"type": kind, "id": command_id, "args": args})
        return await future

    async def say(self, message: Mapping[str, object]) -> None:
        """Any message of the protocol: typing, viewing, ping, filter."""
        if self._socket is None:
            raise ConnectionError("not connected")
        await self._socket.send(orjson.dumps(message).decode())

    async def _say_resume(self, socket: ClientConnection) -> None:
        epoch = str(self.epoch) if self.epoch else None
        message = {"type": "resume", "epoch": epoch, "after": self.position, "filter": self._wanted}
        await socket.send(orjson.dumps(message).decode())

    def _take(self, frame: Mapping[str, Any]) -> ClientEvent | None:
        match frame["type"]:
            case "event":
                return self._event(frame)
            case "resumed":
                self.epoch = UUID(frame["epoch"])
                self.position = frame["after"] if self.position is None else self.position
            case "heartbeat" | "filtered":
                self.position = max(self.position or 0, frame["position"])
            case "reset":
                raise Reset(UUID(frame["epoch"]), frame["position"], frame["reason"])
            case "answer":
                self._answered(frame)
            case _:
                if self._on_notice is not None:
                    self._on_notice(frame)
        return None

    def _event(self, frame: Mapping[str, Any]) -> ClientEvent | None:
        cursor = self.position or 0
        if frame["position"] <= cursor:
            return None
        if frame["previous"] > cursor:
            raise Gap(cursor, frame["previous"])
        self.position = frame["position"]
        conversation = frame["conversation_id"]
        return ClientEvent(
            frame["position"], frame["kind"], frame["at"], UUID(conversation) if conversation else None, frame["data"]
        )

    def _answered(self, frame: Mapping[str, Any]) -> None:
        future = self._answers.pop(frame["id"], None)
        if future is None or future.done():
            return
        if "error" in frame:
            future.set_exception(CommandRefused(frame["error"]))
        else:
            future.set_result(frame["result"])

    def _judge(self, code: int | None, reason: str | None, refused: int = 0) -> None:
        """Raise when the table of closings says that coming back is of no use."""
        if code is None or code not in CloseCode.__members__.values():
            return
        closing = CLOSINGS[CloseCode(code)]
        if closing.next == "stop" or refused >= MOST_REFUSED_TICKETS:
            raise Closed(code, reason or closing.name)

    def _lost(self) -> None:
        self._socket = None
        for future in self._answers.values():
            if not future.done():
                future.set_exception(ConnectionError("the socket was lost before the answer came"))
        self._answers.clear()


def _back_off(failures: int) -> float:
    """Full jitter: a thousand clients that lost one node do not come back in one instant."""
    return random.uniform(0, min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** min(failures, 10)))  # noqa: S311
