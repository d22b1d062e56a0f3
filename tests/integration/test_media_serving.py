"""Links that open one file for a while, uploads, files that are sent, and files whose time is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from media_world import PNG, File, MediaWorld, media_world, message

from channels.simulator.samples import sample

MOST = 200_000


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[MediaWorld]:
    async with media_world(database_url, tmp_path, media_max_bytes=MOST) as world:
        yield world


async def upload(world: MediaWorld, data: bytes = PNG, **query: str) -> Any:
    headers = {"content-type": query.pop("content_type", "image/png")}
    return await world.client.post("/v1/media", params=query, content=data, headers=headers)


async def uploaded(world: MediaWorld, data: bytes = PNG, **query: str) -> Any:
    answer = await upload(world, data, **query)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def stranger(world: MediaWorld) -> dict[str, str]:
    """Credentials of another workspace."""
    await world.runtime.workspaces.create_workspace("Other", "Eve", "eve@example.com", "correct horse battery")
    answer = await world.client.post(
        "/v1/sessions", json={"email": "eve@example.com", "password": "correct horse battery"}
    )
    return {"authorization": f"Bearer {answer.json()['token']}"}


# --- Links ------------------------------------------------------------------------------------------------------------


async def test_a_link_serves_the_file_with_headers_that_protect(world: MediaWorld) -> None:
    url = (await uploaded(world, filename="a picture.png"))["url"]
    answer = await world.client.get(url, headers={"authorization": ""})

    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["cache-control"].startswith("private, max-age=")
    assert (
        answer.headers["content-disposition"] == "inline; filename=\"a picture.png\"; filename*=UTF-8''a%20picture.png"
    )
    again = await world.client.get(url, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await world.client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(PNG)))


async def test_what_could_run_is_a_download(world: MediaWorld) -> None:
    for label, data, claimed, served in (
        ("a page", b"<!doctype html><script>alert(1)</script>", "text/html", "application/octet-stream"),
        ("a drawing", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "image/svg+xml", None),
        ("a page that says it is text", b"<script>alert(1)</script>", "text/plain", "text/plain; charset=utf-8"),
        ("a PDF", sample("document"), "application/pdf", "application/pdf"),
    ):
        made = await uploaded(world, data, content_type=claimed)
        answer = await world.client.get(made["url"])

        assert made["media"]["kind"] == "document", label
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["content-type"] == (served or "application/octet-stream")


async def test_ranges(world: MediaWorld) -> None:
    for wanted, status, part, content_range in (
        ("bytes=0-9", 206, slice(0, 10), "bytes 0-9/{size}"),
        ("bytes=10-", 206, slice(10, None), "bytes 10-{last}/{size}"),
        ("bytes=-5", 206, slice(-5, None), "bytes {tail}-{last}/{size}"),
        ("bytes=5-99999999", 206, slice(5, None), "bytes 5-{last}/{size}"),
        ("bytes=99999999-", 416, slice(0, 0), "bytes */{size}"),
        ("bytes=9-3", 416, slice(0, 0), "bytes */{size}"),
        ("bytes=0-1,4-5", 200, slice(None), None),
        ("pages=1-2", 200, slice(None), None),
    ):
        url = (await uploaded(world))["url"]
        answer = await world.client.get(url, headers={"range": wanted})

        size = len(PNG)
        assert (answer.status_code, answer.content) == (status, PNG[part])
        shown = content_range and content_range.format(size=size, last=size - 1, tail=size - 5)
        assert answer.headers.get("content-range") == shown
        changed = await world.client.get(url, headers={"range": wanted, "if-range": '"other"'})
        assert (changed.status_code, changed.content) == (200, PNG)


async def test_a_link_that_was_changed_opens_nothing(world: MediaWorld) -> None:
    mine, other = await uploaded(world), await uploaded(world)
    url = urlsplit(mine["url"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    later = {**query, "expires": str(int(query["expires"]) + 1)}
    attempts = [
        (url.path, {**query, "signature": "A" * len(query["signature"])}),
        (url.path, {**query, "signature": query["signature"][:-1]}),
        (url.path, {**query, "signature": "é"}),
        (url.path, later),
        (url.path, {**query, "expires": "9" * 40}),
        (url.path, {**query, "expires": "-1"}),
        (url.path, {"expires": query["expires"]}),
        (url.path, {}),
        (urlsplit(other["url"]).path, query),
        (f"/media/{uuid4()}/{mine['media']['id']}", query),
        (f"/media/x/{mine['media']['id']}", query),
    ]
    for path, sent in attempts:
        answer = await world.client.get(path, params=sent)
        assert (answer.status_code, answer.json()["code"]) == (403, "media_link_refused"), (path, sent)
    assert (await world.client.get("/media/..%2f..%2fsecret.key", params=query)).status_code == 404
    assert (await world.client.post(mine["url"])).status_code == 405


async def test_a_link_ends(world: MediaWorld) -> None:
    made = await uploaded(world)
    links = world.runtime.media.endpoint._links
    moment = links._clock.now()

    class Later:
        def now(self) -> Any:
            return moment + links._life

        def monotonic(self) -> float:
            return 0.0

    links._clock = Later()
    assert (await world.client.get(made["url"])).status_code == 403


async def test_another_workspace_sees_nothing_of_a_file(world: MediaWorld) -> None:
    await world.receive(File(PNG))
    await world.work()
    made = await uploaded(world)
    theirs = await stranger(world)

    for media_id in ((await world.rows())[0]["id"], made["media"]["id"]):
        assert (await world.client.get(f"/v1/media/{media_id}", headers=theirs)).status_code == 404
        assert (await world.client.post(f"/v1/media/{media_id}/retry", headers=theirs)).status_code == 404


async def test_an_upload_is_its_uploaders_until_it_is_sent(world: MediaWorld) -> None:
    made = await uploaded(world)
    body = {"role": "agent", "name": "Bo", "email": "bo@example.com", "password": "correct horse battery"}
    assert (await world.client.post("/v1/agents", json=body)).status_code == 201
    session = await world.client.post("/v1/sessions", json={"email": body["email"], "password": body["password"]})
    colleague = {"authorization": f"Bearer {session.json()['token']}"}
    path = f"/v1/media/{made['media']['id']}"

    assert (await world.client.get(path, headers=colleague)).status_code == 404
    part = {"type": "media", "kind": "image", "media_id": made["media"]["id"]}
    thread = f"/v1/conversations/{await conversation(world)}/messages"
    assert (await world.client.post(thread, json={"parts": [part]}, headers=colleague)).status_code == 422
    await send(world, made["media"]["id"])
    assert (await world.client.get(path, headers=colleague)).status_code == 200


# --- Uploads ----------------------------------------------------------------------------------------------------------


async def test_a_form_and_a_raw_body_make_the_same_file(world: MediaWorld) -> None:
    raw = await uploaded(world, filename="p.png")
    form = await world.client.post("/v1/media", files={"file": ("../p.png", PNG, "image/png")}, data={"note": "x"})

    assert form.status_code == 201, form.text
    for made in (raw, form.json()):
        view = made["media"]
        facts = (view["kind"], view["mime_type"], view["size"], view["width"], view["height"], view["filename"])
        assert facts == ("image", "image/png", len(PNG), 160, 100, "p.png")
        assert (await world.client.get(made["url"])).content == PNG


async def test_an_upload_beyond_the_limit_leaves_nothing(world: MediaWorld) -> None:
    large = PNG + bytes(MOST)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(large), 10_000):
            yield large[at : at + 10_000]

    for answer in (
        await upload(world, large),
        await world.client.post("/v1/media", content=pieces(), headers={"content-type": "image/png"}),
        await world.client.post("/v1/media", files={"file": ("p.png", large, "image/png")}),
    ):
        assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (413, "too_large", MOST)
    assert await world.rows() == []
    assert world.kept() == []


async def test_an_upload_is_judged_by_its_bytes(world: MediaWorld) -> None:
    for label, data, query, reason in (
        ("nothing", b"", {}, "empty"),
        ("a program", b"\x7fELF" + bytes(100), {}, "type_refused"),
        ("a program that says it is a picture", b"MZ" + bytes(100), {"kind": "image"}, "type_refused"),
        ("a picture as a voice", PNG, {"kind": "voice"}, "type_refused"),
    ):
        answer = await upload(world, data, **query)

        assert (answer.status_code, answer.json()["reason"]) == (422, reason), label
        assert world.kept() == []


async def test_a_broken_form_is_refused(world: MediaWorld) -> None:
    for content_type, body in (
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\nrubbish"),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'),
        ("multipart/form-data; boundary=" + "y" * 5000, b"--y--"),
    ):
        answer = await world.client.post("/v1/media", content=body, headers={"content-type": content_type})
        assert answer.status_code == 422, answer.text


async def test_a_store_that_is_full_is_said_and_leaves_nothing_behind(
    world: MediaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(key: str, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(world.runtime.media.service._store, "put", full)
    answer = await upload(world)
    assert (answer.status_code, answer.json()["code"]) == (503, "media_store_unavailable")
    assert str(world.folder) not in answer.text

    monkeypatch.undo()
    await world.fetch("UPDATE media SET created_at = now() - interval '2 hours'")
    await world.runtime.media.retention.sweep()
    await world.work()
    assert (await world.row())["state"] == "deleted"
    assert world.kept() == []


# --- Sending ----------------------------------------------------------------------------------------------------------


async def conversation(world: MediaWorld) -> str:
    found = await world.fetch("SELECT id FROM conversations")
    if not found:
        await world.feed(message("wamid.hello", "text", {"body": "Hello"}))
        found = await world.fetch("SELECT id FROM conversations")
    return str(found[0][0])


async def send(world: MediaWorld, media_id: str, kind: str = "image", status: int = 202, **more: Any) -> Any:
    path = f"/v1/conversations/{await conversation(world)}/messages"
    part = {"type": "media", "kind": kind, "media_id": media_id, **more}
    answer = await world.client.post(path, json={"parts": [part]})
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_an_uploaded_file_is_sent_and_shown_in_its_message(world: MediaWorld) -> None:
    made = await uploaded(world, filename="p.png")
    sent = await send(world, made["media"]["id"], caption="Here")

    (part,) = sent["parts"]
    assert (part["media"], part["filename"], part["mime_type"]) == (made["media"], "p.png", "image/png")
    dispatcher = world.runtime.delivery.dispatcher
    sending = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(10):
        while not world.provider.sent:
            await asyncio.sleep(0.01)
    dispatcher.stop()
    await sending
    assert world.provider.uploaded == [PNG]
    assert world.provider.sent[0]["image"] == {"id": "uploaded-1", "caption": "Here"}


async def test_limits_of_the_channel_are_checked_when_a_file_is_sent(world: MediaWorld) -> None:
    gif = await uploaded(world, b"GIF89a\x01\x00\x01\x00" + bytes(20), kind="image")
    refused = await send(world, gif["media"]["id"], status=422)

    assert (refused["code"], refused["limit"]) == ("content_refused", "media.image.mime_types")
    assert await world.fetch("SELECT 1 FROM media_uses") == []


async def test_a_file_that_is_not_there_cannot_be_sent(world: MediaWorld) -> None:
    theirs = await stranger(world)
    answer = await world.client.post("/v1/media", content=PNG, headers={"content-type": "image/png", **theirs})
    for media_id in (str(uuid4()), answer.json()["media"]["id"]):
        refused = await send(world, media_id, status=422)
        assert refused["faults"][0]["pointer"] == "/body/parts/0/media_id"
    both = {"type": "media", "kind": "image", "media_id": str(uuid4()), "url": "https://example.com/a.png"}
    path = f"/v1/conversations/{await conversation(world)}/messages"
    assert (await world.client.post(path, json={"parts": [both]})).status_code == 422


async def test_one_upload_serves_many_messages_and_outlives_the_first(world: MediaWorld) -> None:
    media_id = (await uploaded(world))["media"]["id"]
    first, second = await send(world, media_id), await send(world, media_id)
    attachments = world.runtime.receiver._attachments
    for sent, state, files in ((first, "stored", 1), (second, "deleted", 0)):
        await world.runtime.database.retrying(
            lambda unit, sent=sent: attachments.forget(unit, world.workspace_id, [sent["id"]])  # type: ignore[misc]
        )
        await world.work()
        assert ((await world.row())["state"], len(world.kept())) == (state, files)


# --- Retention --------------------------------------------------------------------------------------------------------


async def test_a_channel_keeps_files_as_long_as_it_says(world: MediaWorld) -> None:
    path = f"/v1/channels/{world.channel_id}/media-retention"
    assert (await world.client.get(path)).json() == {"channel_id": world.channel_id, "days": None, "inherited": True}
    await world.receive(File(PNG))
    await world.receive(File(PNG))
    await world.work()
    old, young = [row["id"] for row in await world.rows()]
    await world.fetch("UPDATE media SET used_at = now() - interval '31 days' WHERE id = $1", old)
    await world.fetch("UPDATE media SET used_at = now() - interval '29 days' WHERE id = $1", young)

    await world.runtime.media.retention.sweep()
    assert {row["state"] for row in await world.rows()} == {"stored"}
    assert (await world.client.put(path, json={"days": 30})).json()["days"] == 30
    await world.runtime.media.retention.sweep()
    await world.work()

    assert {row["id"]: row["state"] for row in await world.rows()} == {old: "expired", young: "stored"}
    assert [part["media"]["state"] for part in await world.parts()] == ["expired", "stored"]
    kind, payload = (await world.events())[-1]
    assert (kind, payload["message"]["parts"][0]["media"]["state"]) == ("message.updated", "expired")
    assert len(world.kept()) == 1
    assert (await world.media(old))["url"] is None
    assert (await world.client.put(path, json={"days": 0})).status_code == 422
    assert (await world.client.delete(path)).json()["inherited"] is True
    unknown = f"/v1/channels/{uuid4()}/media-retention"
    assert (await world.client.put(unknown, json={"days": 1})).status_code == 404


async def test_what_the_installation_says_counts_where_a_channel_says_nothing(
    database_url: str, tmp_path: Path
) -> None:
    async with media_world(database_url, tmp_path, media_retention_days=5) as world:
        await world.receive(File(PNG))
        await world.work()
        await world.fetch("UPDATE media SET used_at = now() - interval '6 days'")
        await world.client.put(f"/v1/channels/{world.channel_id}/media-retention", json={"days": None})
        await world.runtime.media.retention.sweep()
        assert (await world.row())["state"] == "stored"
        await world.client.delete(f"/v1/channels/{world.channel_id}/media-retention")
        await world.runtime.media.retention.sweep()
        assert (await world.row())["state"] == "expired"


async def test_an_upload_that_nobody_sent_goes_after_a_week(world: MediaWorld) -> None:
    await uploaded(world)
    await world.fetch("UPDATE media SET used_at = now() - interval '8 days'")
    await world.runtime.media.retention.sweep()
    await world.work()
    assert ((await world.row())["state"], world.kept()) == ("expired", [])


async def test_an_upload_that_will_be_sent_later_is_kept_until_then(world: MediaWorld) -> None:
    made = await uploaded(world)
    await world.fetch("UPDATE media SET used_at = now() - interval '8 days'")
    media, media_id = world.runtime.media, UUID(made["media"]["id"])
    row = await world.row()
    async with world.runtime.database.transaction() as unit:
        until = datetime.now(UTC) + timedelta(days=30)
        assert await media.service.keep_until(unit, row["workspace_id"], [media_id], until)
        assert not await media.service.keep_until(unit, row["workspace_id"], [uuid4()], until)
    await media.retention.sweep()
    assert (await world.row())["state"] == "stored"


async def test_a_file_whose_job_was_lost_is_shown_as_failed(world: MediaWorld) -> None:
    await world.receive(File(PNG))
    await world.fetch("DELETE FROM jobs")
    await world.runtime.media.retention.sweep()
    assert (await world.row())["state"] == "pending"
    await world.fetch("UPDATE media SET created_at = now() - interval '2 hours'")
    await world.runtime.media.retention.sweep()
    row = await world.row()
    assert (row["state"], row["fault"]["code"], row["fault"]["retryable"]) == ("failed", "interrupted", True)


async def test_events_make_the_snapshot(world: MediaWorld) -> None:
    """Whatever happens to files: what the last event of each message says of it is what a fresh read answers (P3)."""
    await world.receive(File(PNG), caption="one")
    await world.receive(File(PNG, links=[410]))
    external_id = await world.receive(File(sample("document"), "application/pdf"), kind="document", filename="a.pdf")
    await world.work()
    await send(world, (await uploaded(world))["media"]["id"])
    await world.feed(message("wamid.revoke", "revoke", {"original_message_id": external_id}))
    await world.work()

    told = {payload["message"]["id"]: payload["message"] for _, payload in await world.events() if "message" in payload}
    page = await world.client.get(f"/v1/conversations/{await conversation(world)}/messages")
    assert len(told) == 4
    for message_ in page.json()["items"]:
        assert message_ == told[message_["id"]]


async def test_a_file_changes_only_under_the_lock_of_its_conversation(world: MediaWorld) -> None:
    """Else a writer that has read the message already could publish it with the former view, after the newer one."""
    await world.receive(File(PNG))
    async with world.runtime.database.transaction() as unit:
        await unit.fetch("SELECT 1 FROM conversations FOR UPDATE")
        working = asyncio.create_task(world.work())
        async with asyncio.timeout(10):
            while not world.kept():  # from here on only the lock keeps it from being stored
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert (await world.row())["state"] == "pending"
    await working
    assert (await world.row())["state"] == "stored"
