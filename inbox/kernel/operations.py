"""One operation of the API, read once from a handler's signature: what it takes, what it answers.

The router that runs it and the description that documents it both work from this reading, so they cannot disagree.
"""

import functools
import inspect
import operator
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from inbox.kernel.errors import InboxError

T = TypeVar("T")
Handler = TypeVar("Handler", bound=Callable[..., object])
Hint: TypeAlias = Any  # an annotation, as `typing` hands it out

MEBIBYTE: Final = 1024 * 1024
JSON: Final = "application/json"
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_DECLARED: Final = "__operation__"


@dataclass(frozen=True, slots=True)
class Query:
    """Marks the parameter whose pydantic model holds the query: `query: Annotated[Filter, Query()]`."""


@dataclass(frozen=True, slots=True)
class Header:
    """Marks a request header; its name follows the parameter's (`idempotency_key` → `Idempotency-Key`)."""

    name: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Raw(Generic[T]):
    """JSON that is already encoded, of the shape `T`: sent as it is."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A body with headers, or with another status than the declared one (which `also` then documents)."""

    body: T
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a decorator says about a handler beyond its signature."""

    method: str
    path: str
    status: int | None
    tag: str | None
    errors: tuple[type[InboxError], ...]
    limit: int
    produces: str
    also: Mapping[int, str]
    headers: Mapping[str, str]


def _verb(method: str) -> Callable[..., Callable[[Handler], Handler]]:
    def declare(
        path: str,
        *,
        status: int | None = None,
        tag: str | None = None,
        errors: Sequence[type[InboxError]] = (),
        limit: int = MEBIBYTE,
        produces: str = JSON,
        also: Mapping[int, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Callable[[Handler], Handler]:
        declaration = Declaration(method, path, status, tag, tuple(errors), limit, produces, also or {}, headers or {})

        def mark(handler: Handler) -> Handler:
            vars(handler)[_DECLARED] = declaration
            return handler

        return mark

    declare.__doc__ = f"""Answers {method} on `path`, a literal with `{{name}}` segments that are parameters.

    `status` defaults to 200, or 204 when the answer is None; `tag` to the name of the class; `errors` are those of
    the domain, the always possible ones are added; `limit` is the largest body in bytes; `produces` the media type of
    the answer; `also` further statuses with the same body; `headers` those of the answer, with a description each.
    """
    return declare


get = _verb("GET")
post = _verb("POST")
put = _verb("PUT")
patch = _verb("PATCH")
delete = _verb("DELETE")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path or in a header: `name` in Python, `wire` in HTTP."""

    name: str
    wire: str
    adapter: TypeAdapter[object]
    required: bool
    default: object = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class QueryModel:
    """The query as a model. `keys` are the names a client may use, each with whether it may be repeated."""

    name: str
    model: type[BaseModel]
    keys: Mapping[str, bool]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Body:
    name: str
    adapter: TypeAdapter[object]
    required: bool


@dataclass(frozen=True, slots=True)
class Result:
    """`json` encodes through the adapter, `raw` is bytes already, `nothing` has no body, `response` answers itself."""

    kind: Literal["json", "raw", "nothing", "response"]
    adapter: TypeAdapter[object] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    declaration: Declaration
    handler: Callable[..., object]
    id: str
    tag: str
    about: str
    summary: str
    description: str
    status: int
    result: Result
    path: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    query: QueryModel | None = None
    body: Body | None = None
    injected: tuple[tuple[str, Hint], ...] = ()

    @property
    def takes_request(self) -> bool:
        """Whether the handler reads the request itself; its query is then its own affair."""
        return any(annotation is Request for _, annotation in self.injected)


def operations(groups: Sequence[object]) -> list[Operation]:
    """Every operation of these route objects, in the order of their definition."""
    found = [read_operation(group, name, declared) for group in groups for name, declared in _declared(group)]
    for seen in ("id", "route"):
        keys = [op.id if seen == "id" else f"{op.declaration.method} {op.declaration.path}" for op in found]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise TypeError(f"declared twice: {', '.join(repeated)}")
    return found


def _declared(group: object) -> Iterator[tuple[str, Declaration]]:
    for cls in reversed(type(group).__mro__):
        for name, member in vars(cls).items():
            declaration = getattr(member, _DECLARED, None)
            if isinstance(declaration, Declaration):
                yield name, declaration


