"""Messenger and Instagram on both its stacks against the simulator, over real sockets and the product's own client:
adapter and simulator were made apart, so what one sends and the other refuses is a mistake of one of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

import pytest
from aiohttp import web

from channels.abilities import Endpoint, Finding
from channels.adapter import HttpAnswer, OutboundFile
from channels.errors import FetchError, SendError
from channels.inbound import AccountChanged, Inbound, MessageReceived, UnsupportedEvent
from channels.instagram.adapter import InstagramAdapter
from channels.instagram.parse import parse as parse_instagram
from channels.messenger.adapter import MessengerAdapter
from channels.messenger.parse import parse as parse_messenger
from channels.outbound import (
    Accepted,
    Choice,
    ChoiceSection,
    Envelope,
    OutboundAlbum,
    OutboundChoices,
    OutboundMedia,
    OutboundPart,
    OutboundReaction,
    OutboundTemplate,
    OutboundText,
)
from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer
from channels.types import Account, Address, JsonObject
from inbox.kernel.http import HttpClient, HttpSettings

LOOPBACK = (IPv4Network("127.0.0.0/8"),)
ENDPOINT = Endpoint("https://inbox.example/hook", verify_token="verify-me")
PIXEL = OutboundFile("Übersicht.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(64))
ADAPTERS: dict[str, MessengerAdapter | InstagramAdapter] = {
    "messenger": MessengerAdapter(),
    "instagram": InstagramAdapter(),
}
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "messenger": ("messenger", {}),
    "login": ("instagram", {"stack": "login"}),
    "page": ("instagram", {"stack": "page", "page_id": "222"}),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """``heard``: what the webhook was told so far, parsed. Ann has just written ``first``."""

    http: HttpClient[HttpAnswer]
    control: SimulatorClient
    account: Account
    first: str
    heard: list[Inbound]

    @property
    def adapter(self) -> MessengerAdapter | InstagramAdapter:
        return ADAPTERS[self.account.kind]

    @property
    def ann(self) -> tuple[Address, ...]:
        return (Address(f"{self.account.kind}_user", "333", "7001"),)

    async def is_so(self, **states: Any) -> None:
        await self.control.customer("333", {"id": "7001"}, **states)

    async def hears(self) -> list[Inbound]:
        """What came in since the last time."""
        assert await self.control.flush()
        found = list(self.heard)
        self.heard.clear()
        return found

    async def sends(self, *parts: OutboundPart, **facts: Any) -> list[Accepted]:
        answers = []
        for number, piece in enumerate(self.adapter.plan(parts)):
            envelope = Envelope(piece, self.ann, f"corr-{number}", **facts)
            files = [PIXEL] * len(piece.media_ids)
            answers.append(await self.adapter.send(self.http, self.account, envelope, files))
        return answers

    async def inspected(self) -> dict[str, Finding]:
        return {one.code: one for one in await self.adapter.inspect(self.http, self.account, ENDPOINT)}


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=11) as server:
        yield server


@pytest.fixture(params=list(KINDS))
async def stage(simulator: SimulatorServer, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    kind, options = KINDS[request.param]
    parse = parse_messenger if kind == "messenger" else parse_instagram

    async def hook(call: web.Request) -> web.Response:
        heard.extend(parse(await call.json()))
        return web.Response()

    heard: list[Inbound] = []
    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    async with (
        SimulatorClient(simulator.base_url) as control,
        HttpClient(HttpSettings(allow_private=LOOPBACK), HttpAnswer) as http,
    ):
        wishes: JsonObject = {"app_id": "77", **options}
        await control.register(kind, "333", "page-token", app_secret="s", webhook_url=url, options=wishes)  # type: ignore[arg-type]
        said = await control.say("333", {"id": "7001", "name": "Ann Bell"}, "hi")
        assert await control.flush()
        heard.clear()
        account = Account(kind, "333", "page-token", api_base=simulator.graph_url, options=options)
        yield Stage(http, control, account, str(said["id"]), heard)
        await control.reset()
    await runner.cleanup()


# --- Connecting -------------------------------------------------------------------------------------------------------


async def test_a_channel_is_subscribed_once_and_for_all(stage: Stage) -> None:
    facts = await stage.adapter.check(stage.http, stage.account)
    assert facts.account_id == "333"
    for _ in range(2):
        done, by_hand = await stage.adapter.subscribe(stage.http, stage.account, ENDPOINT)
        assert (done.code, done.state) == ("subscription", "ok")
        assert ENDPOINT.url in (by_hand.remedy or "")
    assert {code: one.state for code, one in (await stage.inspected()).items()} == {
        "account": "ok",
        "token": "ok",
        "subscription": "ok",
    }


async def test_a_look_finds_what_is_wrong(stage: Stage) -> None:
    await stage.control.state("333", subscribed=False)
    assert (await stage.inspected())["subscription"].state == "broken"
    await stage.control.state("333", token_trouble=460)
    found = await stage.inspected()
    assert [one.state for one in found.values()] == ["broken"]
    assert "password" in found["token"].reason
    assert found["token"].remedy


@pytest.mark.parametrize("stage", ["login"], indirect=True)
async def test_the_token_of_the_login_stack_is_exchanged_in_time(stage: Stage) -> None:
    adapter = InstagramAdapter()
    renewed = await adapter.renew(stage.http, stage.account)
    assert renewed is not None
    assert renewed.expires_at is not None
    assert renewed.expires_at - datetime.now(UTC) > timedelta(days=59)
    with pytest.raises(FetchError):  # the new one is no day old
        await adapter.renew(stage.http, stage.account)


# --- Out --------------------------------------------------------------------------------------------------------------


async def test_everything_planned_is_taken_and_told_back(stage: Stage) -> None:
    image = OutboundMedia("image", media_id="a", mime_type="image/png")
    buttons = (Choice("Yes", "Y"), Choice("Shop", url="https://shop.example/"))
    parts: tuple[OutboundPart, ...] = (
        OutboundText("Grüße 👋🏽 " * 300),
        OutboundAlbum((image, image, image), caption="three"),
        OutboundChoices("buttons", "Which?", (ChoiceSection(buttons),), header="Head"),
        OutboundChoices("quick_replies", "Which?", (ChoiceSection((Choice("Yes"), Choice("No"))),)),
    )
    sent = await stage.sends(*parts, reply_to=stage.first)
    await stage.sends(OutboundReaction(stage.first, "❤️"))
    await stage.sends(OutboundReaction(stage.first, None))
    ids = [one for accepted in sent for one in accepted.external_ids]
    echoes = [one for one in await stage.hears() if isinstance(one, MessageReceived) and one.echo is not None]
    assert [one.external_id for one in echoes] == ids
    pictures = [len([part for part in one.parts if part.type == "image"]) for one in echoes]
    assert [count for count in pictures if count] == ([1, 1, 1] if stage.account.kind == "messenger" else [3])
    if stage.adapter.capabilities.receipts.correlation:
        assert [one.echo.correlation for one in echoes if one.echo] == [f"corr-{number}" for number in range(len(ids))]


async def test_only_what_may_go_out_late_goes_out_late(stage: Stage) -> None:
    await stage.is_so(wrote_hours_ago=25)
    with pytest.raises(SendError) as caught:
        await stage.sends(OutboundText("late"))
    assert (caught.value.fault.code, caught.value.fault.closes_window) == ("window_closed", True)
    await stage.sends(OutboundText("a person answers"), purpose="human_agent")
    await stage.is_so(wrote_hours_ago=8 * 24)
    with pytest.raises(SendError) as caught:
        await stage.sends(OutboundText("too late"), purpose="human_agent")
    assert caught.value.fault.closes_window
    if stage.adapter.capabilities.templates:
        body: JsonObject = {"type": "BODY", "text": "Your order {{1}} left."}
        await stage.control.define_template("333", "left", [body], language="en_US", category="UTILITY")
        filled: JsonObject = {"type": "body", "parameters": [{"type": "text", "text": "A7"}]}
        await stage.sends(OutboundTemplate("left", "en_US", (filled,)), purpose="template")


REFUSALS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"blocked": True}, "recipient_unavailable", {"ends_contact": "unreachable"}),
    ({"send_error": 613, "send_subcode": 1996}, "rate_limited", {"retry_after": 900.0, "pauses": "channel"}),
    ({"send_error": 2}, "temporary", {"retryable": True}),
    ({"send_error": 10, "send_subcode": 1893063}, "policy", {"pauses": "channel"}),
    ({"thread_owner": "999"}, "thread_not_ours", {"retryable": False}),
]


@pytest.mark.parametrize(("states", "code", "facts"), REFUSALS, ids=[str(case[0]) for case in REFUSALS])
async def test_a_refusal_becomes_facts(stage: Stage, states: Any, code: str, facts: dict[str, Any]) -> None:
    await stage.is_so(**states)
    with pytest.raises(SendError) as caught:
        await stage.sends(OutboundText("hello"))
    fault = caught.value.fault
    assert fault.code == code
    assert {name: getattr(fault, name) for name in facts} == facts


async def test_the_error_that_means_success_is_success_and_its_echo_comes(stage: Stage) -> None:
    await stage.is_so(send_error=1, send_subcode=1357046)
    (accepted,) = await stage.sends(OutboundText("hello"))
    assert (accepted.external_ids, accepted.note is None) == ((), False)
    (echo,) = [one for one in await stage.hears() if isinstance(one, MessageReceived)]
    assert echo.echo is not None


@pytest.mark.parametrize("stage", ["messenger", "page"], indirect=True)
async def test_who_is_blocked_at_the_provider_is_reached_again_when_unblocked(stage: Stage) -> None:
    for _ in range(2):
        await stage.adapter.block(stage.http, stage.account, stage.ann)
    with pytest.raises(SendError):
        await stage.sends(OutboundText("hello"))
    await stage.adapter.unblock(stage.http, stage.account, stage.ann)
    await stage.sends(OutboundText("hello"))


async def test_a_profile_is_read_and_one_that_tells_nothing_is_none(stage: Stage) -> None:
    person = await stage.adapter.profile(stage.http, stage.account, stage.ann)
    assert person is not None
    assert person.name == "Ann Bell"
    assert person.avatar_url
    await stage.is_so(**({"has_profile": False} if stage.account.kind == "messenger" else {"never_wrote": True}))
    assert await stage.adapter.profile(stage.http, stage.account, stage.ann) is None


# --- In ---------------------------------------------------------------------------------------------------------------

SAID = ["image", "video", "audio", "document", "share", "reel", "post", "referral", "reaction"]
TAPPED = ["postback", "start"]
"""Never told to an app that stands by."""
ON_MESSENGER = ["sticker", "location", "opt_out", "opt_in", "optin"]
ON_INSTAGRAM = ["story_reply", "story_mention", "story", "like_heart", "ephemeral", "unsend", "unsupported"]


@pytest.mark.parametrize("standby", [False, True])
async def test_every_act_of_a_customer_is_understood(stage: Stage, standby: bool) -> None:
    own = ON_MESSENGER if stage.account.kind == "messenger" else ON_INSTAGRAM
    for kind in [*SAID, *own] if standby else [*SAID, *own, *TAPPED]:
        act: dict[str, Any] = {"message_id": stage.first} if kind in ("reaction", "unsend") else {}
        await stage.control.say("333", {"id": "7001"}, "words", kind=kind, standby=standby, **act)
        (found,) = await stage.hears()
        assert not isinstance(found, UnsupportedEvent), kind
        assert getattr(found, "standby", standby) is standby


@pytest.mark.parametrize("stage", ["messenger"], indirect=True)
async def test_the_policy_of_meta_is_the_standing_of_a_page(stage: Stage) -> None:
    standing = []
    for action in ("warning", "block", "unblock"):
        await stage.control.event("333", "policy", action=action)
        standing += [one.health for one in await stage.hears() if isinstance(one, AccountChanged)]
    assert standing == ["degraded", "paused", "ok"]
