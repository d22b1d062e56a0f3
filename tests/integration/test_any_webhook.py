"""P1 and P11 against whatever may arrive: signed webhooks of any content, and malformed bodies at our own API.

The whole application runs in process on a real PostgreSQL. Whatever a signed webhook says, it is kept, answered 200,
processed to its end, and costs nothing that stands beside it; nothing that a client sends is answered with a 5xx.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import string
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from cluster import Cluster
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from inbox.app import create_app
from inbox.kernel.settings import Settings
from inbox.runtime import Runtime

DATA = Path(__file__).parents[1] / "data"
ACCOUNTS = {"whatsapp": "111", "messenger": "1001", "instagram": "17841", "telegram": "4242"}
"""As in the recorded payloads."""
APP_SECRET = "app-secret-of-any-webhook"
BOT_SECRET = "bot-secret-of-any-webhook"
PASSWORD = "correct horse battery"
MAX_BYTES = 300_000
NOBODY = "http://127.0.0.1:9"
UNKNOWN_ID = "01a20000-0000-7000-8000-000000000000"
Json = Any

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["", "0", "\x00", "a\x00b", "111", "1001", "17841", "wamid.A", "\U0010ffff", "٣", "-1", "1e999"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
several = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would run the whole path again and again
    suppress_health_check=list(HealthCheck),
)


@dataclass
class House:
    """A running application with a channel of each kind."""

    runtime: Runtime
    client: httpx2.AsyncClient
    paths: dict[str, str]
    conversation_id: str

    async def post(self, kind: str, body: bytes) -> httpx2.Response:
        return await self.client.post(self.paths[kind], content=body, headers=signed(kind, body))

    async def fetch(self, query: str, *args: object) -> list[Any]:
        async with self.runtime.database.session() as connection:
            return list(await connection.fetch(query, *args))

    async def handled(self) -> None:
        """Everything that was accepted is processed: within seconds, and so by nobody's take-over."""
        try:
            async with asyncio.timeout(15):
                while await self.fetch("SELECT id FROM pending_deliveries LIMIT 1"):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            (row,) = await self.fetch(
                "SELECT r.body FROM pending_deliveries p JOIN raw_deliveries r ON r.id = p.id ORDER BY r.id LIMIT 1"
            )
            raise AssertionError(f"left pending: {row[0][:2000]!r}") from None


