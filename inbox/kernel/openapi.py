"""The OpenAPI 3.1 description, from the same reading of the signatures that the router runs.

Invariant: every answer an operation can give is listed, those of every operation (401, 403, 413, 415, 422, 429, 500,
503) included, so that a client generated from the description meets no surprise.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from inbox.kernel.boundary import PROBLEM_JSON
from inbox.kernel.errors import (
    Forbidden,
    InboxError,
    Invalid,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from inbox.kernel.operations import JSON, Operation, Parameter, operations
from inbox.kernel.payload import LARGEST, SMALLEST

Json: TypeAlias = dict[str, Any]  # a fragment of the document; it is JSON from here on
Key: TypeAlias = tuple[str, ...]

BEARER: Final[Json] = {"bearer": {"type": "http", "scheme": "bearer"}}
_SCHEMA: Final = "#/components/schemas/"
_RETRY: Final[Json] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_CHALLENGE: Final[Json] = {"WWW-Authenticate": {"description": "How to log in.", "schema": {"type": "string"}}}
_HEADERS: Final[Mapping[int, Json]] = {401: _CHALLENGE, 429: _RETRY, 503: _RETRY}

_PROBLEM: Final[Json] = {
    "type": "object",
    "description": "RFC 9457. `code` is stable and meant for programs; further members depend on it.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
        "instance": {"type": "string", "description": "The path of the request."},
        "request_id": {"type": "string", "description": "Quote it when asking for help; also in X-Request-Id."},
        "retry_after": {"type": "number", "minimum": 0, "description": "Seconds to wait (429, 503)."},
        "faults": {"type": "array", "items": {"$ref": f"{_SCHEMA}Fault"}, "description": "What is wrong (422)."},
    },
    "examples": [
        {
            "type": "/problems/invalid",
            "title": Invalid.title,
            "status": 422,
            "detail": "/body/text: Field required",
            "code": "invalid",
            "instance": "/v1/messages",
            "faults": [{"pointer": "/body/text", "detail": "Field required", "code": "missing"}],
        }
    ],
}
_FAULT: Final[Json] = {
    "type": "object",
    "required": ["pointer", "detail", "code"],
    "properties": {
        "pointer": {"type": "string", "description": "JSON pointer below /path, /query, /header or /body."},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
}


class _Schemas(GenerateJsonSchema):
    """Pydantic's schemas, with the bounds that the router puts on every integer."""

    def int_schema(self, schema: core_schema.IntSchema) -> Json:
        described = super().int_schema(schema)
        if "minimum" not in described and "exclusiveMinimum" not in described:
            described["minimum"] = SMALLEST
        if "maximum" not in described and "exclusiveMaximum" not in described:
            described["maximum"] = LARGEST
        return {**described, "format": "int64"}


def describe(
    groups: Sequence[object],
    *,
    title: str,
    version: str,
    description: str = "",
    schemas: Sequence[type[BaseModel]] = (),
    security: Mapping[object, Json] | None = None,
) -> Json:
    """The document for the handlers of these objects.

    `schemas` are further models to list, such as events that no operation answers with. `security` names the injected
    types that stand for an authenticated caller, each with the schemes that lead to it (any one will do): `BEARER`.
    """
    found = operations(groups)
    secured = security or {}
    fragments, definitions = _schemas(found, schemas)
    paths: Json = {}
    responses = _Responses()
    for operation in found:
        item = paths.setdefault(operation.declaration.path, {})
        item[operation.declaration.method.lower()] = _operation(operation, fragments, definitions, responses, secured)
    listed = {_name(fragments["model", model.__name__, str(index)]) for index, model in enumerate(schemas)}
    kept = _reachable(definitions, {*_references(paths), *listed})
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "tags": _tags(found),
        "paths": paths,
        "components": {
            "schemas": {**{name: definitions[name] for name in sorted(kept)}, "Problem": _PROBLEM, "Fault": _FAULT},
            "responses": responses.shared,
            "headers": {"RequestId": {"description": "The id of this request.", "schema": {"type": "string"}}},
        },
    }
    if description:
        document["info"]["description"] = description
    if schemes := {name: scheme for kinds in secured.values() for name, scheme in kinds.items()}:
        document["components"]["securitySchemes"] = schemes
    return document


