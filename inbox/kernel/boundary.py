"""Where the API meets the world: every request gets an id, every refusal becomes `application/problem+json`.

Invariant: an error nobody foresaw tells the caller its request id and nothing else; the log has the rest.
"""

import json
import logging
import re
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from inbox.kernel.errors import InboxError, Problem, problem

log = logging.getLogger(__name__)

PROBLEM_JSON: Final = "application/problem+json"
POLICY_VIOLATION: Final = 1008
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def request_id(scope: Scope) -> str | None:
    """The id of this request, once RequestBoundary has seen it."""
    found: str | None = scope.get("state", {}).get("request_id")
    return found


class RequestBoundary:
    """The outermost middleware: gives every request its id and answers 500 for what nobody handled.

    The id is the client's `X-Request-Id` when it is 1–64 characters of [A-Za-z0-9._-], else a new one. A 500 tells
    the caller that id and nothing else; the log has the traceback under the same id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        name = given if _REQUEST_ID.match(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = name
        header = (b"x-request-id", name.encode())
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                started = True
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self.app(scope, receive, send_named)
        except Exception as error:
            if started or scope["type"] != "http":
                raise  # the server closes the connection, and logs
            await unexpected(scope, error)(scope, receive, send_named)


def problem_response(scope: Scope, error: InboxError) -> Response:
    return _problem(error.problem(instance=scope["path"], request_id=request_id(scope)), error.status, error.headers)


def unexpected(scope: Scope, error: Exception) -> Response:
    """The answer to an error that nobody foresaw, and its line in the log."""
    log.error("unhandled error", exc_info=error, extra={"request_id": request_id(scope), "path": scope["path"]})
    document = problem(500, "internal", "Internal Server Error", "this is our fault", request_id=request_id(scope))
    return _problem(document, 500, {})


def _problem(document: Problem, status: int, headers: Mapping[str, str]) -> Response:
    try:
        content = orjson.dumps(document, default=str)
    except TypeError:  # text that is not UTF-8, or a number beyond 64 bits
        content = json.dumps(document, default=str).encode()
    return Response(content, status, headers, PROBLEM_JSON)


async def _refuse(connection: Request | WebSocket, error: Exception) -> Response | None:
    assert isinstance(error, InboxError)
    response = problem_response(connection.scope, error)
    if isinstance(connection, Request):
        return response
    if connection.client_state is WebSocketState.CONNECTING and "websocket.http.response" in connection.scope.get(
        "extensions", {}
    ):
        await connection.send_denial_response(response)
    else:
        await connection.close(POLICY_VIOLATION, error.code)
    return None


async def _refuse_http(connection: Request | WebSocket, error: Exception) -> Response:
    """Starlette's own 404, 405 and 400 in our form."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    scope = connection.scope
    document = problem(
        error.status_code, code, phrase, error.detail, instance=scope["path"], request_id=request_id(scope)
    )
    return _problem(document, error.status_code, error.headers or {})


async def _unexpected(connection: Request | WebSocket, error: Exception) -> Response:
    return unexpected(connection.scope, error)


exception_handlers: Final[dict[type[Exception], ExceptionHandler]] = {
    InboxError: _refuse,  # type: ignore[dict-item]  # Starlette's type has no handler for both kinds of connection
    HTTPException: _refuse_http,
    Exception: _unexpected,
}
