"""The WhatsApp adapter and the simulator, over real sockets and the product's own client: neither was made from the
other, both from Meta's documents, so what one sends and the other refuses is a mistake of one of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from aiohttp import web

from channels.abilities import Endpoint, Finding
from channels.adapter import HttpAnswer, OutboundFile
from channels.content import ContactCard
from channels.errors import FetchError, SendError
from channels.inbound import (
    AccountChanged,
    ChannelNotice,
    IdentityChanged,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    PersonNamed,
    ReactionChanged,
    StatusReported,
    TemplateChanged,
)
from channels.outbound import (
    Accepted,
    Choice,
    ChoiceSection,
    Envelope,
    OutboundChoices,
    OutboundContacts,
    OutboundLocation,
    OutboundMedia,
    OutboundPart,
    OutboundReaction,
    OutboundText,
    TemplateValues,
)
from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer
from channels.templates import Template, gaps
from channels.types import Account, Address, JsonObject
from channels.whatsapp.adapter import WhatsAppAdapter
from channels.whatsapp.parse import parse
from inbox.kernel.http import HttpClient, HttpSettings

LOOPBACK = (IPv4Network("127.0.0.0/8"),)
ADAPTER = WhatsAppAdapter()
ANN = (Address("whatsapp_phone", "", "15551230001"),)
PIXEL = OutboundFile("a.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(64))
PDF = OutboundFile("a.pdf", "application/pdf", b"%PDF-1.4")


@dataclass(frozen=True, slots=True)
class Stage:
    """``heard``: what the webhook was told so far, parsed."""

    http: HttpClient[HttpAnswer]
    control: SimulatorClient
    account: Account
    endpoint: Endpoint
    heard: list[Inbound]

    async def hears(self) -> list[Inbound]:
        """What came in since the last time, without receipts."""
        assert await self.control.flush()
        found: list[Inbound] = [item for item in self.heard if not isinstance(item, StatusReported)]
        self.heard.clear()
        return found

    async def sends(self, *parts: OutboundPart, file: OutboundFile | None = None) -> list[Accepted]:
        pieces = ADAPTER.plan(parts)
        envelopes = [Envelope(piece, ANN, f"corr-{number}") for number, piece in enumerate(pieces)]
        return [
            await ADAPTER.send(self.http, self.account, one, [file] * len(one.piece.media_ids) if file else ())
            for one in envelopes
        ]

    async def inspected(self) -> dict[str, Finding]:
        found = await ADAPTER.inspect(self.http, self.account, self.endpoint)
        return {one.code: one for one in found}


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=7) as server:
        yield server


@pytest.fixture
async def stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    async def hook(request: web.Request) -> web.Response:
        if request.method == "GET" and request.query.get("hub.verify_token") == "verify-me":
            return web.Response(text=request.query["hub.challenge"])
        if request.method == "GET":
            return web.Response(status=403)
        heard.extend(parse(await request.json()))
        return web.Response()

    heard: list[Inbound] = []
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/abc"
    async with (
        SimulatorClient(simulator.base_url) as control,
        HttpClient(HttpSettings(allow_private=LOOPBACK), HttpAnswer) as http,
    ):
        await control.register(
            "whatsapp", "111", "wa-token", app_secret="s", webhook_url=url, options={"waba_id": "900"}
        )
        await control.say("111", {"id": "15551230001", "name": "Ann"}, "hi")
        account = Account("whatsapp", "111", "wa-token", api_base=simulator.graph_url, options={"waba_id": "900"})
        assert await control.flush()
        heard.clear()
        yield Stage(http, control, account, Endpoint(url, verify_token="verify-me"), heard)
        await control.reset()
    await runner.cleanup()


def choices(style: str, *items: Choice, label: str | None = None) -> OutboundChoices:
    return OutboundChoices(style, "Which?", (ChoiceSection(items),), "Head", "Foot", label)  # type: ignore[arg-type]


PARTS: dict[str, tuple[OutboundPart, OutboundFile | None]] = {
    "text": (OutboundText("hällo"), None),
    "long text": (OutboundText("word " * 1500), None),
    "linked picture": (OutboundMedia("image", url="https://127.0.0.1:1/a.png", caption="look"), None),
    "stored picture": (OutboundMedia("image", media_id="m1", mime_type="image/png", caption="look"), PIXEL),
    "stored document": (OutboundMedia("document", media_id="m1", filename="ä.pdf"), PDF),
    "voice": (
        OutboundMedia("voice", media_id="m1", mime_type="audio/ogg; codecs=opus"),
        OutboundFile("v.ogg", "audio/ogg; codecs=opus", b"OggS" + bytes(64)),
    ),
    "location": (OutboundLocation(48.2, 16.4, "Dom", "Platz 3"), None),
    "contact": (OutboundContacts((ContactCard("Bob", ("+15551230002",), ("b@example.org",), "Roe"),)), None),
    "buttons": (choices("buttons", Choice("Yes", "y"), Choice("No", "n")), None),
    "link": (choices("buttons", Choice("Open", url="https://example.org")), None),
    "list": (choices("list", Choice("Red", "r", description="warm"), Choice("Blue", "b"), label="Pick"), None),
}


@pytest.mark.parametrize("name", PARTS)
async def test_what_is_planned_is_taken(stage: Stage, name: str) -> None:
    part, file = PARTS[name]
    accepted = await stage.sends(part, file=file)
    assert all(len(one.external_ids) == 1 and one.addresses for one in accepted)


async def test_a_reaction_comes_and_goes(stage: Stage) -> None:
    [said] = [await stage.control.say("111", {"id": "15551230001"}, "more")]
    target = str(said["id"])
    await stage.sends(OutboundReaction(target, "👍"))
    await stage.sends(OutboundReaction(target, None))
    await ADAPTER.mark_read(stage.http, stage.account, ANN, target)
    await ADAPTER.typing(stage.http, stage.account, ANN, target)


# --- Templates --------------------------------------------------------------------------------------------------------


def values_for(template: Template) -> TemplateValues:
    """A value for every gap."""
    header = template.header
    kind = header.kind if header is not None else "text"
    stored = {"image": PIXEL, "document": PDF}.get(kind)
    return TemplateValues(
        header=dict.fromkeys(gaps(header.text if header else None), "Ann"),
        header_media=OutboundMedia(kind, media_id="m1", mime_type=stored.mime_type) if stored else None,  # type: ignore[arg-type]
        header_location=OutboundLocation(1, 2, "Dom", "Platz 3") if kind == "location" else None,
        body={gap: f"value {gap}" for gap in gaps(template.body)},
        buttons={
            place: "A-42"
            for place, button in enumerate(template.buttons)
            if button.kind in ("quick_reply", "copy_code") or gaps(button.url)
        },
    )


MANY: list[JsonObject] = [
    {"type": "HEADER", "format": "LOCATION"},
    {"type": "BODY", "text": "{{2}} before {{1}}"},
    {"type": "FOOTER", "text": "Shop"},
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "QUICK_REPLY", "text": "Yes"},
            {"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}"},
            {"type": "COPY_CODE", "text": "Copy", "example": "X"},
            {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+15550000001"},
        ],
    },
]


async def test_every_approved_template_can_be_filled_and_sent(stage: Stage) -> None:
    await stage.control.define_template("111", "many", MANY, language="en_US", category="UTILITY")
    listed = await ADAPTER.templates(stage.http, stage.account)
    assert {template.status for template in listed} >= {"approved", "paused", "pending"}
    approved = [template for template in listed if template.status == "approved" and template.unfillable is None]
    assert {"many", "order_update", "summer_offer", "appointment_reminder"} <= {one.name for one in approved}
    for template in approved:
        filled = ADAPTER.fill(template, values_for(template))
        file = {"image": PIXEL, "document": PDF}.get(template.header.kind) if template.header else None
        await stage.sends(filled, file=file)
        inbox = await stage.control.inbox("111", "15551230001")
        shown = str(inbox[-1]["text"]).split("\n")
        assert filled.text is not None
        assert [line for line in filled.text.split("\n") if line] == [line for line in shown if line]


# --- Blocking, connecting ---------------------------------------------------------------------------------------------


async def test_a_person_is_blocked_and_unblocked(stage: Stage) -> None:
    for _ in range(2):
        await ADAPTER.block(stage.http, stage.account, ANN)
    for _ in range(2):
        await ADAPTER.unblock(stage.http, stage.account, ANN)
    await stage.control.customer("111", {"id": "15551230001"}, wrote_hours_ago=30)
    with pytest.raises(SendError) as refused:
        await ADAPTER.block(stage.http, stage.account, ANN)
    assert "24 hours" in refused.value.fault.reason


async def test_connecting_makes_the_account_deliver_here(stage: Stage) -> None:
    facts = await ADAPTER.check(stage.http, replace(stage.account, options={}))
    assert facts.options["waba_id"] == "900"
    await ADAPTER.subscribe(stage.http, stage.account, stage.endpoint)
    found = await stage.inspected()
    assert {code: one.state for code, one in found.items() if one.state != "ok"} == {}
    assert {"token", "quality", "can_send", "subscription", "webhook"} <= found.keys()


async def test_an_endpoint_that_does_not_answer_is_not_taken(stage: Stage) -> None:
    with pytest.raises(FetchError, match="HTTPS"):
        await ADAPTER.subscribe(stage.http, stage.account, replace(stage.endpoint, verify_token="wrong"))


async def test_what_goes_wrong_with_the_account_is_found(stage: Stage) -> None:
    await stage.control.state("111", quality_rating="RED", number_status="FLAGGED")
    found = await stage.inspected()
    assert (found["quality"].state, found["number_status"].state) == ("warning", "warning")
    elsewhere = replace(stage.endpoint, url="https://elsewhere.example/webhooks/abc")
    found = {one.code: one for one in await ADAPTER.inspect(stage.http, stage.account, elsewhere)}
    assert found["webhook"].state == "broken"
    [dead] = await ADAPTER.inspect(stage.http, replace(stage.account, token="wrong"), None)
    assert (dead.code, dead.state) == ("token", "broken")


# --- In ---------------------------------------------------------------------------------------------------------------


def kinds_of(items: list[Inbound]) -> list[str]:
    """Of the only part of a message; the name of anything else."""
    return [item.parts[0].type if isinstance(item, MessageReceived) else type(item).__name__ for item in items]


SAID: dict[str, tuple[dict[str, Any], list[str]]] = {
    "text": ({"text": "hi"}, ["text"]),
    **{kind: ({"kind": kind}, [kind]) for kind in ("image", "video", "audio", "voice", "document", "sticker")},
    "lost file": ({"kind": "image", "error_code": 131052}, ["image"]),
    "location": ({"kind": "location"}, ["location"]),
    "contact": ({"kind": "contact"}, ["contacts"]),
    "own contact": ({"kind": "contact_info"}, ["contacts"]),
    "order": ({"kind": "order", "text": "soon"}, ["order"]),
    "flow": ({"kind": "flow_reply"}, ["choice"]),
    "call permission": ({"kind": "call_permission"}, ["system"]),
    "tap without content": ({"kind": "empty_interactive"}, ["unsupported", "ChannelNotice"]),
    "poll": ({"kind": "unsupported"}, ["unsupported"]),
    "ad": ({"kind": "referral", "text": "hi"}, ["text"]),
    "forward": ({"text": "hi", "forwarded": True}, ["text"]),
    "group": ({"text": "hi", "group": {"id": "120363@g.us"}}, ["text"]),
    "call": ({"kind": "call"}, ["system"]),
    "link": ({"kind": "link_click"}, ["UnsupportedEvent"]),
    "stop": ({"kind": "opt_out"}, ["PreferenceChanged"]),
    "resume": ({"kind": "opt_in"}, ["PreferenceChanged"]),
    "new number": ({"kind": "number_changed", "payload": "15559990000"}, ["IdentityChanged", "system"]),
    "new id": ({"kind": "user_id_changed", "payload": "US.2"}, ["IdentityChanged", "system"]),
    "new key": ({"kind": "identity_changed"}, ["system"]),
}


@pytest.mark.parametrize("name", SAID)
async def test_what_customers_do_is_understood(stage: Stage, name: str) -> None:
    act, expected = SAID[name]
    text = act.get("text")
    await stage.control.say(
        "111", {"id": "15551230001"}, text, **{key: value for key, value in act.items() if key != "text"}
    )
    assert kinds_of(await stage.hears()) == expected


async def test_what_customers_do_to_messages_is_understood(stage: Stage) -> None:
    ann: JsonObject = {"id": "15551230001"}
    [accepted] = await stage.sends(choices("buttons", Choice("Yes", "y")))
    own = str((await stage.control.say("111", ann, "one"))["id"])
    for kind, target in (("button", accepted.external_ids[0]), ("reaction", own), ("unreact", own), ("edit", own)):
        more: dict[str, Any] = {"payload": "y", "title": "Yes"} if kind == "button" else {}
        await stage.control.say("111", ann, "two", kind=kind, message_id=target, **more)
    await stage.control.say("111", ann, kind="unsend", message_id=own)
    _text, tap, reacted, taken_back, edited, unsent = await stage.hears()
    assert isinstance(tap, MessageReceived)
    assert tap.reply_to == accepted.external_ids[0]
    assert isinstance(reacted, ReactionChanged)
    assert isinstance(taken_back, ReactionChanged)
    assert (reacted.emoji, taken_back.emoji) == ("👍", None)
    assert isinstance(edited, MessageEdited)
    assert isinstance(unsent, MessageUnsent)
    assert {reacted.external_id, edited.external_id, unsent.external_id} == {own}


async def test_a_new_number_is_one_to_write_to(stage: Stage) -> None:
    await stage.control.say("111", {"id": "15551230001"}, kind="number_changed", payload="15559990000")
    changed, notice = await stage.hears()
    assert isinstance(changed, IdentityChanged)
    assert isinstance(notice, MessageReceived)
    assert (changed.phone, notice.peer.phone) == ("+15559990000", "+15559990000")
    [piece] = ADAPTER.plan([OutboundText("still there?")])
    known = (*changed.old, *changed.new)  # oldest first, as they are kept
    accepted = await ADAPTER.send(stage.http, stage.account, Envelope(piece, known, "corr"), ())
    assert Address("whatsapp_phone", "", "15559990000") in accepted.addresses


TOLD: list[tuple[dict[str, Any], type[Inbound], dict[str, Any]]] = [
    ({"event": "template_status", "name": "order_update", "status": "PAUSED"}, TemplateChanged, {"status": "paused"}),
    ({"event": "template_quality", "name": "order_update", "score": "RED"}, TemplateChanged, {"quality": "red"}),
    (
        {"event": "template_category", "name": "order_update", "category": "MARKETING"},
        TemplateChanged,
        {"category": "marketing"},
    ),
    (
        {"event": "template_components", "name": "order_update", "components": [{"type": "BODY", "text": "Hi."}]},
        TemplateChanged,
        {"changed": True},
    ),
    ({"event": "number_quality"}, AccountChanged, {"aspect": "quality", "health": "degraded"}),
    ({"event": "number_quality", "update": "UNFLAGGED"}, AccountChanged, {"aspect": "quality", "health": "ok"}),
    ({"event": "number_name", "decision": "REJECTED"}, AccountChanged, {"aspect": "name", "health": "degraded"}),
    (
        {
            "event": "account_update",
            "update": "DISABLED_UPDATE",
            "details": {"ban_info": {"waba_ban_state": "DISABLE"}},
        },
        AccountChanged,
        {"aspect": "restriction", "health": "paused"},
    ),
    ({"event": "account_update"}, AccountChanged, {"aspect": "policy", "health": "degraded"}),
    ({"event": "account_alert"}, AccountChanged, {"aspect": "policy", "health": None}),
    ({"event": "account_review", "decision": "REJECTED"}, AccountChanged, {"aspect": "review", "health": "degraded"}),
    ({"event": "business_capability"}, AccountChanged, {"aspect": "limit", "health": None}),
    ({"event": "security"}, AccountChanged, {"aspect": "security", "health": None}),
    ({"event": "business_username", "username": "shop"}, ChannelNotice, {"topic": "business_username_updates"}),
]


@pytest.mark.parametrize(("event", "kind", "facts"), TOLD, ids=lambda value: str(value)[:60])
async def test_what_meta_says_of_the_account_is_understood(
    stage: Stage, event: dict[str, Any], kind: type[Inbound], facts: dict[str, Any]
) -> None:
    await stage.control.event("111", **event)
    [told] = await stage.hears()
    assert isinstance(told, kind)
    assert {name: getattr(told, name) for name in facts} == facts
    if kind is not ChannelNotice:
        assert told.account_id == "900"


@pytest.mark.parametrize("change", ["create", "rename"])
async def test_a_group_tells_its_name(stage: Stage, change: str) -> None:
    await stage.control.event("111", event="group", group_id="120363@g.us", change=change, title="Cycling")
    notice, named = await stage.hears()
    assert isinstance(notice, ChannelNotice)
    assert isinstance(named, PersonNamed)
    assert (named.account_id, named.peer.name, named.peer.is_group) == ("111", "Cycling", True)