def _schemas(found: Sequence[Operation], extra: Sequence[type[BaseModel]]) -> tuple[dict[Key, Json], Json]:
    """One fragment per place a schema is used, all in one run so that their names agree; and the named definitions."""
    inputs: list[tuple[Key, JsonSchemaMode, TypeAdapter[Any]]] = []
    for operation in found:
        for parameter in (*operation.path, *operation.headers):
            inputs.append(((operation.id, parameter.name), "validation", parameter.adapter))
        if operation.query is not None:
            inputs.append(((operation.id, "?"), "validation", TypeAdapter(operation.query.model)))
        if operation.body is not None:
            inputs.append(((operation.id, "body"), "validation", operation.body.adapter))
        if operation.result.adapter is not None:
            inputs.append(((operation.id, "answer"), "serialization", operation.result.adapter))
    for index, model in enumerate(extra):
        inputs.append((("model", model.__name__, str(index)), "serialization", TypeAdapter(model)))
    fragments, rest = TypeAdapter.json_schemas(inputs, ref_template=_SCHEMA + "{model}", schema_generator=_Schemas)
    renamed = _readable(rest.get("$defs", {}))
    definitions: Json = {
        renamed.get(name, name): _rename(schema, renamed) for name, schema in rest.get("$defs", {}).items()
    }
    if taken := {"Problem", "Fault"} & definitions.keys():
        raise TypeError(f"these names belong to errors: {sorted(taken)}")
    return {key: _rename(fragment, renamed) for (key, _), fragment in fragments.items()}, definitions


def _readable(definitions: Json) -> dict[str, str]:
    """Names for generic models: the class's own (`NoteOutPage`) in place of pydantic's `Page_NoteOut_`."""
    titles = {name: schema.get("title", "") for name, schema in definitions.items() if name.endswith("_")}
    taken = [*definitions, *titles.values()]
    return {name: title for name, title in titles.items() if title.isidentifier() and taken.count(title) == 1}


