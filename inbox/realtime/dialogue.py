"""One client's socket from the first byte to the last: its ticket, then whatever it says.

Messages are handled one after the other, so commands of one socket take effect in the order in which they were sent.
Nothing a client sends ends in anything but an answer or a named close.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, assert_never
from urllib.parse import parse_qsl, urlencode

from starlette.types import Scope
from starlette.websockets import WebSocket

from inbox.agents.principal import Principal
from inbox.kernel.errors import Forbidden, InboxError, Unavailable
from inbox.realtime.closing import CloseCode
from inbox.realtime.hub import Hub
from inbox.realtime.protocol import (
    BadFrame,
    ChangeFilter,
    ClientMessage,
    Command,
    JsonObject,
    Ping,
    Pong,
    Resume,
    TicketMessage,
    Typing,
    UnknownCommand,
    Viewing,
    answer,
    decode,
    framed,
    refusal,
)
from inbox.realtime.server import AsgiOutlet, outlet_of
from inbox.realtime.session import Outlet, Session

SUBPROTOCOL: Final = "inbox.v1"
TICKET_PREFIX: Final = "ticket."
TICKET_SECONDS: Final = 10.0

log = logging.getLogger(__name__)

RedeemTicket: TypeAlias = Callable[[str], Awaitable[Principal]]
"""Raises an ``InboxError`` when the ticket is unknown, used or expired."""
CommandHandler: TypeAlias = Callable[[Principal, JsonObject], Awaitable[Mapping[str, object]]]


class InternalError(InboxError):
    status, code, title = 500, "internal", "This is our fault"


class Dialogue:
    def __init__(self, hub: Hub, redeem_ticket: RedeemTicket, commands: Mapping[str, CommandHandler]) -> None:
        self._hub = hub
        self._redeem_ticket = redeem_ticket
        self._commands = commands

    async def serve(self, websocket: WebSocket) -> None:
        ticket = take_ticket(websocket.scope)
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        outlet = outlet_of(websocket)
        try:
            session = await self._enter(websocket, outlet, ticket)
            if session is not None:
                try:
                    await self._converse(websocket, session)
                finally:
                    self._hub.disconnect(session)
        finally:
            if isinstance(outlet, AsgiOutlet):
                await outlet.finish()

    async def _enter(self, websocket: WebSocket, outlet: Outlet, ticket: str | None) -> Session | None:
        if ticket is None:
            ticket = await self._first_message(websocket)
        if ticket is None:
            outlet.hang_up(CloseCode.UNAUTHENTICATED)
            return None
        try:
            principal = await self._redeem_ticket(ticket)
            principal.require("stream")
            return await self._hub.connect(principal, outlet)
        except Forbidden:
            outlet.hang_up(CloseCode.FORBIDDEN)
        except Unavailable:
            outlet.hang_up(CloseCode.INTERNAL, "the database cannot be reached now")
        except InboxError:
            outlet.hang_up(CloseCode.TICKET_INVALID)
        except Exception:
            log.exception("a socket could not be opened")
            outlet.hang_up(CloseCode.INTERNAL)
        return None

    async def _first_message(self, websocket: WebSocket) -> str | None:
        try:
            received = await asyncio.wait_for(_receive(websocket), TICKET_SECONDS)
            message = decode(received) if received is not None else None
        except (TimeoutError, BadFrame):
            return None
        return message.ticket if isinstance(message, TicketMessage) else None

    async def _converse(self, websocket: WebSocket, session: Session) -> None:
        while (received := await _receive(websocket)) is not None:
            try:
                message = decode(received)
                await self._handle(session, message)
            except BadFrame as error:
                session.outlet.hang_up(CloseCode.BAD_FRAME, str(error))
                return
            except Exception:
                log.exception("a message on a socket failed")
                session.outlet.hang_up(CloseCode.INTERNAL)
                return

    async def _handle(self, session: Session, message: ClientMessage) -> None:
        match message:
            case Command():
                session.room.send([session], await self._run(session.principal, message))
            case Ping():
                session.room.send([session], framed(Pong(message.id)))
            case Typing():
                self._hub.notices.types(session, message.conversation_id, message.on)
            case Viewing():
                self._hub.notices.views(session, message.conversation_id)
            case Resume():
                self._hub.resume(session, message)
            case ChangeFilter():
                self._hub.refilter(session, message.filter)
            case TicketMessage():
                raise BadFrame("ticket: this socket has one already")
            case _:
                assert_never(message)

    async def _run(self, principal: Principal, command: Command) -> bytes:
        handler = self._commands.get(command.type)
        try:
            if handler is None:
                raise UnknownCommand(f"{command.type[:40]} is not a command", commands=sorted(self._commands))
            return answer(command.id, await handler(principal, command.args))
        except InboxError as error:
            return refusal(command.id, error)
        except Exception:
            log.exception("the command %s failed", command.type)
            return refusal(command.id, InternalError())


async def _receive(websocket: WebSocket) -> str | bytes | None:
    """The next message; None when the socket is closed."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        return None
    text: str | None = message.get("text")
    return text if text is not None else bytes(message["bytes"])


def take_ticket(scope: Scope) -> str | None:
    """The ticket of the query or of the subprotocols, removed from the scope before anybody can log it."""
    ticket: str | None = None
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if any(name == "ticket" for name, _ in query):
        ticket = next(value for name, value in query if name == "ticket")
        scope["query_string"] = urlencode([(name, value) for name, value in query if name != "ticket"]).encode()
    offered: list[str] = scope.get("subprotocols", [])
    for name in [one for one in offered if one.startswith(TICKET_PREFIX)]:
        ticket = ticket or name.removeprefix(TICKET_PREFIX)
        offered.remove(name)
    return ticket or None
