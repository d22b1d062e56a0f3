"""API calls of the business as both providers' endpoints read them, and the faults that strike before and after.

A call that ``timeout_after_accept`` strikes has happened: it is only never answered.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from channels.simulator import wire
from channels.simulator.faults import Fault
from channels.simulator.simulation import Simulation
from channels.simulator.world import Account
from channels.types import JsonObject, JsonValue

MAX_FILE = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class File:
    filename: str
    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    """As logged: without any token."""
    fields: JsonObject
    """Query, then form or JSON body."""
    files: dict[str, File]
    token: str | None = field(repr=False)
    malformed: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    body: JsonObject
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    sent: bool = False
    """A message was accepted, so that ``timeout_after_accept`` may strike."""

    def response(self) -> Response:
        return Response(wire.plain_json(self.body), self.status, self.headers, media_type="application/json")


async def read_call(request: Request, path: str) -> Call:
    fields: JsonObject = {name: wire.parse_nested(value) for name, value in request.query_params.items()}
    files: dict[str, File] = {}
    malformed = False
    content_type = request.headers.get("content-type", "")
    if content_type.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        async with request.form(max_part_size=MAX_FILE) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    kind = value.content_type or "application/octet-stream"
                    files[name] = File(value.filename or name, kind, await value.read())
                else:
                    fields[name] = wire.parse_nested(value)
    elif body := await request.body():
        parsed = wire.parse_object(body)
        malformed = parsed is None
        fields |= parsed or {}
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    token = credentials.strip() if scheme.lower() in ("bearer", "oauth") else None
    token = token or wire.as_text(fields.pop("access_token", None))
    return Call(request.method, path, fields, files, token, malformed)


Mishap = Literal["down", "throttle", "fail"]


async def mishap_before(
    simulation: Simulation, account: Account, *, sends: bool, edge: str | None = None
) -> tuple[Mishap, Fault] | None:
    """Delays the call; answers the fault that refuses it. ``throttle`` and ``fail`` mean sends, or one other edge."""
    faults = simulation.faults
    slow = faults.strike("api", "delay", account.account_id)
    if slow is not None:
        await asyncio.sleep(slow.seconds)
    down = faults.in_force("api", "down", account.account_id)
    if down is not None:
        return "down", down
    if not sends and edge is None:
        return None
    struck = None if sends else edge
    throttle = faults.strike("api", "throttle", account.account_id, struck)
    if throttle is not None:
        return "throttle", throttle
    if sends and _over_rate(simulation, account):
        return "throttle", Fault("api", "throttle", retry_after=1)
    fail = faults.strike("api", "fail", account.account_id, struck)
    return ("fail", fail) if fail is not None else None


def _over_rate(simulation: Simulation, account: Account) -> bool:
    """More messages within one second than the account's rate."""
    if account.messages_per_second is None:
        return False
    now = simulation.world.now()
    if now - account.window_start >= 1.0:
        account.window_start, account.window_count = now, 0
    account.window_count += 1
    return account.window_count > max(account.messages_per_second, 1.0)


async def mishap_after(simulation: Simulation, account: Account, request: Request) -> Response | None:
    """Leaves an accepted send hanging until the caller gives up, or answers 504 in the end."""
    hang = simulation.faults.strike("api", "timeout_after_accept", account.account_id)
    if hang is None:
        return None
    with suppress(TimeoutError):
        async with asyncio.timeout(hang.seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    return Response(status_code=504)


def logged(simulation: Simulation, account: Account | None, call: Call, status: int, answer: JsonValue) -> None:
    simulation.record(account, call.method, call.path, call.fields, status, answer)
