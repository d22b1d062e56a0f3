"""The router: what reaches a handler, what is refused before it, and what a caller reads."""

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import Response
from starlette.routing import BaseRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from inbox.kernel.operations import operations
from inbox.kernel.web import Header, RequestBoundary, build_routes, get, post
from tests.unit.kernel.sample_api import (
    HELLO,
    TOKEN,
    BrokenRoutes,
    Caller,
    NoteRoutes,
    OpenRoutes,
    SmallRoutes,
    make_app,
)

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def notes() -> NoteRoutes:
    return NoteRoutes()


@pytest.fixture
def client(notes: NoteRoutes) -> Iterator[TestClient]:
    app = make_app(notes, OpenRoutes(), SmallRoutes(), BrokenRoutes())
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def faults(response: Response) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    document = problem(response)
    assert document["code"] == "invalid"
    return [(fault["pointer"], fault["code"]) for fault in document["faults"]]


def problem(response: Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["request_id"] == response.headers["x-request-id"]
    return document


class TestAnswers:
    def test_a_model_with_status_and_headers(self, client: TestClient) -> None:
        response = client.post("/v1/notes", json=HELLO)
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        assert response.headers["location"] == f"/v1/notes/{response.json()['id']}"
        assert response.json() == {
            "id": response.json()["id"],
            "by": "ada",
            "parts": [{"type": "text", "text": "hello"}],
            "weight": 0,
            "extra": None,
            "kind": "note",
        }

    def test_another_status_than_the_declared(self, client: TestClient) -> None:
        first = client.post("/v1/notes", json=HELLO, headers={"Idempotency-Key": "k"})
        again = client.post("/v1/notes", json=HELLO, headers={"Idempotency-Key": "k"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()

    def test_none_is_204_without_a_body(self, client: TestClient) -> None:
        note = client.post("/v1/notes", json=HELLO).json()
        response = client.delete(f"/v1/notes/{note['id']}")
        assert (response.status_code, response.content) == (204, b"")
        assert "content-type" not in response.headers
        assert "content-length" not in response.headers

    def test_encoded_json_is_sent_as_it_is(self, client: TestClient) -> None:
        assert client.get("/v1/snapshot").content == b'{"items":[],"next":null,"epoch":"e1","position":0}'

    def test_a_response_answers_itself(self, client: TestClient) -> None:
        response = client.get("/v1/words/caf%C3%A9?anything=goes")
        assert response.text == "café"
        assert response.headers["content-type"].startswith("text/plain")

    def test_not_modified_has_headers_and_no_body(self, client: TestClient) -> None:
        response = client.get("/v1/maybe", headers={"If-None-Match": '"1"'})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"1"')
        assert client.get("/v1/maybe").json() == {"one": 1}

    def test_head_is_get_without_its_body(self, client: TestClient) -> None:
        head, whole = client.head("/healthz"), client.get("/healthz")
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))

    def test_options_says_what_a_path_answers(self, client: TestClient) -> None:
        response = client.options("/v1/notes/newest")
        assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


class TestRouting:
    def test_a_literal_wins_over_a_parameter(self, client: TestClient) -> None:
        client.post("/v1/notes", json=HELLO)
        assert client.get("/v1/notes/newest").status_code == 200

    def test_a_literal_that_leads_nowhere_gives_way(self, client: TestClient) -> None:
        response = client.put("/v1/notes/newest/labels/red/1", json=[], headers={"X-Reason": "1"})
        assert faults(response) == [("/path/note_id", "uuid_parsing")]

    def test_every_method_of_a_path_is_allowed_together(self, client: TestClient) -> None:
        response = client.put(f"/v1/notes/{uuid4()}")
        assert response.status_code == 405
        assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
        assert problem(response)["code"] == "method_not_allowed"

    @pytest.mark.parametrize(
        "path", ["/nowhere", "/v1", "/v1/notes/a/b", "/v1//notes", "/v1/words/", "/%00", "/v1/notes%2Fx%2Fy"]
    )
    def test_an_unknown_path_is_a_problem_too(self, client: TestClient, path: str) -> None:
        response = client.get(path)
        assert response.status_code == 404
        assert problem(response)["code"] == "not_found"

    def test_a_prefix_of_the_deployment_is_left_out(self, notes: NoteRoutes) -> None:
        with TestClient(make_app(OpenRoutes()), root_path="/api") as client:
            assert client.get("/api/healthz").status_code == 200


class TestCallers:
    def test_a_stranger_learns_nothing_about_the_request(self, client: TestClient, notes: NoteRoutes) -> None:
        response = client.post("/v1/notes?bad=1", content=b"{", headers={"Authorization": "Bearer wrong"})
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert problem(response)["code"] == "unauthenticated"
        assert notes.calls == 0


class TestPath:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/v1/notes/not-a-uuid/labels/red/1", [("/path/note_id", "uuid_parsing")]),
            ("/v1/notes/0198f3a0-0000-7000-8000-000000000001/labels/green/1", [("/path/name", "enum")]),
            ("/v1/notes/0198f3a0-0000-7000-8000-000000000001/labels/red/one", [("/path/number", "int_parsing")]),
            (
                "/v1/notes/0198f3a0-0000-7000-8000-000000000001/labels/red/" + "9" * 30,
                [("/path/number", "integer_range")],
            ),
            (
                "/v1/notes/0198f3a0-0000-7000-8000-000000000001/labels/red/" + "9" * 5000,
                [("/path/number", "int_parsing_size")],
            ),
            (
                "/v1/notes/x/labels/green/one",
                [("/path/note_id", "uuid_parsing"), ("/path/name", "enum"), ("/path/number", "int_parsing")],
            ),
        ],
        ids=["uuid", "enum", "integer", "beyond-64-bits", "beyond-parsing", "all-at-once"],
    )
    def test_faults_name_the_parameter(self, client: TestClient, path: str, expected: list[tuple[str, str]]) -> None:
        assert faults(client.put(path, json=[], headers={"X-Reason": "1"})) == expected

    def test_nul_in_text(self, client: TestClient) -> None:
        assert faults(client.get("/v1/words/a%00b")) == [("/path/word", "nul_character")]

    def test_values_arrive_typed(self, client: TestClient) -> None:
        note = client.post("/v1/notes", json=HELLO).json()
        response = client.put(f"/v1/notes/{note['id']}/labels/blue/7", json=["a"], headers={"X-Reason": "3"})
        assert response.json() == ["blue", "7", "a", "3"]