def read_operation(group: object, name: str, declaration: Declaration) -> Operation:
    handler = getattr(group, name)
    where = f"{type(group).__name__}.{name}"
    if not inspect.iscoroutinefunction(handler):
        raise TypeError(f"{where} must be an async method")
    hints = get_type_hints(handler, include_extras=True)
    if "return" not in hints:
        raise TypeError(f"{where} must say what it answers")
    tag = declaration.tag or _snake(type(group).__name__.removesuffix("Routes"))
    summary, _, description = (inspect.getdoc(handler) or name.replace("_", " ").capitalize()).partition("\n")
    result = _result(hints.pop("return"))
    reading = _Reading(where, set(_PLACEHOLDER.findall(declaration.path)))
    for parameter in inspect.signature(handler).parameters.values():
        reading.add(parameter, hints[parameter.name])
    if reading.unclaimed:
        raise TypeError(f"{where} has no parameter for {sorted(reading.unclaimed)} of its path")
    return Operation(
        declaration=declaration,
        handler=handler,
        id=f"{tag}.{name}",
        tag=tag,
        about=inspect.cleandoc(type(group).__doc__ or ""),
        summary=summary.strip().rstrip("."),
        description=description.strip(),
        status=declaration.status or (204 if result.kind == "nothing" else 200),
        result=result,
        path=tuple(reading.path),
        headers=tuple(reading.headers),
        query=reading.query,
        body=reading.body,
        injected=tuple(reading.injected),
    )


class _Reading:
    """Sorts the parameters of one handler: path by name, `body` by name, query and headers by mark, else injected."""

    def __init__(self, where: str, placeholders: set[str]) -> None:
        self.where = where
        self.unclaimed = placeholders
        self.path: list[Parameter] = []
        self.headers: list[Parameter] = []
        self.query: QueryModel | None = None
        self.body: Body | None = None
        self.injected: list[tuple[str, Hint]] = []

    def add(self, parameter: inspect.Parameter, hint: Hint) -> None:
        name = parameter.name
        required = parameter.default is inspect.Parameter.empty
        marks: tuple[object, ...] = get_args(hint)[1:] if _origin(hint) is Annotated else ()
        header = next((mark for mark in marks if isinstance(mark, Header)), None)
        if name in self.unclaimed:
            self.unclaimed.remove(name)
            self.path.append(Parameter(name, name, _adapter(hint), required=True))
        elif header is not None:
            wire = header.name or "-".join(part.capitalize() for part in name.split("_"))
            default = None if required else parameter.default
            self.headers.append(Parameter(name, wire, _header(hint, header), required, default, header.description))
        elif any(isinstance(mark, Query) for mark in marks):
            self.query = _query(name, get_args(hint)[0], self.where)
        elif name == "body":
            self.body = Body(name, _adapter(hint), required)
        else:
            self.injected.append((name, hint))


def _adapter(hint: Hint) -> TypeAdapter[object]:
    return TypeAdapter(hint)


def _header(hint: Hint, header: Header) -> TypeAdapter[object]:
    limits = Field(min_length=header.min_length, max_length=header.max_length, pattern=header.pattern)
    kinds = [kind for kind in _members(get_args(hint)[0]) if kind is not types.NoneType]
    kind: Hint = functools.reduce(operator.or_, kinds)
    return _adapter(Annotated[kind, limits])


def _query(name: str, model: Hint, where: str) -> QueryModel:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{where}: the query must be a pydantic model")
    keys: dict[str, bool] = {}
    names: dict[str, str] = {}
    for field_name, info in model.model_fields.items():
        alias = info.validation_alias if isinstance(info.validation_alias, str) else info.alias
        names[field_name] = alias or field_name
        keys[names[field_name]] = any(
            (_origin(kind) or kind) in (list, tuple, set, frozenset) for kind in _members(info.annotation)
        )
    return QueryModel(name, model, keys, names)


def _members(hint: Hint) -> list[Hint]:
    """The alternatives of a union, marks removed."""
    if _origin(hint) is Annotated:
        return _members(get_args(hint)[0])
    if _origin(hint) in (Union, types.UnionType):
        return [member for part in get_args(hint) for member in _members(part)]
    return [hint]


def _result(hint: Hint) -> Result:
    origin = _origin(hint) or hint
    if origin is Answer:
        return _result(get_args(hint)[0] if get_args(hint) else types.NoneType)
    if origin is Raw:
        return Result("raw", TypeAdapter(get_args(hint)[0]) if get_args(hint) else None)
    if hint is types.NoneType:
        return Result("nothing")
    if isinstance(origin, type) and issubclass(origin, Response):
        return Result("response")
    return Result("json", TypeAdapter(hint))


def _origin(hint: Hint) -> Hint:
    """`typing.get_origin`, whose published type leaves out most of what it answers."""
    return get_origin(hint)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
