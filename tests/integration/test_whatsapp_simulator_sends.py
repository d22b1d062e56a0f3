"""What the simulator's Cloud API takes, refuses and fails (facts, 1.4 to 1.7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from simulator_stage import Stage, open_stage, subset, wrote

from channels.simulator.client import SimulatorError
from channels.simulator.server import SimulatorServer

Json = dict[str, Any]
ANN = "15551230001"


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=12, retry_scale=0.01, fetch_links=False) as server:
        yield server


@pytest.fixture
async def stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    async with open_stage(simulator) as opened:
        yield opened


# --- Templates --------------------------------------------------------------------------------------------------------


def body(*values: str | Json) -> Json:
    return {"type": "body", "parameters": [{"type": "text", "text": v} if isinstance(v, str) else v for v in values]}


def named(**values: str) -> list[Json]:
    return [{"type": "text", "parameter_name": name, "text": text} for name, text in values.items()]


def header(kind: str, **about: Any) -> Json:
    return {"type": "header", "parameters": [{"type": kind, kind: about}]}


def button(index: int, sub_type: str, kind: str, value: Any) -> Json:
    return {"type": "button", "sub_type": sub_type, "index": str(index), "parameters": [{"type": kind, kind: value}]}


TRACK = button(1, "url", "text", "A-42")
CODE = button(2, "copy_code", "coupon_code", "SUMMER20")
PLACE = header("location", latitude=1, longitude=2, name="Shop", address="Road 1")
EURO = {"type": "currency", "currency": {"fallback_value": "12 €", "code": "EUR", "amount_1000": 12000}}
TEMPLATES: list[tuple[str, str, list[Json], int | None]] = [
    ("positional with a url", "order_update", [body("Ann", "A-42"), TRACK], None),
    ("a quick reply's payload", "order_update", [
        body("A", "B"), TRACK, button(0, "quick_reply", "payload", "YES")], None),
    ("a currency", "invoice_ready", [header("document", link="https://x.example/a.pdf"), body(EURO)], None),
    ("a place and a code", "pickup_point", [PLACE, body("Friday"), CODE], None),
    ("named in header and body", "welcome_back", [
        {"type": "header", "parameters": named(first_name="Ann")},
        {"type": "body", "parameters": named(points="7", first_name="Ann")}], None),
    ("too few values", "order_update", [body("Ann"), TRACK], 132000),
    ("a header that is not defined", "order_update", [
        {"type": "header", "parameters": [{"type": "text", "text": "x"}]}, body("A", "B"), TRACK], 132000),
    ("no such template", "no_such", [], 132001),
    ("pending", "pending_offer", [], 132001),
    ("paused", "paused_offer", [], 132015),
    ("disabled", "disabled_offer", [], 132016),
    ("too long", "order_update", [body("A" * 1020, "B"), TRACK], 132005),
    ("a line break", "order_update", [body("A\nB", "B"), TRACK], 132018),
    ("an empty value", "order_update", [body("", "B"), TRACK], 131008),
    ("a picture in the body", "order_update", [
        body("A", {"type": "image", "image": {"link": "https://x.example/a.png"}}), TRACK], 132012),
    ("another kind of header", "invoice_ready", [header("image", link="https://x.example/a.png"), body("1")], 132012),
    ("no header", "invoice_ready", [body("1")], 132012),
    ("a header with two sources", "invoice_ready", [
        header("document", link="https://x.example/a.pdf", id="1"), body("1")], 100),
    ("a place without latitude", "pickup_point", [header("location", name="x"), body("Friday"), CODE], 131009),
    ("a currency without code", "invoice_ready", [
        header("document", link="https://x.example/a.pdf"),
        body({"type": "currency", "currency": {"fallback_value": "1"}})], 132012),
    ("no url value", "order_update", [body("A", "B")], 131008),
    ("no code", "pickup_point", [PLACE, body("Friday")], 131008),
    ("a long code", "pickup_point", [PLACE, body("Friday"), button(2, "copy_code", "coupon_code", "X" * 16)], 100),
    ("a button that is not there", "order_update", [body("A", "B"), TRACK, button(5, "url", "text", "x")], 131009),
    ("a button of another type", "order_update", [body("A", "B"), button(1, "quick_reply", "payload", "x")], 132012),
    ("names for positions", "order_update", [{"type": "body", "parameters": named(a="A", b="B")}, TRACK], 100),
    ("positions for names", "appointment_reminder", [body("Ann", "Monday")], 100),
    ("an unknown component", "hello_world", [{"type": "belly"}], 100),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "components", "code"), [case[1:] for case in TEMPLATES], ids=[c[0] for c in TEMPLATES]
)
async def test_templates_are_held_against_their_definition(
    stage: Stage, name: str, components: list[Json], code: int | None
) -> None:
    template = {"name": name, "language": {"code": "en_US"}, "components": components}
    status, answer = await stage.whatsapp(to=ANN, type="template", template=template)
    if code is None:
        assert (status, answer["messages"][0]["message_status"]) == (200, "accepted")
    else:
        assert (status, answer["error"]["code"]) == (404 if code == 132001 else 400, code)
        assert answer["error"]["error_data"]["details"] if code > 100 else True
        assert await stage.control.inbox("111") == []


async def test_a_template_is_shown_filled_and_priced_by_its_category(stage: Stage) -> None:
    components = [{"type": "header", "parameters": named(first_name="Ann")},
                  {"type": "body", "parameters": named(first_name="Ann", points="7")}]  # fmt: skip
    template = {"name": "welcome_back", "language": {"code": "en_US"}, "components": components}
    await stage.whatsapp(to=ANN, type="template", template=template)
    await stage.receiver.until(3)
    assert stage.receiver.statuses()[0]["pricing"]["category"] == "marketing"
    (seen,) = await stage.control.inbox("111", ANN)
    assert seen["text"] == "Hi Ann\nNice to see you, Ann. Your points: 7."
    await stage.control.fault("api", "hold", count=1)
    _, held = await stage.whatsapp(to=ANN, type="template", template=template)
    assert held["messages"][0]["message_status"] == "held_for_quality_assessment"
    assert await stage.control.flush()
    assert len(stage.receiver.statuses()) == 3


async def test_templates_can_be_defined_and_change(stage: Stage) -> None:
    made = await stage.control.define_template(
        "111", "fresh", [{"type": "BODY", "text": "Hello {{1}}"}], language="sv", category="MARKETING"
    )
    template = {"name": "fresh", "language": {"code": "sv"}, "components": [body("Ann")]}
    assert (await stage.whatsapp(to=ANN, type="template", template=template))[0] == 200
    assert await stage.control.flush()
    stage.receiver.bodies.clear()
    about: Json = {"name": "fresh", "language": "sv"}
    await stage.control.event("111", "template_status", status="PAUSED", reason="LOW_QUALITY", **about)
    await stage.control.event("111", "template_quality", score="RED", **about)
    await stage.control.event("111", "template_category", category="UTILITY", **about)
    parts: list[Any] = [
        {"type": "BODY", "text": "Bye"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go"}]},
    ]
    await stage.control.event("111", "template_components", components=parts, **about)
    await stage.receiver.until(4)
    ids = {
        "message_template_id": int(str(made["id"])), "message_template_name": "fresh",
        "message_template_language": "sv",
    }  # fmt: skip
    changes = [received["entry"][0]["changes"][0] for received in stage.receiver.bodies]
    assert [(change["field"], {**ids, **change["value"]} == change["value"]) for change in changes] == [
        ("message_template_status_update", True), ("message_template_quality_update", True),
        ("template_category_update", True), ("message_template_components_update", True),
    ]  # fmt: skip
    values = [change["value"] for change in changes]
    assert (values[0]["event"], values[0]["reason"]) == ("PAUSED", "LOW_QUALITY")
    assert (values[1]["previous_quality_score"], values[1]["new_quality_score"]) == ("UNKNOWN", "RED")
    assert (values[2]["previous_category"], values[2]["new_category"]) == ("MARKETING", "UTILITY")
    assert values[3]["message_template_buttons"] == [
        {"message_template_button_type": "URL", "message_template_button_text": "Go"}
    ]
    status, answer = await stage.whatsapp(to=ANN, type="template", template=template)
    assert (status, answer["error"]["code"]) == (400, 132015)
    _, listed = await stage.graph(
        "GET", "999/message_templates?name=fresh&fields=status,category,quality_score", "wa-token"
    )
    assert subset({"status": "PAUSED", "category": "UTILITY", "quality_score": {"score": "RED"}}, listed["data"][0])
    with pytest.raises(SimulatorError, match="no template absent"):
        await stage.control.event("111", "template_status", status="PAUSED", name="absent")


# --- Interactive ------------------------------------------------------------------------------------------------------

YES = {"buttons": [{"type": "reply", "reply": {"id": "y", "title": "Yes"}}]}
LINK = {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://x.example"}}
FLOW = {"name": "flow", "parameters": {"flow_message_version": "3", "flow_id": "1", "flow_cta": "Book"}}
ROWS = {"button": "Pick", "sections": [{"rows": [{"id": "1", "title": "One"}]}]}
PICTURE = {"type": "image", "image": {"link": "https://x.example/a.png"}}
PRODUCTS = {"catalog_id": "1", "sections": [{"title": "s", "product_items": [{"product_retailer_id": "p"}]}]}
INTERACTIVE: list[tuple[str, Json, int | None]] = [
    ("buttons under a picture", {"type": "button", "header": PICTURE, "action": YES}, None),
    ("a link under a text", {"type": "cta_url", "header": {"type": "text", "text": "Hi"}, "action": LINK}, None),
    ("a flow", {"type": "flow", "action": FLOW}, None),
    ("asking for a place", {"type": "location_request_message", "action": {"name": "send_location"}}, None),
    ("asking for the phone", {"type": "request_contact_info", "action": {"name": "request_contact_info"}}, None),
    ("asking for calls", {"type": "call_permission_request", "action": {"name": "call_permission_request"}}, None),
    ("products", {"type": "product_list", "header": {"type": "text", "text": "x"}, "action": PRODUCTS}, None),
    ("products without header", {"type": "product_list", "action": PRODUCTS}, 131008),
    ("a list under a picture", {"type": "list", "header": PICTURE, "action": ROWS}, 131009),
    ("a header from nowhere", {"type": "button", "header": {"type": "image", "image": {}}, "action": YES}, 100),
    ("a long header", {"type": "button", "header": {"type": "text", "text": "x" * 61}, "action": YES}, 100),
    ("no url", {"type": "cta_url", "action": {
        "name": "cta_url", "parameters": {"display_text": "x", "url": "x"}}}, 131009),
    ("another action", {"type": "request_contact_info", "action": {"name": "send_location"}}, 131009),
    ("a flow of two", {"type": "flow", "action": {"name": "flow", "parameters": {
        **FLOW["parameters"], "flow_name": "n"}}}, 131009),  # type: ignore[dict-item]
    ("a button of no kind", {"type": "button", "action": {"buttons": [{"reply": {"id": "1", "title": "1"}}]}}, 100),
    ("a kind of its own", {"type": "poem", "action": {"name": "x"}}, 131009),
]  # fmt: skip


@pytest.mark.parametrize(("message", "code"), [case[1:] for case in INTERACTIVE], ids=[case[0] for case in INTERACTIVE])
async def test_interactive_messages(stage: Stage, message: Json, code: int | None) -> None:
    await wrote(stage, "111", ANN)
    status, answer = await stage.whatsapp(to=ANN, type="interactive", interactive={"body": {"text": "?"}, **message})
    assert (status, answer.get("error", {}).get("code")) == ((200, None) if code is None else (400, code))


# --- To whom ----------------------------------------------------------------------------------------------------------


async def test_who_writes_too_fast_to_one_person_has_to_wait(stage: Stage) -> None:
    await wrote(stage, "111", ANN)
    await stage.control.state("111", pair_rate=True)
    await stage.control.receipts(auto=False)
    answers = [await stage.whatsapp(to=ANN, text={"body": str(number)}) for number in range(47)]
    assert [status for status, _ in answers] == [200] * 45 + [400] * 2
    assert answers[-1][1]["error"]["code"] == 131056
    assert (await stage.whatsapp(to="15551230009", text={"body": "x"}))[0] == 200


async def test_people_fail_by_the_code_that_was_wished(stage: Stage) -> None:
    await wrote(stage, "111", ANN)
    for code in (131049, 130472, 0):
        await stage.control.customer("111", {"id": ANN}, send_error=code)
        assert (await stage.whatsapp(to=ANN, text={"body": "x"}))[0] == 200
    await stage.receiver.until(5)
    statuses = stage.receiver.statuses()
    assert [each["errors"][0]["code"] for each in statuses if "errors" in each] == [131049, 130472]
    failed = next(item for item in stage.receiver.items() if item["statuses"][0]["status"] == "failed")
    assert "contacts" not in failed
    assert "recipient_user_id" not in failed["statuses"][0]


async def test_a_number_blocks_who_wrote_lately(stage: Stage) -> None:
    await wrote(stage, "111", ANN)
    await stage.control.customer("111", {"id": "15551230002"}, wrote_hours_ago=30)

    async def block(method: str, *people: str) -> tuple[int, Json]:
        users = {"messaging_product": "whatsapp", "block_users": [{"user": person} for person in people]}
        return await stage.graph(method, "111/block_users", "wa-token", users)

    status, answer = await block("POST", f"+{ANN}", "15551230002")
    assert (status, answer["error"]["code"]) == (400, 139100)
    assert answer["block_users"]["added_users"] == [{"input": f"+{ANN}", "wa_id": ANN}]
    assert answer["block_users"]["failed_users"][0]["errors"][0]["code"] == 131047
    _, listed = await stage.graph("GET", "111/block_users", "wa-token")
    assert listed["data"] == [{"messaging_product": "whatsapp", "wa_id": ANN}]
    assert (await stage.control.say("111", {"id": ANN}, "unheard"))["id"] is None
    await stage.whatsapp(to=ANN, text={"body": "x"})
    await stage.receiver.until(1)
    assert stage.receiver.statuses()[0]["errors"][0]["code"] == 131026
    assert await block("DELETE", ANN) == (200, {
        "messaging_product": "whatsapp", "block_users": {"removed_users": [{"input": ANN, "wa_id": ANN}]},
    })  # fmt: skip
    assert (await stage.graph("GET", "111/block_users", "wa-token"))[1] == {"data": []}
    await stage.control.state("111", block_limit=0)
    assert (await block("POST", ANN))[1]["error"]["code"] == 139101
    assert (await stage.control.say("111", {"id": ANN}, "heard"))["id"]


async def test_a_new_number_is_another_address(stage: Stage) -> None:
    customer: Json = {"id": ANN, "phone": ANN, "bsuid": "US.1"}
    await stage.control.say("111", customer, "hi")
    await stage.control.say("111", customer, kind="number_changed", payload="15559990000")
    await stage.receiver.until(2)
    value = stage.receiver.items()[1]
    assert "contacts" not in value
    assert subset({"from": ANN, "type": "system", "system": {"wa_id": "15559990000"}}, value["messages"][0])
    stage.receiver.bodies.clear()
    await stage.whatsapp(to=ANN, text={"body": "old"})
    _, answer = await stage.whatsapp(to="15559990000", text={"body": "new"})
    assert answer["contacts"][0]["user_id"] != "US.1"
    assert (await stage.whatsapp(recipient="US.1", text={"body": "x"}))[1]["error"]["code"] == 131009
    await stage.receiver.until(4)
    found = {each["status"]: each["recipient_id"] for each in stage.receiver.statuses() if each["status"] != "read"}
    assert found == {"failed": "15559990000", "sent": "15559990000", "delivered": "15559990000"}


async def test_some_numbers_are_dialled_otherwise(stage: Stage) -> None:
    await stage.control.customer("111", {"id": "5521912345678"}, dialled="+552112345678", wrote_hours_ago=1)
    status, answer = await stage.whatsapp(to="+55 21 1234-5678", text={"body": "oi"})
    assert (status, answer["contacts"][0]["input"]) == (200, "+55 21 1234-5678")
    assert answer["contacts"][0]["wa_id"] == "5521912345678"
    await stage.receiver.until(3)
    assert {each["recipient_id"] for each in stage.receiver.statuses()} == {"5521912345678"}
