"""The simulator's Graph API apart from messages: tokens, permissions, subscriptions, nodes, pages of a list."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from simulator_stage import SECRET, Stage, open_stage, wrote

from channels.simulator.client import SimulatorError
from channels.simulator.server import SimulatorServer

DAY = 24


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=11, retry_scale=0.01) as server:
        yield server


@pytest.fixture
async def stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    async with open_stage(simulator) as opened:
        yield opened


def code_of(answer: dict[str, Any]) -> tuple[int, int | None]:
    return answer["error"]["code"], answer["error"].get("error_subcode")


# --- Tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_tells_about_itself(stage: Stage) -> None:
    status, answer = await stage.graph("GET", "debug_token?input_token=wa-token", "wa-token")
    data = answer["data"]
    assert (status, data["is_valid"], data["expires_at"], data["type"]) == (200, True, 0, "SYSTEM_USER")
    assert set(data["scopes"]) == {"whatsapp_business_management", "whatsapp_business_messaging"}
    assert data["granular_scopes"][0]["target_ids"] == ["999"]
    _, answer = await stage.graph("GET", f"debug_token?input_token=ig-token&access_token=77|{SECRET}")
    assert answer["data"]["is_valid"]
    _, answer = await stage.graph("GET", "debug_token?input_token=nobody", "wa-token")
    assert (answer["data"]["is_valid"], answer["data"]["error"]["code"]) == (False, 190)
    status, answer = await stage.graph("GET", "debug_token?input_token=wa-token", "nobody")
    assert (status, answer["error"]["code"]) == (401, 190)


@pytest.mark.parametrize(
    ("states", "subcode"),
    [({"token_hours_left": -1}, 463), ({"token_trouble": 460}, 460), ({"token_trouble": 458}, 458)],
)
async def test_a_token_can_end(stage: Stage, states: dict[str, Any], subcode: int) -> None:
    await wrote(stage, "111", "15551230001")
    await stage.control.state("111", **states)
    status, answer = await stage.whatsapp(to="15551230001", text={"body": "x"})
    assert (status, code_of(answer)) == (401, (190, subcode))
    assert await stage.control.inbox("111", "15551230001") == []
    _, told = await stage.graph("GET", "debug_token?input_token=wa-token", "page-token")
    assert (told["data"]["is_valid"], told["data"]["error"]["subcode"]) == (False, subcode)


async def test_an_instagram_token_is_refreshed_once_it_is_a_day_old(stage: Stage) -> None:
    path = "refresh_access_token?grant_type=ig_refresh_token"
    await stage.control.state("333", token_hours_old=23)
    assert code_of((await stage.graph("GET", path, "ig-token"))[1]) == (100, None)
    await stage.control.state("333", token_hours_old=25, token_hours_left=30 * DAY)
    status, answer = await stage.graph("GET", path, "ig-token")
    assert (status, answer["token_type"]) == (200, "bearer")
    assert answer["access_token"] != "ig-token"
    assert answer["expires_in"] == 60 * 86400
    for token in ("ig-token", answer["access_token"]):  # the old one works until its own end
        assert (await stage.graph("GET", "me?fields=user_id", token))[1]["user_id"] == "333"
    assert (await stage.control.state("333"))["token_refreshes"] == 1
    await stage.control.state("333", token_hours_left=-1)
    assert code_of((await stage.graph("GET", path, answer["access_token"]))[1]) == (190, 463)
    assert (await stage.graph("GET", "me", "ig-token"))[0] == 200
    assert code_of((await stage.graph("GET", path, "page-token"))[1]) == (100, None)


@pytest.mark.parametrize(
    ("account_id", "path", "token", "expected"),
    [
        ("111", "111/messages", "wa-token", (131005, None)),
        ("111", "999/subscribed_apps", "wa-token", (200, None)),
        ("222", "222/messages", "page-token", (200, 2018028)),
        ("333", "333/messages", "ig-token", (10, None)),
    ],
)
async def test_a_permission_can_be_missing(
    stage: Stage, account_id: str, path: str, token: str, expected: tuple[int, int | None]
) -> None:
    await stage.control.state(account_id, scopes=["public_profile"])
    status, answer = await stage.graph("POST", path, token, {})
    assert (status, code_of(answer)) == (403, expected)


# --- Subscriptions ----------------------------------------------------------------------------------------------------


async def test_a_waba_is_subscribed_at_an_address_that_passes_the_handshake(stage: Stage) -> None:
    hook: dict[str, Any] = {"app_secret": SECRET, "webhook_url": "http://127.0.0.1:9/never"}
    options: dict[str, Any] = {"waba_id": "777", "subscribed": False}
    await stage.control.register(
        "whatsapp", "117", "t7", options={**options, "display_phone_number": "15550000007"}, **hook
    )
    await stage.control.register(
        "whatsapp", "118", "t7", options={**options, "display_phone_number": "15550000008"}, **hook
    )
    assert (await stage.graph("GET", "777/subscribed_apps", "t7"))[1] == {"data": []}
    address: dict[str, Any] = {"override_callback_uri": stage.receiver.url + "/meta", "verify_token": "wrong"}
    status, answer = await stage.graph("POST", "777/subscribed_apps", "t7", address)
    assert (status, code_of(answer)) == (400, (2200, None))
    assert code_of((await stage.graph("POST", "777/subscribed_apps", "t7", {"verify_token": "x"}))[1]) == (100, None)
    assert code_of((await stage.graph("POST", "117/subscribed_apps", "t7", {}))[1]) == (100, 33)
    address["verify_token"] = "verify-me"
    assert (await stage.graph("POST", "777/subscribed_apps", "t7", address))[1] == {"success": True}
    _, listed = await stage.graph("GET", "777/subscribed_apps", "t7")
    assert listed["data"][0]["override_callback_uri"] == stage.receiver.url + "/meta"
    assert listed["data"][0]["whatsapp_business_api_data"]["id"]
    for number in ("117", "118"):
        await stage.control.say(number, {"id": "15551230001"}, number)
    await stage.receiver.until(2)
    assert (await stage.graph("DELETE", "777/subscribed_apps", "t7"))[1] == {"success": True}
    await stage.control.say("117", {"id": "15551230001"}, "unheard")
    assert await stage.control.flush()
    assert len(stage.receiver.bodies) == 2


async def test_a_numbers_own_address_wins(stage: Stage) -> None:
    address: dict[str, Any] = {"override_callback_uri": stage.receiver.url + "/number", "verify_token": "verify-me"}
    assert (await stage.graph("POST", "111", "wa-token", {"webhook_configuration": address}))[0] == 200
    _, shown = await stage.graph("GET", "111?fields=webhook_configuration", "wa-token")
    assert shown["webhook_configuration"] == {
        "phone_number": stage.receiver.url + "/number", "application": stage.receiver.url + "/meta",
    }  # fmt: skip
    assert (await stage.control.state("111"))["callback_url"] == stage.receiver.url + "/number"
    nothing = {"webhook_configuration": {"override_callback_uri": ""}}
    assert (await stage.graph("POST", "111", "wa-token", nothing))[0] == 200
    assert (await stage.control.state("111"))["callback_url"] == stage.receiver.url + "/meta"


async def test_a_page_hears_only_what_it_subscribed_to(stage: Stage) -> None:
    await wrote(stage, "222", "9001")
    status, answer = await stage.graph("POST", "222/subscribed_apps?subscribed_fields=messages,poems", "page-token")
    assert (status, code_of(answer)) == (400, (100, None))
    assert 'got "poems"' in answer["error"]["message"]
    chosen = "222/subscribed_apps?subscribed_fields=messages,message_reads"
    assert (await stage.graph("POST", chosen, "page-token"))[1] == {"success": True}
    _, listed = await stage.graph("GET", "222/subscribed_apps", "page-token")
    assert listed["data"][0]["subscribed_fields"] == ["message_reads", "messages"]
    await stage.page("222", recipient={"id": "9001"}, message={"text": "hi"})
    assert await stage.control.flush()
    assert [set(item) & {"message", "read", "delivery"} for item in stage.receiver.items()] == [{"read"}]
    assert (await stage.graph("DELETE", "222/subscribed_apps", "page-token"))[1] == {"success": True}
    assert (await stage.graph("GET", "222/subscribed_apps", "page-token"))[1] == {"data": []}


async def test_instagram_login_subscribes_itself(stage: Stage) -> None:
    theirs = await wrote(stage, "333", "9001")
    path = "me/subscribed_apps?subscribed_fields=messages,message_reactions"
    assert (await stage.graph("POST", path, "ig-token"))[1] == {"success": True}
    await stage.control.say("333", {"id": "9001"}, kind="edit", message_id=theirs, text="unheard")
    await stage.control.say("333", {"id": "9001"}, kind="reaction", message_id=theirs)
    assert await stage.control.flush()
    assert ["reaction" in item for item in stage.receiver.items()] == [True]


# --- Nodes ------------------------------------------------------------------------------------------------------------


async def test_a_number_shows_what_is_asked(stage: Stage) -> None:
    await stage.control.state("111", quality_rating="YELLOW", number_status="FLAGGED")
    fields = "display_phone_number,verified_name,quality_rating,status,name_status,throughput,messaging_limit_tier"
    _, number = await stage.graph("GET", f"111?fields={fields}", "wa-token")
    assert number == {
        "id": "111", "display_phone_number": "15550000001", "verified_name": "Simulated business",
        "quality_rating": "YELLOW", "status": "FLAGGED", "name_status": "APPROVED",
        "throughput": {"level": "STANDARD"}, "messaging_limit_tier": "TIER_1K",
    }  # fmt: skip
    _, listed = await stage.graph("GET", "999/phone_numbers?fields=id,quality_rating", "wa-token")
    assert listed["data"] == [{"id": "111", "quality_rating": "YELLOW"}]
    status, answer = await stage.graph("GET", "111?fields=mood", "wa-token")
    assert (status, code_of(answer)) == (400, (100, None))
    _, waba = await stage.graph("GET", "999?fields=account_review_status,health_status", "wa-token")
    assert (waba["account_review_status"], waba["health_status"]["can_send_message"]) == ("APPROVED", "BLOCKED")


async def test_pages_and_instagram_accounts_show_themselves(stage: Stage) -> None:
    assert (await stage.graph("GET", "222", "page-token"))[1] == {"id": "222", "name": "Simulated business"}
    _, instagram = await stage.graph("GET", "me?fields=user_id,username,id", "ig-token")
    assert instagram["user_id"] == "333"
    assert instagram["id"] != "333"  # scoped to the app, and not what webhooks say
    await stage.control.register("instagram", "444", "page-token", options={"stack": "page", "page_id": "222"})
    _, page = await stage.graph("GET", "me?fields=id,instagram_business_account{id,username}", "page-token")
    assert (page["id"], page["instagram_business_account"]["id"]) == ("222", "444")
    assert (await stage.graph("GET", "444?fields=username", "page-token"))[1]["username"] == "simulated"
    status, answer = await stage.graph("GET", "222?fields=mood", "page-token")
    assert (status, code_of(answer)) == (400, (100, None))


async def test_lists_are_paged_both_ways(stage: Stage) -> None:
    path = "999/message_templates?limit=4&status=APPROVED&fields=name,language,status"
    _, first = await stage.graph("GET", path, "wa-token")
    assert all(set(each) == {"id", "name", "language", "status"} for each in first["data"])
    headers = {"Authorization": "Bearer wa-token"}
    async with stage.http.get(first["paging"]["next"], headers=headers) as answer:
        second = await answer.json()
    async with stage.http.get(second["paging"]["previous"], headers=headers) as answer:
        assert (await answer.json())["data"] == first["data"]
    after = second["paging"]["cursors"]["after"]
    _, third = await stage.graph("GET", f"{path}&after={after}", "wa-token")
    known = [each["id"] for part in (first, second, third) for each in part["data"]]
    assert len(set(known)) == len(known) == 9
    assert "next" not in third["paging"]
    assert code_of((await stage.graph("GET", f"{path}&after=5", "wa-token"))[1]) == (100, None)
    _, one = await stage.graph("GET", f"{known[0]}?fields=name,quality_score", "wa-token")
    assert (one["name"], one["quality_score"]["score"]) == ("hello_world", "UNKNOWN")


async def test_media_ids_and_links_end(stage: Stage) -> None:
    await stage.control.state("111", media_link_seconds=0)
    await stage.control.say("111", {"id": "15551230001"}, kind="image")
    await stage.receiver.until(1)
    image = stage.receiver.items()[0]["messages"][0]["image"]
    headers = {"Authorization": "Bearer wa-token"}
    await stage.control.state("111", media_link_seconds=300)
    _, about = await stage.graph("GET", image["id"], "wa-token")
    async with stage.http.get(about["url"], headers=headers) as answer:
        assert answer.status == 200
    await stage.control.age("111", 24, media_id=image["id"])  # every link that was given out is dead …
    async with stage.http.get(about["url"], headers=headers) as answer:
        assert answer.status == 404
    _, again = await stage.graph("GET", image["id"], "wa-token")  # … and another is to be had
    async with stage.http.get(again["url"], headers=headers) as answer:
        assert answer.status == 200
    await stage.control.age("111", 7 * DAY, media_id=image["id"])
    assert code_of((await stage.graph("GET", image["id"], "wa-token"))[1]) == (100, 33)


async def test_uploads_are_bounded_by_kind(stage: Stage) -> None:
    async def upload(data: bytes, mime_type: str) -> tuple[int, dict[str, Any]]:
        form = aiohttp.FormData({"messaging_product": "whatsapp", "type": mime_type})
        form.add_field("file", io.BytesIO(data), filename="file", content_type=mime_type)
        return await stage.graph("POST", "111/media", "wa-token", None, data=form)

    assert (await upload(bytes(6 * 1024 * 1024), "application/pdf"))[0] == 200
    for data, mime_type in (
        (bytes(6 * 1024 * 1024), "image/png"),
        (bytes(600 * 1024), "image/webp"),
        (b"", "video/mp4"),
    ):
        status, answer = await upload(data, mime_type)
        assert (status, code_of(answer)) == (400, (131053, None))
    await wrote(stage, "111", "15551230001")
    files = {
        "stereo": (b"OggS" + bytes(24) + b"OpusHead\x01\x02" + bytes(40), "audio/ogg", "audio"),
        "heavy sticker": (bytes(200 * 1024), "image/webp", "sticker"),
        "gif": (b"GIF89a", "image/gif", "image"),
    }
    for data, mime_type, kind in files.values():
        _, uploaded = await upload(data, mime_type)
        assert (await stage.whatsapp(to="15551230001", type=kind, **{kind: {"id": uploaded["id"]}}))[0] == 200
    await stage.receiver.until(3)
    assert [status["errors"][0]["code"] for status in stage.receiver.statuses()] == [131053] * 3


async def test_ageing_names_one_thing(stage: Stage) -> None:
    with pytest.raises(SimulatorError, match="exactly one"):
        await stage.control.age("111", 1, media_id="1", comment_id="2")
    with pytest.raises(SimulatorError, match="no comment 2"):
        await stage.control.age("222", 1, comment_id="2")
    with pytest.raises(SimulatorError, match="about Meta"):
        await stage.control.state("4242", restricted=True)


# --- Mishaps ----------------------------------------------------------------------------------------------------------


async def test_any_edge_can_fail(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    await stage.control.fault("api", "fail", edge="block_users", code=139102, count=1)
    await stage.control.fault("api", "throttle", edge="message_templates", code=80007, count=1)
    await stage.control.fault("api", "fail", edge="node", code=2, count=1)
    assert (await stage.whatsapp(to="15551230001", text={"body": "x"}))[0] == 200
    for path, expected in (
        ("111/block_users", (400, 139102)),
        ("999/message_templates", (400, 80007)),
        ("111", (500, 2)),
    ):
        status, answer = await stage.graph("GET", path, "wa-token")
        assert (status, answer["error"]["code"]) == expected
        assert (await stage.graph("GET", path, "wa-token"))[0] == 200


async def test_a_download_can_fail(stage: Stage) -> None:
    await stage.control.fault("api", "fail", edge="download", status=503, count=2)
    await stage.control.say("222", {"id": "9001"}, kind="image")
    await stage.control.say("111", {"id": "15551230001"}, kind="image")
    await stage.receiver.until(2)
    items = {("messages" in item): item for item in stage.receiver.items()}
    urls = [
        items[True]["messages"][0]["image"]["url"],
        items[False]["message"]["attachments"][0]["payload"]["url"],
    ]
    statuses = []
    for url in urls * 2:
        async with stage.http.get(url, headers={"Authorization": "Bearer wa-token"}) as answer:
            statuses.append(answer.status)
    assert statuses == [503, 503, 200, 200]


async def test_a_batch_can_share_one_value(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    await stage.control.receipts(auto=False)
    sent = [(await stage.whatsapp(to="15551230001", text={"body": str(n)}))[1]["messages"][0]["id"] for n in range(2)]
    await stage.control.fault("webhooks", "batch", account_id="111", size=4, merge=True)
    await stage.control.read("111", {"id": "15551230001"})
    for text in ("one", "two"):
        await stage.control.say("111", {"id": "15551230001"}, text)
    (body,) = await stage.receiver.until(1)
    (entry,) = body["entry"]
    (change,) = entry["changes"]
    value = change["value"]
    assert [each["id"] for each in value["statuses"]] == sent
    assert [each["text"]["body"] for each in value["messages"]] == ["one", "two"]
    assert len(value["contacts"]) == 1
    await stage.control.fault("webhooks", "batch", account_id="333", size=2, merge=True)
    for text in ("one", "two"):
        await stage.control.say("333", {"id": "9001"}, text)
    await stage.receiver.until(2)
    (entry,) = stage.receiver.bodies[1]["entry"]
    assert [item["message"]["text"] for item in entry["messaging"]] == ["one", "two"]