class TestQuery:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("limit=0", [("/query/limit", "greater_than_equal")]),
            ("limit=", [("/query/limit", "int_parsing")]),
            ("limit=1&limit=2", [("/query/limit", "repeated")]),
            ("limitt=1", [("/query/limitt", "unknown")]),
            ("from_=x", [("/query/from_", "unknown")]),
            ("colour=red&colour=green", [("/query/colour/1", "enum")]),
            ("urgent=perhaps", [("/query/urgent", "bool_parsing")]),
            ("least=nan", [("/query/least", "finite_number")]),
            ("least=1e999", [("/query/least", "finite_number")]),
            ("from=%00", [("/query/from", "nul_character")]),
            ("after=%00", [("/query/after", "nul_character")]),
            ("after=!!", [("/query/after", "cursor")]),
            ("colour=red&" * 501, [("/query", "too_long")]),
            ("x/y=1", [("/query/x~1y", "unknown")]),
            ("x=1&limit=a", [("/query/x", "unknown"), ("/query/limit", "int_parsing")]),
        ],
    )
    def test_faults(self, client: TestClient, query: str, expected: list[tuple[str, str]]) -> None:
        assert faults(client.get(f"/v1/notes?{query}")) == expected

    @pytest.mark.parametrize("query", ["", "limit=5&colour=red&colour=blue&urgent=true&from=%F0%9F%8C%B1", "from=%ff"])
    def test_accepted(self, client: TestClient, query: str) -> None:
        assert client.get(f"/v1/notes?{query}").status_code == 200

    def test_an_operation_without_a_query_takes_none(self, client: TestClient) -> None:
        assert faults(client.get("/healthz?verbose=1")) == [("/query/verbose", "unknown")]

    def test_pages_follow_one_another(self, client: TestClient) -> None:
        made = {client.post("/v1/notes", json=HELLO).json()["id"] for _ in range(5)}
        seen: list[str] = []
        after = ""
        while True:
            page = client.get("/v1/notes", params={"limit": 2, **({"after": after} if after else {})}).json()
            seen += [note["id"] for note in page["items"]]
            if page["next"] is None:
                break
            after = page["next"]
        assert len(seen) == 5
        assert set(seen) == made