def signed(kind: str, body: bytes) -> dict[str, str]:
    if kind == "telegram":
        return {"x-telegram-bot-api-secret-token": BOT_SECRET}
    return {"x-hub-signature-256": "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()}


@pytest.fixture(scope="module")
async def house(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    name = await cluster.create(template_database)
    folder = tmp_path_factory.mktemp("any-webhook")
    given = Settings(
        data_folder=folder,
        webhook_max_bytes=MAX_BYTES,
        roles=("api",),
        allow_private_networks=(IPv4Network("127.0.0.0/8"),),
    )
    runtime = Runtime(given, cluster.dsn(name))
    app = create_app(runtime)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://inbox.test") as client:
            await runtime.workspaces.create_workspace("Any", "Ada", "ada@example.com", PASSWORD)
            answer = await client.post("/v1/sessions", json={"email": "ada@example.com", "password": PASSWORD})
            client.headers["authorization"] = f"Bearer {answer.json()['token']}"
            yield await _furnish(House(runtime, client, {}, ""))
    await cluster.drop(name)


async def _furnish(house: House) -> House:
    apps = {}
    for provider, fields in (
        ("meta", {"signing_secrets": [APP_SECRET]}),
        ("telegram", {"signing_secrets": [BOT_SECRET], "account_id": ACCOUNTS["telegram"]}),
    ):
        made = await house.client.post("/v1/provider-apps", json={"provider": provider, "name": provider, **fields})
        assert made.status_code == 201, made.text
        apps[provider] = made.json()["app"]
    for kind, account_id in ACCOUNTS.items():
        app = apps["telegram" if kind == "telegram" else "meta"]
        fields = {
            "kind": kind,
            "provider_app_id": app["id"],
            "account_id": account_id,
            "name": kind,
            "token": "t",
            "api_base": NOBODY,
        }
        made = await house.client.post("/v1/channels", json=fields)
        assert made.status_code == 201, made.text
        house.paths[kind] = httpx2.URL(app["webhook_url"]).path
    for kind in ACCOUNTS:
        for body in recorded(kind):
            assert (await house.post(kind, body)).status_code == 200
    await house.handled()
    rows = await house.fetch("SELECT id FROM conversations ORDER BY id LIMIT 1")
    house.conversation_id = str(rows[0][0])
    return house


# --- Bodies -----------------------------------------------------------------------------------------------------------


@cache
def recorded(kind: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((DATA / kind).glob("*.json"))]


def places(value: Json) -> list[tuple[Json, Json]]:
    """Every (container, key) in a document."""
    found: list[tuple[Json, Json]] = []
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> bytes:
    """Recorded payloads with something wrong, or nothing of the kind."""
    how = draw(st.sampled_from(["mutated"] * 5 + ["cut", "bytes", "json", "deep", "flipped"]))
    whole = draw(st.sampled_from(recorded(kind)))
    match how:
        case "bytes":
            return draw(st.binary(max_size=100))
        case "json":
            return orjson.dumps(draw(anything.filter(_encodable)))
        case "cut":
            return whole[: draw(st.integers(0, len(whole)))]
        case "deep":
            depth = draw(st.sampled_from([100, 1_000, 30_000]))
            return draw(st.sampled_from([b"[" * depth, b"[" * depth + b"]" * depth, b'{"entry":' * depth]))
        case "flipped":
            at = draw(st.integers(0, len(whole) - 1))
            return whole[:at] + bytes([draw(st.integers(0, 255))]) + whole[at + 1 :]
        case _:
            document = orjson.loads(whole)
            for _ in range(draw(st.integers(1, 3))):
                container, key = draw(st.sampled_from(places(document) or [(document, None)]))
                _change(draw, container, key)
            return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)[:MAX_BYTES]


def _change(draw: st.DrawFn, container: Json, key: Json) -> None:
    if key is None:
        return
    match draw(st.sampled_from(["replace", "replace", "delete", "repeat", "long"])):
        case "delete":
            del container[key]
        case "repeat" if isinstance(container, list):
            container += [container[key]] * 3
        case "long" if isinstance(container[key], str):
            container[key] *= draw(st.sampled_from([2, 300, 5_000]))
        case _:
            container[key] = draw(anything.filter(_encodable))


def _encodable(value: Json) -> bool:
    """orjson writes 64 bits at most; larger integers are left to the fixed cases."""
    try:
        orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        return False
    return True


# --- Webhooks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ACCOUNTS)
@several
@given(data=st.data())
async def test_any_signed_body_is_kept_and_processed(house: House, kind: str, data: st.DataObject) -> None:
    batch = data.draw(st.lists(bodies(kind), min_size=4, max_size=12))
    answers = await asyncio.gather(*(house.post(kind, body) for body in batch))
    assert [answer.status_code for answer in answers] == [200] * len(batch)
    kept = {row[0] for row in await house.fetch("SELECT body FROM raw_deliveries WHERE body = ANY($1)", batch)}
    assert kept == set(batch)
    await house.handled()
    # Adapters are total and what they hand out can be stored; anything else is a bug, though nothing is lost by it.
    faults = await house.fetch(
        """SELECT q.reason, q.detail, r.body FROM quarantine q JOIN raw_deliveries r ON r.id = q.raw_id
           WHERE q.reason IN ('unparsable', 'unstorable', 'unending')"""
    )
    assert [(row[0], row[1], row[2][:1500]) for row in faults] == []


async def test_a_customer_who_writes_a_lot_at_once_is_handled_in_linear_time(house: House) -> None:
    """Batches join what belongs to one person; that once took time exponential in their messages."""

    def body(number: int) -> bytes:
        document = orjson.loads((DATA / "whatsapp" / "text.json").read_bytes())
        document["entry"][0]["changes"][0]["value"]["messages"][0]["id"] = f"wamid.flood.{number}"
        return orjson.dumps(document)

    await asyncio.gather(*(house.post("whatsapp", body(number)) for number in range(200)))
    await house.handled()
    rows = await house.fetch("SELECT count(*) FROM messages WHERE external_id LIKE 'wamid.flood.%'")
    assert rows[0][0] == 200


FIXED = {
    "an integer beyond 64 bits": b'{"object":"page","entry":[{"id":1e400,"changes":18446744073709551617}]}',
    "not a number": b'{"update_id":NaN,"message":Infinity}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"object":"page"}'.encode("utf-16"),
    "a lone surrogate": b'{"object":"page","entry":[{"id":"1001","messaging":[{"sender":{"id":"2002"},"recipient":'
    b'{"id":"1001"},"timestamp":1,"message":{"mid":"m_s","text":"\\ud83d"}}]}]}',
    "a null character in a text": b'{"object":"page","entry":[{"id":"1001","messaging":[{"sender":{"id":"2002"},'
    b'"recipient":{"id":"1001"},"timestamp":1,"message":{"mid":"m_n","text":"a\\u0000b"}}]}]}',
    "a null character in an id": b'{"object":"page","entry":[{"id":"1001","messaging":[{"sender":{"id":"2\\u0000"},'
    b'"recipient":{"id":"1001"},"timestamp":1,"message":{"mid":"m\\u0000n","text":"x"}}]}]}',
    "a time beyond the calendar": b'{"object":"page","entry":[{"id":"1001","messaging":[{"sender":{"id":"2002"},'
    b'"recipient":{"id":"1001"},"timestamp":99999999999999999,"message":{"mid":"m_t","text":"x"}}]}]}',
    "nothing": b"",
    "repeated keys": b'{"update_id":1,"update_id":2,"message":null,"message":{}}',
}


@pytest.mark.parametrize("kind", ACCOUNTS)
@pytest.mark.parametrize("label", FIXED)
async def test_known_troublemakers_cost_nobody_else_anything(house: House, kind: str, label: str) -> None:
    neighbour = recorded(kind)[0]
    answers = await asyncio.gather(*(house.post(kind, body) for body in (neighbour, FIXED[label], neighbour)))
    assert [answer.status_code for answer in answers] == [200] * 3
    await house.handled()
    faults = await house.fetch(
        """SELECT q.reason FROM quarantine q JOIN raw_deliveries r ON r.id = q.raw_id
           WHERE r.body = $1 AND q.reason IN ('unparsable', 'unstorable', 'unending')""",
        FIXED[label],
    )
    assert faults == []


@pytest.mark.parametrize("kind", ACCOUNTS)
async def test_a_body_of_the_limit_is_kept_and_one_beyond_is_refused(house: House, kind: str) -> None:
    before = await house.fetch("SELECT count(*) FROM raw_deliveries")
    largest = b'{"entry":[' + b" " * (MAX_BYTES - 12) + b"]}"
    assert len(largest) == MAX_BYTES
    assert (await house.post(kind, largest)).status_code == 200
    for body in (largest + b" ", largest * 3):
        answer = await house.post(kind, body)
        assert (answer.status_code, answer.content) == (413, b"")

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * (MAX_BYTES // 4)

    answer = await house.client.post(house.paths[kind], content=unannounced())
    assert (answer.status_code, answer.content) == (413, b"")
    await house.handled()
    after = await house.fetch("SELECT count(*) FROM raw_deliveries")
    assert after[0][0] == before[0][0] + 1


@several
@given(kind=st.sampled_from(sorted(ACCOUNTS)), proof=st.text(string.printable, max_size=100), data=st.data())
async def test_what_the_provider_did_not_sign_changes_nothing(
    house: House, kind: str, proof: str, data: st.DataObject
) -> None:
    body = data.draw(bodies(kind))
    before = await house.fetch("SELECT count(*) FROM raw_deliveries")
    (name,) = signed(kind, b"")
    other_kind = "messenger" if kind == "telegram" else "telegram"
    value = "".join(letter for letter in proof if letter.isprintable()).strip()
    for headers in ({}, {name: value}, {name: ""}, signed(other_kind, body), {name: "sha256=" + "0" * 64}):
        answer = await house.client.post(house.paths[kind], content=body, headers=headers)
        assert (answer.status_code, answer.content) == (401, b"")
    assert await house.fetch("SELECT count(*) FROM raw_deliveries") == before


@pytest.mark.parametrize("path", ["/webhooks/meta/unknown", "/webhooks/nobody/x", "/webhooks/telegram/" + "x" * 500])
async def test_an_endpoint_that_is_not_there_reveals_nothing(house: House, path: str) -> None:
    body = recorded("whatsapp")[0]
    for method in ("POST", "GET", "HEAD", "PUT", "DELETE"):
        answer = await house.client.request(method, path, content=body, headers=signed("whatsapp", body))
        assert (answer.status_code, answer.content) == (404, b"")
    wrong_provider = house.paths["whatsapp"].replace("/meta/", "/telegram/")
    assert (await house.client.post(wrong_provider, content=body)).status_code == 404


async def test_the_log_is_dense_after_all_of_it(house: House) -> None:
    """Last in this file: what came before must not have torn anything."""
    await house.handled()
    rows = await house.fetch(
        """SELECT l.head, count(*), min(e.position), max(e.position)
           FROM event_logs l JOIN events e USING (workspace_id) GROUP BY l.head"""
    )
    ((head, *figures),) = rows
    assert figures == [head, 1, head]
    gaps = await house.fetch(
        """SELECT v.id FROM conversations v LEFT JOIN messages m ON m.conversation_id = v.id
           GROUP BY v.id, v.last_number HAVING count(m.id) <> v.last_number OR max(m.number) <> v.last_number"""
    )
    assert gaps == []


# --- Our own API ------------------------------------------------------------------------------------------------------


async def operations(house: House) -> list[tuple[str, str]]:
    """Every call that takes a JSON body, with ids that exist where we know one."""
    document = (await house.client.get("/openapi.json")).json()
    return sorted(
        (method.upper(), _filled(path.replace("{conversation_id}", house.conversation_id)))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    )


def _filled(path: str) -> str:
    return "/".join(UNKNOWN_ID if step.startswith("{") else step for step in path.split("/"))


MALFORMED = [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"parts":NaN}', b'{"a":1}{"b":2}']


async def test_malformed_bodies_at_every_call_are_refused_with_a_reason(house: House) -> None:
    calls = await operations(house)
    assert len(calls) > 12
    for method, path in calls:
        for body in MALFORMED:
            answer = await house.client.request(
                method, path, content=body, headers={"content-type": "application/json"}
            )
            await _check(house, answer, f"{method} {path} {body[:30]!r}")


@several
@given(value=anything.filter(_encodable), data=st.data())
async def test_any_json_at_any_call_is_answered_with_less_than_500(
    house: House, value: Json, data: st.DataObject
) -> None:
    for method, path in await operations(house):
        body = value
        if isinstance(value, dict) and data.draw(st.booleans()):
            body = {**data.draw(st.sampled_from(NEARLY)), **value}
        elif data.draw(st.booleans()):
            body = dict.fromkeys(data.draw(st.sampled_from(NEARLY)), value)
        answer = await house.client.request(method, path, json=body)
        await _check(house, answer, f"{method} {path} {body!r}"[:600])


NEARLY: list[dict[str, Json]] = [
    {"parts": [{"type": "text", "text": "Hello"}]},
    {"parts": [{"type": "reaction", "message_id": UNKNOWN_ID, "emoji": "x"}]},
    {"number": 1},
    {"status": "closed", "assignee_id": None, "priority": 1},
    {"name": "N", "first_name": "F", "email": "a@b.c", "phone": "+15551230009", "custom": {}},
    {"role": "bot", "name": "Bot"},
    {"email": "nobody@example.com", "password": "wrong"},
    {"kind": "whatsapp", "provider_app_id": UNKNOWN_ID, "name": "n", "token": "t"},
    {"provider": "meta", "name": "n", "signing_secrets": ["s"]},
    {"name": "token", "scopes": [], "expires_at": None},
]


async def _check(house: House, answer: httpx2.Response, label: str) -> None:
    assert answer.status_code < 500, (label, answer.status_code, answer.text[:500])
    if answer.status_code < 400:
        return
    assert answer.headers["content-type"] == "application/problem+json", label
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["code"], label
    if answer.status_code == 422 and "faults" in problem:
        assert all(fault["pointer"].startswith("/") for fault in problem["faults"]), (label, problem)
