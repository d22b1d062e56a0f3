"""How the control API reads a body and a query, answers, and refuses."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from channels.simulator import wire
from channels.simulator.schemas import refusal
from channels.simulator.simulation import SayError
from channels.simulator.world import UnknownError
from channels.types import JsonValue

Body = TypeVar("Body", bound=BaseModel)


class ControlError(Exception):
    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        raise ControlError(refusal(error)) from None


def query_field(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise ControlError(f"{name} is missing in the query")
    return value


def query_limit(request: Request, default: int) -> int:
    value = request.query_params.get("limit", str(default))
    if not value.isdecimal() or len(value) > 6:
        raise ControlError("limit is not a number")
    return int(value)


def answer(body: JsonValue, status: int = 200) -> Response:
    return Response(wire.plain_json(body), status, media_type="application/json")


async def refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, ControlError) else 404 if isinstance(error, UnknownError) else 400
    return answer({"error": str(error)}, status)


REFUSALS = (ControlError, UnknownError, SayError)