class TestHeaders:
    def test_too_long(self, client: TestClient) -> None:
        response = client.post("/v1/notes", json=HELLO, headers={"Idempotency-Key": "k" * 21})
        assert faults(response) == [("/header/Idempotency-Key", "string_too_long")]

    def test_missing_and_wrong(self, client: TestClient) -> None:
        path = f"/v1/notes/{uuid4()}/labels/red/1"
        assert faults(client.put(path, json=[])) == [("/header/X-Reason", "missing")]
        assert faults(client.put(path, json=[], headers={"X-Reason": "?"})) == [("/header/X-Reason", "int_parsing")]

    def test_a_default_holds_when_it_is_left_out(self, client: TestClient) -> None:
        note = client.post("/v1/notes", json=HELLO).json()
        path = f"/v1/notes/{note['id']}"
        assert client.patch(path, json={"weight": 3}).json()["weight"] == 3
        assert client.patch(path, json={"weight": 4}, headers={"If-Match": '"1"'}).status_code == 412


NOT_STORABLE = [
    (b'{"parts":[{"type":"text","text":"a\\u0000b"}]}', [("/body/parts/0/text", "nul_character")]),
    (b'{"parts":[{"type":"text","text":"a"}],"extra":{"a\\u0000":1}}', [("/body/extra", "nul_character")]),
    (b'{"parts":[{"type":"text","text":"a"}],"extra":{"b":"\\u0000","b":1}}', [("/body/extra/b", "nul_character")]),
    (b'{"parts":[{"type":"text","text":"a"}],"ratio":NaN}', [("/body/ratio", "finite_number")]),
    (b'{"parts":[{"type":"text","text":"a"}],"extra":[1,-Infinity]}', [("/body/extra/1", "finite_number")]),
    (b'{"parts":[{"type":"text","text":"a"}],"ratio":1e400}', [("/body/ratio", "finite_number")]),
    (b'{"parts":[{"type":"text","text":"a"}],"extra":1E+400}', [("/body/extra", "finite_number")]),
    (b'{"parts":[{"type":"text","text":"a"}],"weight":9223372036854775808}', [("/body/weight", "integer_range")]),
    (b'{"parts":[{"type":"text","text":"a"}],"extra":-' + b"9" * 4000 + b"}", [("/body/extra", "integer_range")]),
]
MALFORMED = {
    "syntax": b'{"parts":',
    "empty-text": b" ",
    "byte-order-mark": b"\xef\xbb\xbf{}",
    "lone-surrogate": b'{"extra":"\\ud800"}',
    "surrogate-bytes": b'{"extra":"\xed\xa0\x80"}',
    "not-utf-8": b'{"extra":"\xff"}',
    "control-character": b'{"extra":"\x00"}',
    "deep": b'{"extra":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "endless-number": b'{"extra":' + b"9" * 100_000 + b"}",
}
STORABLE = [
    b'{"parts":[{"type":"text","text":"\\\\u0000 NaN Infinity"}]}',
    b'{"parts":[{"type":"text","text":"12345678901234567890"}],"weight":9223372036854775807}',
    b'{"parts":[{"type":"text","text":"\\ud83c\\udf31"}],"weight":-9223372036854775808,"ratio":1e-400}',
]


class TestBody:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, [("/body/parts", "missing")]),
            ([], [("/body", "model_type")]),
            ({"parts": []}, [("/body/parts", "too_short")]),
            ({"parts": [{"type": "text"}]}, [("/body/parts/0/text", "missing")]),
            ({"parts": [{"type": "text", "text": 5}]}, [("/body/parts/0/text", "string_type")]),
            ({"parts": [{"type": "song"}]}, [("/body/parts/0", "union_tag_invalid")]),
            ({"parts": [{"type": "place", "latitude": 91}]}, [("/body/parts/0/latitude", "less_than_equal")]),
            ({**HELLO, "weight": "5"}, [("/body/weight", "int_type")]),
            ({**HELLO, "a/b~c": 1}, [("/body/a~1b~0c", "extra_forbidden")]),
        ],
    )
    def test_faults_point_into_what_was_sent(
        self, client: TestClient, notes: NoteRoutes, body: object, expected: list[tuple[str, str]]
    ) -> None:
        assert faults(client.post("/v1/notes", json=body)) == expected
        assert notes.calls == 0

    @pytest.mark.parametrize(("raw", "expected"), NOT_STORABLE)
    def test_what_cannot_be_stored(
        self, client: TestClient, notes: NoteRoutes, raw: bytes, expected: list[tuple[str, str]]
    ) -> None:
        assert faults(client.post("/v1/notes", content=raw, headers=JSON)) == expected
        assert notes.calls == 0

    @pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
    def test_malformed(self, client: TestClient, raw: bytes) -> None:
        response = client.post("/v1/notes", content=raw, headers=JSON)
        assert faults(response) == [("/body", "json_invalid")]
        assert " line 1 column " in problem(response)["faults"][0]["detail"]

    @pytest.mark.parametrize("raw", STORABLE)
    def test_what_only_looks_dangerous(self, client: TestClient, raw: bytes) -> None:
        assert client.post("/v1/notes", content=raw, headers=JSON).status_code == 201

    @pytest.mark.parametrize(("literal", "weight"), [("5.0", 5), ("-2e3", -2000), ("0.0", 0)])
    def test_whole_numbers_are_integers_however_written(self, client: TestClient, literal: str, weight: int) -> None:
        raw = b'{"parts":[{"type":"text","text":"1.0"}],"extra":2.5,"weight":%s}' % literal.encode()
        answer = client.post("/v1/notes", content=raw, headers=JSON).json()
        assert (answer["weight"], answer["extra"], answer["parts"][0]["text"]) == (weight, 2.5, "1.0")

    @pytest.mark.parametrize("literal", ["5.5", "1e300", "1e30", "9223372036854775808.0"])
    def test_other_numbers_are_not(self, client: TestClient, literal: str) -> None:
        raw = b'{"parts":[{"type":"text","text":"1"}],"weight":%s}' % literal.encode()
        assert faults(client.post("/v1/notes", content=raw, headers=JSON)) == [("/body/weight", "int_type")]

    def test_a_flood_of_faults_is_counted_not_listed(self, client: TestClient) -> None:
        path = f"/v1/notes/{uuid4()}/labels/red/1"
        response = client.put(path, json=[0] * 5_000, headers={"X-Reason": "1"})
        assert faults(response) == [("/body", "too_many_faults")]
        assert "5000" in response.text
        response = client.put(path, json=["\0"] * 5_000, headers={"X-Reason": "1"})
        assert len(faults(response)) == 100

    def test_values_are_never_repeated(self, client: TestClient) -> None:
        response = client.post("/v1/notes", json={"parts": [{"type": "text", "text": {"password": "hunter2"}}]})
        assert "hunter2" not in response.text

    def test_missing(self, client: TestClient) -> None:
        assert faults(client.post("/v1/notes", headers=JSON)) == [("/body", "missing")]
        assert faults(client.post("/v1/notes")) == [("/body", "missing")]

    def test_optional(self, client: TestClient) -> None:
        note = client.post("/v1/notes", json=HELLO).json()
        assert client.patch(f"/v1/notes/{note['id']}").json() == note

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/json; charset=utf-8",
            'Application/JSON;Charset="UTF-8"',
            "application/json ;",
        ],
    )
    def test_json_by_any_of_its_names(self, client: TestClient, content_type: str) -> None:
        response = client.post("/v1/small", content=b'{"a":1}', headers={"Content-Type": content_type})
        assert response.json() == {"a": 1}

    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; v=2", ""],
    )
    def test_other_types(self, client: TestClient, content_type: str) -> None:
        response = client.post("/v1/small", content=b'{"a":1}', headers={"Content-Type": content_type})
        assert response.status_code == 415
        assert problem(response)["code"] == "unsupported_media_type"

    def test_no_type(self, client: TestClient) -> None:
        assert client.post("/v1/small", content=b'{"a":1}').status_code == 415


