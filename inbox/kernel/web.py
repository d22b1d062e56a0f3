"""The typed router: handlers are methods whose signatures say what they take; everything else is refused before them.

    routes = build_routes([ConversationRoutes(conversations)], inject={Principal: authenticate})
    Starlette(routes=routes, middleware=[Middleware(RequestBoundary)], exception_handlers=exception_handlers)

Invariants: a caller is authenticated before anything it sent is judged; what a client sends never becomes a 500; every
answer carries a request id; every refusal is `application/problem+json` (RFC 9457). Adapters are built once, here.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from inbox.kernel.boundary import RequestBoundary, exception_handlers, problem_response, request_id
from inbox.kernel.errors import Fault, InboxError, Invalid, MethodNotAllowed, UnsupportedMediaType
from inbox.kernel.operations import (
    Answer,
    Header,
    Operation,
    Query,
    Raw,
    delete,
    get,
    operations,
    patch,
    post,
    put,
)
from inbox.kernel.payload import faults_of, json_faults, model_faults, pointer, read_body, validate_json, value_fault

__all__ = [
    "Answer",
    "Header",
    "Query",
    "Raw",
    "RequestBoundary",
    "build_routes",
    "delete",
    "exception_handlers",
    "get",
    "patch",
    "post",
    "problem_response",
    "put",
    "request_id",
]

Resolver = Callable[[Request], Awaitable[object]]
MOST_PARAMETERS = 500


def build_routes(groups: Sequence[object], inject: Mapping[object, Resolver] | None = None) -> list[BaseRoute]:
    """Routes for the handlers of these objects. `inject` makes the values of parameters that no client sends."""
    resolvers: dict[object, Resolver] = {Request: _the_request, **(inject or {})}
    return [RouteTable(Endpoint(operation, resolvers) for operation in operations(groups))]


async def _the_request(request: Request) -> Request:
    return request


class Endpoint:
    """Runs one operation as an ASGI application: authenticate, judge, call, encode."""

    def __init__(self, operation: Operation, resolvers: Mapping[object, Resolver]) -> None:
        self.operation = operation
        self._handler: Callable[..., Awaitable[object]] = operation.handler  # type: ignore[assignment]
        try:
            self._injected = [(name, resolvers[hint]) for name, hint in operation.injected]
        except KeyError as unknown:
            raise TypeError(f"{operation.id} takes {unknown}, which nothing sends and nothing injects") from None
        self._headers = [(parameter, parameter.wire.lower().encode()) for parameter in operation.headers]
        self._content_type = operation.declaration.produces.encode()
        adapter = operation.result.adapter
        self._encode = adapter.serializer.to_json if adapter else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            arguments = await self._arguments(scope, receive, send)
            answer = await self._handler(**arguments)
        except ClientDisconnect:
            return  # nobody is left to answer
        except InboxError as error:
            answer = problem_response(scope, error)
        if isinstance(answer, Response):
            await answer(scope, receive, send)
        else:
            await self._send(answer, scope["method"] == "HEAD", send)

    async def _arguments(self, scope: Scope, receive: Receive, send: Send) -> dict[str, object]:
        arguments: dict[str, object] = {}
        if self._injected:
            request = Request(scope, receive, send)
            for name, resolve in self._injected:
                arguments[name] = await resolve(request)
        faults: list[Fault] = []
        self._read_path(scope, arguments, faults)
        self._read_query(scope["query_string"], arguments, faults)
        if self._headers:
            self._read_headers(scope, arguments, faults)
        if faults:
            raise Invalid(faults)
        if self.operation.body is not None:
            await self._read_body(scope, receive, arguments)
        return arguments

    def _read_path(self, scope: Scope, arguments: dict[str, object], faults: list[Fault]) -> None:
        for parameter in self.operation.path:
            sent = scope["path_params"][parameter.name]
            where = f"/path/{parameter.name}"
            try:
                value = arguments[parameter.name] = parameter.adapter.validator.validate_python(sent)
            except ValidationError as error:
                faults.extend(faults_of(error, where, None))
            else:
                if fault := value_fault(where, value):
                    faults.append(fault)

    def _read_query(self, query_string: bytes, arguments: dict[str, object], faults: list[Fault]) -> None:
        query = self.operation.query
        if query is None and (not query_string or self.operation.takes_request):
            return
        sent = _sort_query(query_string, query.keys if query else {}, faults)
        if query is None:
            return
        try:
            model = query.model.model_validate(sent, by_alias=True, by_name=False)
        except ValidationError as error:
            faults.extend(faults_of(error, "/query", sent))
        else:
            faults.extend(model_faults(model, "/query", query.names))
            arguments[query.name] = model

    def _read_headers(self, scope: Scope, arguments: dict[str, object], faults: list[Fault]) -> None:
        sent: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            sent.setdefault(name, value)
        for parameter, wire in self._headers:
            where = f"/header/{parameter.wire}"
            if wire not in sent:
                if parameter.required:
                    faults.append(Fault(where, "this header is required", "missing"))
                arguments[parameter.name] = parameter.default
                continue
            try:
                value = parameter.adapter.validator.validate_python(sent[wire].decode("latin-1"))
            except ValidationError as error:
                faults.extend(faults_of(error, where, None))
            else:
                arguments[parameter.name] = value
                if fault := value_fault(where, value):
                    faults.append(fault)

    async def _read_body(self, scope: Scope, receive: Receive, arguments: dict[str, object]) -> None:
        body = self.operation.body
        assert body is not None
        content_type = length = None
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value.decode("latin-1")
            elif name == b"content-length":
                length = value.decode("latin-1")
        if content_type is not None:
            _require_json(content_type)
        raw = await read_body(receive, length, self.operation.declaration.limit)
        if not raw:
            if body.required:
                raise Invalid.at("/body", "a JSON body is required", "missing")
            return
        if content_type is None:
            raise UnsupportedMediaType("the body needs the header Content-Type: application/json")
        arguments[body.name] = validate_json(body.adapter, raw)
        if faults := json_faults(raw):
            raise Invalid(faults)

    async def _send(self, answer: object, head: bool, send: Send) -> None:
        status, extra = self.operation.status, ()  # type: int, Iterable[tuple[str, str]]
        if isinstance(answer, Answer):
            status, extra, answer = answer.status or status, answer.headers.items(), answer.body
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in extra]
        content = b""
        if isinstance(answer, Raw):
            content = answer.content
        elif self._encode is not None and status != HTTPStatus.NOT_MODIFIED:
            content = self._encode(answer, by_alias=True)
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers.append((b"content-length", str(len(content)).encode()))
            if content:
                headers.append((b"content-type", self._content_type))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else content})


def _sort_query(query_string: bytes, keys: Mapping[str, bool], faults: list[Fault]) -> dict[str, str | list[str]]:
    """The query by name: a list where `keys` allows a name to be repeated, else its one value."""
    sent: dict[str, str | list[str]] = {}
    try:
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        faults.append(Fault("/query", f"a query may hold {MOST_PARAMETERS} parameters", "too_long"))
        return sent
    for key, value in pairs:
        repeatable = keys.get(key)
        if repeatable is None:
            faults.append(Fault(pointer("/query", [key]), "this operation has no such query parameter", "unknown"))
        elif repeatable:
            values = sent.setdefault(key, [])
            assert isinstance(values, list)
            values.append(value)
        elif key in sent:
            faults.append(Fault(pointer("/query", [key]), "this parameter may be given once", "repeated"))
        else:
            sent[key] = value
    return sent


def _require_json(content_type: str) -> None:
    """Accepts application/json alone or with a charset; JSON is UTF-8 whatever the charset says (RFC 8259)."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if kind != "application/json" or any(part and not part.startswith("charset=") for part in parameters):
        raise UnsupportedMediaType("the body must be application/json", accepted=["application/json"])


