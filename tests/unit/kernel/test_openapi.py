"""The description: valid OpenAPI 3.1, complete, and true of the running router."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from inbox.kernel.errors import Invalid
from inbox.kernel.openapi import BEARER, describe
from inbox.kernel.operations import get
from inbox.kernel.pages import encode_cursor
from inbox.kernel.payload import json_faults
from tests.unit.kernel.sample_api import FIRST, HELLO, TOKEN, Caller, NoteRoutes, NoteSaved, OpenRoutes, make_app

GROUPS = [NoteRoutes(), OpenRoutes()]


def make_document() -> dict[str, Any]:
    return describe(
        GROUPS,
        title="Notes",
        version="1",
        description="For tests.",
        schemas=[NoteSaved],
        security={Caller: BEARER},
    )


DOCUMENT = make_document()


def operation(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def every_operation() -> Iterator[dict[str, Any]]:
    for item in DOCUMENT["paths"].values():
        yield from item.values()


def parameters(path: str, method: str) -> dict[str, dict[str, Any]]:
    return {parameter["name"]: parameter for parameter in operation(path, method).get("parameters", ())}


def test_it_is_valid() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"] == {"title": "Notes", "version": "1", "description": "For tests."}


def test_operations_are_named_and_described() -> None:
    ids = [described["operationId"] for described in every_operation()]
    assert len(set(ids)) == len(ids) == 11
    create = operation("/v1/notes", "post")
    assert create["operationId"] == "note.create"
    assert create["summary"] == "Write a note"
    assert create["description"] == "Sent again with the same key, it answers what is there."
    assert {"name": "note", "description": "Notes of the workspace."} in DOCUMENT["tags"]


def test_a_query_is_one_parameter_per_field() -> None:
    query = parameters("/v1/notes", "get")
    assert list(query) == ["limit", "after", "colour", "urgent", "least", "from"]
    assert all(parameter["in"] == "query" and not parameter["required"] for parameter in query.values())
    assert query["limit"]["description"] == "How many."
    assert query["limit"]["schema"]["maximum"] == 100
    assert query["limit"]["schema"]["default"] == 20
    assert query["after"]["schema"]["type"] == "string"
    assert query["colour"]["schema"]["items"] == {"$ref": "#/components/schemas/Colour"}


def test_path_and_headers() -> None:
    label = parameters("/v1/notes/{note_id}/labels/{name}/{number}", "put")
    assert {name: parameter["in"] for name, parameter in label.items()} == {
        "note_id": "path",
        "name": "path",
        "number": "path",
        "X-Reason": "header",
    }
    assert label["note_id"]["schema"] == {"type": "string", "format": "uuid"}
    assert label["number"]["schema"]["maximum"] == 2**63 - 1
    assert label["X-Reason"]["required"]
    key = parameters("/v1/notes", "post")["Idempotency-Key"]
    assert (key["required"], key["schema"], key["description"]) == (
        False,
        {"type": "string", "maxLength": 20},
        "Makes a retry safe.",
    )


def test_bodies_and_answers_name_their_models() -> None:
    create = operation("/v1/notes", "post")
    assert create["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NoteIn"}}},
    }
    for status in ("200", "201"):
        answer = create["responses"][status]
        assert answer["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/NoteOut"}}}
        assert set(answer["headers"]) == {"X-Request-Id", "Location"}
    assert "content" not in operation("/v1/notes/{note_id}", "delete")["responses"]["204"]
    assert operation("/v1/words/{word}", "get")["responses"]["200"]["content"] == {"text/plain": {}}
    listing = operation("/v1/notes", "get")["responses"]["200"]["content"]["application/json"]
    assert listing == {"schema": {"$ref": "#/components/schemas/NoteOutPage"}}
    assert operation("/v1/snapshot", "get")["responses"]["200"]["content"]["application/json"] == {
        "schema": {"$ref": "#/components/schemas/Snapshot"}
    }


def test_only_used_and_wished_models_are_listed() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert "NoteSaved" in schemas
    assert "NoteQuery" not in schemas
    assert schemas["NoteIn"]["examples"] == [HELLO]
    assert {"Problem", "Fault", "Text", "Place"} <= schemas.keys()


def test_refusals_are_all_listed() -> None:
    for described in every_operation():
        statuses = described["responses"].keys()
        assert {"422", "429", "500", "503"} <= statuses
        assert ("401" in statuses) == ("403" in statuses) == ("security" in described)
        assert ("401" in statuses) == described["operationId"].startswith("note.")
        assert ({"413", "415"} <= statuses) == ("requestBody" in described)
    change = operation("/v1/notes/{note_id}", "patch")["responses"]
    assert change["404"] == {"$ref": "#/components/responses/not_found"}
    assert "`note_locked`" in change["409"]["description"]
    assert "`note_stale`" in change["409"]["description"]
    assert DOCUMENT["components"]["securitySchemes"] == BEARER
    assert set(DOCUMENT["components"]["responses"]["too_many_requests"]["headers"]) == {"X-Request-Id", "Retry-After"}


def test_the_problem_schema_has_the_members_of_a_problem() -> None:
    sent = Invalid.at("/body", "wrong").problem(instance="/x", request_id="r")
    schema = DOCUMENT["components"]["schemas"]["Problem"]
    assert sent.keys() <= schema["properties"].keys()
    assert set(schema["required"]) <= sent.keys()


def test_describing_twice_gives_the_same() -> None:
    assert make_document() == DOCUMENT


class Problem(BaseModel):
    mine: int


class Clash:
    @get("/clash")
    async def read(self) -> Problem:
        return Problem(mine=1)


def test_a_model_cannot_take_the_name_of_ours() -> None:
    with pytest.raises(TypeError, match="belong to errors"):
        describe([Clash()], title="x", version="1")


async def serve_document(request: Request) -> JSONResponse:
    return JSONResponse(DOCUMENT)


def described_app() -> Starlette:
    app = make_app(*GROUPS)
    app.router.routes.append(Route("/openapi.json", serve_document))
    return app


API = schemathesis.openapi.from_asgi("/openapi.json", described_app())
# JSON Schema cannot say that text holds no NUL; and every call here carries its token, so none is generated.
API.config.generation.update(allow_x00=False, with_security_parameters=False)


@API.hook("map_query")
def give_cursors_of_ours(context: schemathesis.HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Nor can it say which words are cursors."""
    if query and "after" in query:
        query["after"] = encode_cursor(FIRST)
    return query


@API.hook("filter_query")
def sayable(context: schemathesis.HookContext, query: dict[str, Any] | None) -> bool:
    """An empty list leaves no trace in a URL, so a query that is wrong only by it arrives as a right one."""
    return not query or not any(value in ([], {}) for value in query.values())


@API.hook("filter_body")
def storable(context: schemathesis.HookContext, body: object) -> bool:
    """Nor which integers fit 64 bits where it allows anything, as in free JSON and in members that are ignored."""
    try:
        return not json_faults(json.dumps(body).encode())
    except (TypeError, ValueError):
        return True


@API.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_the_router_does_what_the_description_says(case: "schemathesis.Case[Any]") -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})


def test_the_description_is_served() -> None:
    with TestClient(described_app()) as client:
        assert client.get("/openapi.json").json() == DOCUMENT