class TestLimit:
    def test_a_declared_length_is_refused_unread(self, client: TestClient) -> None:
        response = client.post("/v1/small", content=b"x" * 65, headers=JSON)
        assert response.status_code == 413
        assert problem(response)["limit"] == 64

    def test_the_limit_itself_passes(self, client: TestClient) -> None:
        raw = b'{"a":"' + b"x" * 56 + b'"}'
        assert len(raw) == 64
        assert client.post("/v1/small", content=raw, headers=JSON).status_code == 200

    async def test_reading_stops_at_the_limit(self) -> None:
        """Without a Content-Length, at most one chunk beyond the limit is taken from the socket."""
        taken = 0

        async def receive() -> dict[str, object]:
            nonlocal taken
            taken += 1
            return {"type": "http.request", "body": b"x" * 50, "more_body": True}

        assert await status_of("/v1/small", receive) == 413
        assert taken == 2

    async def test_a_client_that_left_is_not_answered(self) -> None:
        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        assert await status_of("/v1/small", receive) is None

    def test_a_megabyte_is_the_default(self, client: TestClient) -> None:
        raw = b'{"parts":[],"extra":"' + b"x" * 1024 * 1024 + b'"}'
        assert client.post("/v1/notes", content=raw, headers=JSON).status_code == 413


