"""What an agent may do over the live socket beside listening: the services of REST, with the same refusals."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from pydantic import TypeAdapter

from inbox.agents.principal import Principal
from inbox.conversations.schemas import ReadIn
from inbox.kernel.encoding import encode
from inbox.kernel.payload import validate_json
from inbox.messages.schemas import SendIn
from inbox.realtime.dialogue import CommandHandler
from inbox.runtime import Runtime


class SendCommand(SendIn):
    """`send`: a message, as in `POST /v1/conversations/{id}/messages`. Give a `client_token`, and repeat freely."""

    conversation_id: UUID


class ReadCommand(ReadIn):
    """`read`: how far the agent has read."""

    conversation_id: UUID


SEND = TypeAdapter(SendCommand)
READ = TypeAdapter(ReadCommand)


def socket_commands(runtime: Runtime) -> Mapping[str, CommandHandler]:
    async def send(caller: Principal, args: Mapping[str, object]) -> Mapping[str, object]:
        command: SendCommand = validate_json(SEND, encode(args))
        order = SendIn.model_validate(command.model_dump(exclude={"conversation_id"}))
        sent = await runtime.sending.send(caller, command.conversation_id, order)
        return {"message": sent.message, "replayed": sent.replayed}

    async def read(caller: Principal, args: Mapping[str, object]) -> Mapping[str, object]:
        command: ReadCommand = validate_json(READ, encode(args))
        position, moved = await runtime.conversations.mark_read(caller, command.conversation_id, command.number)
        if moved and command.receipt and position.unread == 0:
            await runtime.signals.read(caller, command.conversation_id)
        return {"number": position.number, "unread": position.unread}

    return {"send": send, "read": read}