class _Node:
    """One path segment: its literal continuations, its parameter, and what answers when a path ends here."""

    __slots__ = ("endpoints", "literals", "names", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.endpoints: dict[str, ASGIApp] = {}
        self.names: list[str] = []

    def find(self, segments: list[str], depth: int, values: list[str]) -> "_Node | None":
        if depth == len(segments):
            return self if self.endpoints else None
        segment = segments[depth]
        if (literal := self.literals.get(segment)) and (found := literal.find(segments, depth + 1, values)):
            return found
        if self.parameter is None or not segment:
            return None
        values.append(segment)
        if found := self.parameter.find(segments, depth + 1, values):
            return found
        values.pop()
        return None


class RouteTable(BaseRoute):
    """All operations behind one lookup: the cost of finding a route does not grow with their number.

    Literal segments win over parameters. A path that exists answers OPTIONS, and 405 with every method it has.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        self.operations: list[Operation] = []
        for endpoint in endpoints:
            self.operations.append(endpoint.operation)
            self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        declaration = endpoint.operation.declaration
        node, names = self._root, []
        for segment in declaration.path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if node.endpoints and node.names != names:
            raise TypeError(f"{declaration.path} is declared elsewhere with the parameters {node.names}")
        node.names = names
        node.endpoints[declaration.method] = endpoint
        if declaration.method == "GET":
            node.endpoints.setdefault("HEAD", endpoint)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        values: list[str] = []
        node = self._root.find(path.split("/")[1:], 0, values)
        if node is None:
            return Match.NONE, {}
        endpoint = node.endpoints.get(scope["method"])
        child = {
            "endpoint": endpoint or _OtherMethod(node.endpoints),
            "path_params": dict(zip(node.names, values, strict=True)),
        }
        return (Match.FULL if endpoint or scope["method"] == "OPTIONS" else Match.PARTIAL), child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["endpoint"](scope, receive, send)


class _OtherMethod:
    def __init__(self, methods: Iterable[str]) -> None:
        self.methods = sorted({*methods, "OPTIONS"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            response = Response(status_code=204, headers={"Allow": ", ".join(self.methods)})
        else:
            response = problem_response(scope, MethodNotAllowed(self.methods))
        await response(scope, receive, send)