async def status_of(path: str, receive: object) -> int | None:
    sent: list[dict[str, int]] = []

    async def send(message: dict[str, int]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await make_app(SmallRoutes())(scope, receive, send)  # type: ignore[arg-type]
    return sent[0]["status"] if sent else None


class TestBoundary:
    @pytest.mark.parametrize("given", ["abc-1._Z", "x" * 64])
    def test_a_proper_request_id_is_kept(self, client: TestClient, given: str) -> None:
        assert client.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"] == given

    @pytest.mark.parametrize("given", [b"", b"x" * 65, b"a b", b"a\tb", "é".encode()])
    def test_any_other_is_replaced(self, client: TestClient, given: bytes) -> None:
        answered = client.get("/healthz", headers={b"X-Request-Id": given}).headers["x-request-id"]
        assert UUID(answered)
        assert client.get("/healthz").headers["x-request-id"] != answered

    def test_what_nobody_foresaw(self, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR):
            response = client.get("/broken", headers={"X-Request-Id": "r-1"})
        assert response.status_code == 500
        assert response.json() == {
            "type": "about:blank",
            "title": "Internal Server Error",
            "status": 500,
            "detail": "this is our fault",
            "code": "internal",
            "request_id": "r-1",
        }
        (record,) = caplog.records
        assert record.exc_info is not None
        assert vars(record)["request_id"] == "r-1"

    def test_a_refused_socket_gets_the_problem(self, client: TestClient) -> None:
        with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/socket"):
            pass
        assert refused.value.status_code == 401
        assert problem(refused.value)["detail"] == "a ticket is needed"

    async def test_a_server_that_cannot_deny_closes_with_the_code(self) -> None:
        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        async def receive() -> dict[str, object]:
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b""}
        await make_app()(scope, receive, send)  # type: ignore[arg-type]
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": "unauthenticated"}]

    async def test_an_answer_that_began_is_not_answered_twice(self) -> None:
        async def half(scope: object, receive: object, send: object) -> None:
            await send({"type": "http.response.start", "status": 200})  # type: ignore[operator]
            raise RuntimeError("the disk is gone")

        sent: list[object] = []

        async def send(message: object) -> None:
            sent.append(message)

        with pytest.raises(RuntimeError, match="disk"):
            await RequestBoundary(half)({"type": "http", "headers": [], "path": "/"}, None, send)  # type: ignore[arg-type]
        assert len(sent) == 1


class Unsaid:
    @get("/x")
    async def read(self):  # type: ignore[no-untyped-def]
        return 1


class Unclaimed:
    @get("/x/{y}")
    async def read(self) -> None: ...


class Stranger:
    @get("/x")
    async def read(self, caller: Caller) -> None: ...


class Blocking:
    @get("/x")
    def read(self) -> None: ...


class Twin:
    @get("/x")
    async def one(self) -> None: ...

    @get("/x", tag="twin")
    async def two(self) -> None: ...


class Crossed:
    @get("/x/{a}")
    async def one(self, a: str) -> None: ...

    @post("/x/{b}")
    async def two(self, b: str) -> None: ...


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (Unsaid(), "must say what it answers"),
        (Unclaimed(), "no parameter for"),
        (Stranger(), "nothing injects"),
        (Blocking(), "must be an async method"),
        (Twin(), "declared twice: GET /x"),
        (Crossed(), "declared elsewhere"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_mistakes_are_found_when_routes_are_built(group: object, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        build_routes([group])


def test_operations_are_read_in_order_of_definition() -> None:
    found = [operation.id for operation in operations([NoteRoutes(), OpenRoutes()])]
    assert found == [
        "note.list",
        "note.create",
        "note.newest",
        "note.read",
        "note.change",
        "note.remove",
        "note.label",
        "note.snapshot",
        "health.health",
        "open.word",
        "open.maybe",
    ]


def test_finding_a_route_costs_the_same_among_many() -> None:
    """One route object holds all operations, so Starlette has nothing to search through."""
    routes: list[BaseRoute] = build_routes([NoteRoutes(), OpenRoutes()], inject={Caller: None})  # type: ignore[dict-item]
    assert len(routes) == 1


def test_headers_are_named_after_their_parameters() -> None:
    change = next(operation for operation in operations([NoteRoutes()]) if operation.id == "note.change")
    assert [header.wire for header in change.headers] == ["If-Match"]
    assert Header("X-Other").name == "X-Other"