def _rename(fragment: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(fragment, dict):
        return {key: _rename(value, renamed) for key, value in fragment.items()}
    if isinstance(fragment, list):
        return [_rename(item, renamed) for item in fragment]
    if isinstance(fragment, str) and fragment.startswith(_SCHEMA):
        name = fragment.removeprefix(_SCHEMA)
        return _SCHEMA + renamed.get(name, name)
    return fragment


def _operation(
    operation: Operation,
    fragments: Mapping[Key, Json],
    definitions: Json,
    responses: "_Responses",
    security: Mapping[object, Json],
) -> Json:
    described: Json = {"operationId": operation.id, "tags": [operation.tag], "summary": operation.summary}
    if operation.description:
        described["description"] = operation.description
    if parameters := list(_parameters(operation, fragments, definitions)):
        described["parameters"] = parameters
    if operation.body is not None:
        content = {JSON: {"schema": fragments[operation.id, "body"]}}
        described["requestBody"] = {"required": operation.body.required, "content": content}
    kinds = [security[hint] for _, hint in operation.injected if hint in security]
    if kinds:
        described["security"] = [{scheme: []} for schemes in kinds for scheme in schemes]
    described["responses"] = {
        **_success(operation, fragments.get((operation.id, "answer"), {})),
        **responses.of(_possible(operation, bool(kinds))),
    }
    return described


def _parameters(operation: Operation, fragments: Mapping[Key, Json], definitions: Json) -> Iterator[Json]:
    for parameter in operation.path:
        schema = dict(fragments[operation.id, parameter.name])
        if schema.get("type") == "string" and not schema.keys() & {"format", "enum", "const", "pattern"}:
            schema |= {"pattern": "^[^/]+$", "minLength": schema.get("minLength", 1)}
        yield {"name": parameter.wire, "in": "path", "required": True, "schema": schema}
    if operation.query is not None:
        model = _resolve(fragments[operation.id, "?"], definitions)
        required = model.get("required", [])
        for name, schema in model.get("properties", {}).items():
            yield _named(name, "query", name in required, _not_null(schema))
    for parameter in operation.headers:
        schema = _header(parameter, fragments[operation.id, parameter.name])
        yield _named(parameter.wire, "header", parameter.required, schema)


def _named(name: str, place: str, required: bool, schema: Json) -> Json:
    """A parameter; its description belongs beside the schema, where readers of the document look for it."""
    described = dict(schema)
    text = described.pop("description", None)
    return {
        "name": name,
        "in": place,
        "required": required,
        **({"description": text} if text else {}),
        "schema": described,
    }


def _header(parameter: Parameter, schema: Json) -> Json:
    return {**schema, "description": parameter.description} if parameter.description else schema


def _not_null(schema: Json) -> Json:
    """The schema without null: a query can leave a parameter out, it cannot say null."""
    if "anyOf" not in schema:
        return schema
    kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    return {**kinds[0], **rest} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _success(operation: Operation, schema: Json) -> Json:
    declaration = operation.declaration
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    for name, text in declaration.headers.items():
        headers[name] = {"description": text, "schema": {"type": "string"}}
    answers: Json = {}
    for status, text in {operation.status: HTTPStatus(operation.status).phrase, **declaration.also}.items():
        answers[str(status)] = {"description": text, "headers": headers}
        if operation.result.kind != "nothing" and status not in (204, 304):
            answers[str(status)]["content"] = {declaration.produces: {"schema": schema} if schema else {}}
    return answers


def _possible(operation: Operation, secured: bool) -> list[type[InboxError]]:
    """The declared errors, those that the router may raise, and a caller without the permission."""
    possible: list[type[InboxError]] = [Unauthenticated, Forbidden] if secured else []
    possible += operation.declaration.errors
    if operation.body is not None:
        possible += [TooLarge, UnsupportedMediaType]
    possible += [Invalid, TooManyRequests, Unavailable]
    return list(dict.fromkeys(possible))


class _Responses:
    """Refusals: the usual ones are shared components, several errors of one status are spelled out in place."""

    def __init__(self) -> None:
        self.shared: Json = {"internal": _refusal(500, "`internal`: this is our fault.")}

    def of(self, possible: Collection[type[InboxError]]) -> Json:
        answers: Json = {}
        for status in sorted({error.status for error in possible}):
            same = [error for error in possible if error.status == status]
            text = " ".join(f"`{error.code}`: {error.title}." for error in same)
            if len(same) > 1:
                answers[str(status)] = _refusal(status, text)
            else:
                self.shared.setdefault(same[0].code, _refusal(status, text))
                answers[str(status)] = {"$ref": f"#/components/responses/{same[0].code}"}
        return {**answers, "500": {"$ref": "#/components/responses/internal"}}


def _refusal(status: int, text: str) -> Json:
    return {
        "description": text,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}, **_HEADERS.get(status, {})},
        "content": {PROBLEM_JSON: {"schema": {"$ref": f"{_SCHEMA}Problem"}}},
    }


def _tags(found: Sequence[Operation]) -> list[Json]:
    """Each tag, described by the first line of the class that its handlers live in."""
    tags: dict[str, Json] = {}
    for operation in found:
        text = operation.about.partition("\n")[0]
        tags.setdefault(operation.tag, {"name": operation.tag, **({"description": text} if text else {})})
    return list(tags.values())


def _name(schema: Json) -> str:
    return str(schema.get("$ref", "")).removeprefix(_SCHEMA)


def _resolve(schema: Json, definitions: Json) -> Json:
    resolved: Json = definitions[_name(schema)] if "$ref" in schema else schema
    return resolved


def _references(fragment: object) -> Iterator[str]:
    if isinstance(fragment, dict):
        for key, value in fragment.items():
            if key == "$ref" and isinstance(value, str) and value.startswith(_SCHEMA):
                yield value.removeprefix(_SCHEMA)
            elif key == "mapping" and isinstance(value, dict):
                yield from (str(target).removeprefix(_SCHEMA) for target in value.values())
            else:
                yield from _references(value)
    elif isinstance(fragment, list):
        for item in fragment:
            yield from _references(item)


def _reachable(definitions: Json, roots: Collection[str]) -> set[str]:
    """The definitions in use; a query's model is taken apart into parameters and needs none of its own."""
    kept: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in kept:
            kept.add(name)
            waiting.extend(_references(definitions[name]))
    return kept
