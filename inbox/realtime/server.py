"""The two ways from the hub to a socket: uvicorn's transport directly, or plain ASGI messages on any other server.

``StreamProtocol`` is named to uvicorn by import path (see ``UVICORN_OPTIONS``). The protocol state stays uvicorn's and
websockets': ready frames are whole, unmasked and uncompressed, so they may pass beside it, between any two of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from inbox.realtime.closing import CLOSINGS, CloseCode
from inbox.realtime.protocol import payloads_of
from inbox.realtime.session import Outlet, Quota

EXTENSION: Final = "inbox.outlet"
CLOSE_SECONDS: Final = 5.0
MOST_MESSAGE_BYTES: Final = 256 * 1024
UVICORN_OPTIONS: Final[dict[str, Any]] = {
    "ws": "inbox.realtime.server:StreamProtocol",
    "ws_per_message_deflate": False,
    "ws_max_size": MOST_MESSAGE_BYTES,
}
"""For ``uvicorn.Config``. Compression would halve the rate and double the memory of a socket."""


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol that is an ``Outlet`` too, which the application finds in its scope's extensions."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._quota = Quota()

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = self
        try:
            await super().run_asgi()
        finally:
            extensions.pop(EXTENSION, None)  # the two would keep each other alive until a collection

    def offer(self, frames: bytes, limit: int) -> bool:
        transport = self.transport
        if self.close_sent or self.disconnected or transport.is_closing():
            return True
        if not self._quota.admits(transport.get_write_buffer_size(), len(frames), limit):
            return False
        transport.write(frames)
        return True

    def backlog(self) -> int:
        return self.transport.get_write_buffer_size()

    async def drained(self) -> None:
        if self.writable.is_set():
            await asyncio.sleep(0)
        else:
            await self.writable.wait()

    def hang_up(self, code: CloseCode, detail: str = "") -> None:
        """As uvicorn closes, but without waiting for a slow reader; one who never answers is cut off."""
        if self.close_sent or self.disconnected or self.transport.is_closing() or not self.handshake_complete:
            return
        reason = _reason(code, detail)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(code), "reason": reason})
        self.conn.send_close(int(code), reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def shutdown(self) -> None:
        """The server stops: say so in our own words, so that the client resumes elsewhere."""
        self.hang_up(CloseCode.GOING_AWAY)
        super().shutdown()


class AsgiOutlet:
    """A bounded queue before ``websocket.send``, emptied by a task of its own."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._quota = Quota()
        self._closing: tuple[CloseCode, str] | None = None
        self._something = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task = asyncio.create_task(self._send(), name="asgi outlet")

    def offer(self, frames: bytes, limit: int) -> bool:
        if self._closing is not None:
            return True
        if not self._quota.admits(self._bytes, len(frames), limit):
            return False
        self._waiting.append(frames)
        self._bytes += len(frames)
        self._empty.clear()
        self._something.set()
        return True

    def backlog(self) -> int:
        return self._bytes

    async def drained(self) -> None:
        await self._empty.wait()

    def hang_up(self, code: CloseCode, detail: str = "") -> None:
        if self._closing is None:
            self._closing = (code, detail)
            self._something.set()

    async def finish(self) -> None:
        """Send what waits, and the close, for a limited time."""
        if self._closing is None:
            self._task.cancel()
        await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        self._task.cancel()

    async def _send(self) -> None:
        try:
            while True:
                await self._something.wait()
                self._something.clear()
                while self._waiting:
                    frames = self._waiting.popleft()
                    for payload in payloads_of(frames):
                        await self._websocket.send_text(payload.decode())
                    self._bytes -= len(frames)
                self._empty.set()
                if self._closing is not None:
                    code, detail = self._closing
                    await self._websocket.close(int(code), _reason(code, detail))
                    return
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # the client is gone, and the reading side hears of it
        finally:
            self._closing = self._closing or (CloseCode.GOING_AWAY, "")
            self._waiting.clear()
            self._empty.set()


def outlet_of(websocket: WebSocket) -> Outlet | AsgiOutlet:
    """The direct way where the server offers it. Call it after the socket was accepted."""
    direct = websocket.scope.get("extensions", {}).get(EXTENSION)
    return direct if isinstance(direct, StreamProtocol) else AsgiOutlet(websocket)


def _reason(code: CloseCode, detail: str) -> str:
    """``name: why``, cut to what a close frame holds (RFC 6455, section 5.5)."""
    closing = CLOSINGS[code]
    return f"{closing.name}: {detail or closing.reason}".encode()[:123].decode(errors="ignore")
