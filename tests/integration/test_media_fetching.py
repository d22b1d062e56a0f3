"""Files of providers on their way into the store: whole and checked, or failed with a reason; never half or doubled."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from media_world import PNG, File, MediaWorld, media_world, message

from channels.simulator.samples import sample
from inbox.kernel.backoff import BackOff
from inbox.kernel.database import UnitOfWork

MOST = 200_000


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[MediaWorld]:
    async with media_world(database_url, tmp_path, media_max_bytes=MOST) as world:
        yield world


async def test_a_picture_is_stored_and_shown_with_its_size(world: MediaWorld) -> None:
    await world.receive(File(PNG), caption="Look")
    (part,) = await world.parts()
    assert (part["type"], part["caption"], part["media"]["state"]) == ("image", "Look", "pending")

    await world.work()

    row = await world.row()
    assert (row["state"], row["mime_type"], row["size"]) == ("stored", "image/png", len(PNG))
    assert (row["width"], row["height"], row["sha256"]) == (160, 100, hashlib.sha256(PNG).digest())
    (part,) = await world.parts()
    assert part["media"] == (await world.media(row["id"]))["media"]
    assert (part["media"]["state"], part["media"]["width"], part["caption"]) == ("stored", 160, "Look")
    kind, payload = (await world.events())[-1]
    assert (kind, payload["message"]["parts"]) == ("message.updated", [part])
    answer = await world.client.get(await world.link(row["id"]))
    assert (answer.status_code, answer.content) == (200, PNG)
    assert len(world.kept()) == 1


async def test_clients_never_see_where_the_provider_keeps_a_file(world: MediaWorld) -> None:
    await world.receive(File(PNG))
    await world.work()

    assert world.provider.asked == ["link", "file"]
    for shown in (await world.events(), await world.parts(), [await world.media((await world.row())["id"])]):
        assert "90001" not in str(shown)
        assert "download/" not in str(shown)
    assert (await world.row())["ref"] is None


async def test_the_webhook_is_done_before_any_file_is_asked_for(world: MediaWorld) -> None:
    await world.receive(File(PNG))
    await asyncio.sleep(0.1)

    assert world.provider.asked == []
    assert len(await world.fetch("SELECT 1 FROM jobs WHERE queue = 'media.fetch'")) == 1


async def test_a_redelivered_message_has_one_file(world: MediaWorld) -> None:
    await world.receive(File(PNG), external_id="wamid.A")
    await world.feed(message("wamid.A", "image", {"id": "90001", "mime_type": "image/png"}))
    await world.work()

    assert len(await world.rows()) == 1
    assert len(await world.fetch("SELECT 1 FROM media_uses")) == 1


async def test_a_link_that_ran_out_is_asked_for_again(world: MediaWorld) -> None:
    world.runtime.media.fetcher._back_off = BackOff(60.0, 60.0)  # by the back-off of the job it would take a minute
    await world.receive(File(PNG, links=[404]))
    await world.work()

    assert world.provider.asked == ["link", "file", "link", "file"]
    assert (await world.row())["state"] == "stored"


async def test_a_provider_that_stumbles_is_asked_until_it_answers(world: MediaWorld) -> None:
    await world.receive(File(PNG, links=[500, 503, 404, 404, 500]))
    await world.work()

    assert (await world.row())["state"] == "stored"


async def test_a_file_that_is_gone_fails_visibly_and_can_be_fetched_again(world: MediaWorld) -> None:
    file = File(PNG, links=[410])
    await world.receive(file)
    await world.work()

    row = await world.row()
    assert (row["state"], row["fault"]["code"]) == ("failed", "not_found")
    (part,) = await world.parts()
    assert part["media"]["fault"] == {"code": "not_found", "reason": row["fault"]["reason"], "retryable": False}

    answer = await world.client.post(f"/v1/media/{row['id']}/retry")
    assert (answer.status_code, answer.json()["media"]["state"]) == (202, "pending")
    assert (await world.parts())[0]["media"]["state"] == "pending"
    await world.work()
    assert (await world.row())["state"] == "stored"
    answer = await world.client.post(f"/v1/media/{row['id']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "media_not_failed")


async def test_what_must_not_be_kept_is_not_kept(world: MediaWorld) -> None:
    for label, file, kind, code in (
        ("larger than it may be", File(PNG + bytes(MOST)), "image", "too_large"),
        ("a small gzip that becomes large", File(PNG + bytes(40 * MOST), zipped=True), "image", "too_large"),
        ("empty", File(b""), "image", "empty"),
        ("a page instead of a picture", File(b"<html><script>alert(1)</script>"), "image", "type_refused"),
        ("a program instead of a picture", File(b"MZ" + bytes(500)), "image", "type_refused"),
        ("a program as a document", File(b"\x7fELF" + bytes(500), "application/pdf"), "document", "type_refused"),
        ("a picture as a voice", File(PNG, "audio/ogg"), "audio", "type_refused"),
    ):
        await world.receive(file, kind=kind)
        await world.work()

        row = (await world.rows())[-1]
        assert (row["state"], row["fault"]["code"]) == ("failed", code), label
        assert world.kept() == []
        assert await world.fetch("SELECT 1 FROM jobs") == []


async def test_a_claimed_size_beyond_the_limit_is_not_even_asked_for(world: MediaWorld) -> None:
    await world.receive(File(PNG), file_size=MOST + 1)
    await world.work()

    assert (await world.row())["fault"]["code"] == "too_large"
    assert world.provider.asked == []


async def test_a_link_into_a_private_network_is_not_followed(world: MediaWorld) -> None:
    for url in ("http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "file:///etc/passwd"):
        await world.receive(File(PNG, url=url))
    await world.work()

    for row in await world.rows():
        assert (row["state"], row["fault"]["code"]) == ("failed", "forbidden_address")
        assert "169.254" not in str(row["fault"])
        assert "10.0.0" not in str(row["fault"])


async def test_a_file_name_leads_nowhere(world: MediaWorld) -> None:
    for name, shown in (
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system32\\a.pdf", "a.pdf"),
        ("/absolute/b.pdf", "b.pdf"),
        ("..", None),
        ("con.pdf", None),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a" * 200 + ".pdf", "a" * 116 + ".pdf"),
    ):
        await world.receive(File(sample("document"), "application/pdf"), kind="document", filename=name)
        await world.work()

        row = (await world.rows())[-1]
        assert row["filename"] == shown
        assert world.kept()[-1].is_relative_to(world.folder / "media" / "files" / str(world.workspace_id))
        assert (world.folder / "media" / "files" / row["store_key"]).read_bytes() == sample("document")


async def test_an_unsend_deletes_the_copy(world: MediaWorld) -> None:
    external_id = await world.receive(File(PNG))
    await world.work()
    link = await world.link((await world.row())["id"])

    await unsend(world, external_id)
    assert (await world.client.get(link)).status_code == 404
    await world.work()

    row = await world.row()
    assert (row["state"], row["store_key"], row["sha256"], row["ref"], row["filename"]) == ("deleted",) + (None,) * 4
    assert world.kept() == []
    assert (await world.client.get(f"/v1/media/{row['id']}")).status_code == 404


async def test_an_unsend_while_the_file_is_under_way_leaves_nothing(world: MediaWorld) -> None:
    external_id = await world.receive(File(PNG))
    begun, go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await go.wait()

    world.provider.before = hold
    working = asyncio.create_task(world.work())
    await begun.wait()
    await unsend(world, external_id)
    await until_removed(world)
    go.set()
    await working

    assert (await world.row())["state"] == "deleted"
    assert world.kept() == []


async def until_removed(world: MediaWorld) -> None:
    """The job of the unsend has been here already: what comes into the store from now on, it does not see."""
    async with asyncio.timeout(10):
        while await world.fetch("SELECT 1 FROM jobs WHERE queue = 'media.remove'"):
            await asyncio.sleep(0.01)


async def unsend(world: MediaWorld, external_id: str) -> None:
    about = {"original_message_id": external_id}
    await world.feed(message(f"{external_id}.revoke", "revoke", about))
    assert await world.fetch("SELECT 1 FROM messages WHERE unsent_at IS NOT NULL")


async def test_an_edited_caption_keeps_the_file(world: MediaWorld) -> None:
    external_id = await world.receive(File(PNG), caption="befor")
    await world.work()
    about = {"id": "90001", "mime_type": "image/png", "caption": "before"}
    edit = {"original_message_id": external_id, "message": {"type": "image", "image": about}}
    await world.feed(message("wamid.edit", "edit", edit))
    await world.feed(message("wamid.edit", "edit", edit))
    await world.work()

    (part,) = await world.parts()
    assert (part["caption"], part["media"]["state"]) == ("before", "stored")
    assert len(await world.rows()) == 1
    assert (await world.fetch("SELECT versions FROM messages"))[0][0] == 2


async def test_a_batch_costs_the_same_statements_however_many_files_it_has(
    world: MediaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("execute", "fetch", "fetchrow", "fetchval"):
        plain = getattr(UnitOfWork, name)

        async def counted(self: UnitOfWork, query: str, *args: object, plain: Any = plain) -> Any:
            asked.append(query)
            return await plain(self, query, *args)

        monkeypatch.setattr(UnitOfWork, name, counted)
    await world.receive(File(PNG))
    costs = []
    for batch in (2, 20):
        asked.clear()
        names = [f"{batch}{number}" for number in range(batch)]
        world.provider.files |= {name: File(PNG) for name in names}
        await world.feed(*[message(f"wamid.{name}", "image", {"id": name, "mime_type": "image/png"}) for name in names])
        costs.append(len(asked))
    monkeypatch.undo()
    assert costs[0] == costs[1] > 0
    await world.work()
    assert [row["state"] for row in await world.rows()] == ["stored"] * 23
    assert len(world.kept()) == 23


CRASHING = """
import asyncio, os, sys
from ipaddress import ip_network
from pathlib import Path
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.settings import Settings
from inbox.runtime import Runtime

async def main(dsn, folder):
    networks = (ip_network("127.0.0.0/8"),)
    runtime = Runtime(Settings(data_folder=Path(folder), roles=("api",), allow_private_networks=networks), dsn)
    store = runtime.media.fetcher._store
    put = store.put

    async def put_and_die(key, path):
        await put(key, path)
        os._exit(9)

    store.put = put_and_die
    await runtime.start()
    worker = Worker(runtime.database, runtime.wakeup, lease_seconds=1.0)
    runtime.media.register(worker)
    await worker.run()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_worker_killed_between_fetch_and_commit_leaves_one_whole_file(
    world: MediaWorld, database_url: str
) -> None:
    await world.receive(File(PNG))
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CRASHING, database_url, str(world.folder)], timeout=60, check=False
    )
    assert killed.returncode == 9
    assert (await world.row())["state"] == "pending"
    assert len(world.kept()) == 1
    assert [row[0] for row in await world.fetch("SELECT state FROM jobs")] == ["running"]

    await world.fetch("UPDATE jobs SET state = 'queued', worker = NULL, leased_until = NULL")
    await world.work()

    assert (await world.row())["state"] == "stored"
    assert len(world.kept()) == 1
    updated = [payload for kind, payload in await world.events() if kind == "message.updated"]
    assert len(updated) == 1


async def test_bytes_stored_by_a_worker_that_died_after_an_unsend_go_too(world: MediaWorld, database_url: str) -> None:
    external_id = await world.receive(File(PNG))
    begun, go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await go.wait()

    world.provider.before = hold
    command = [sys.executable, "-c", CRASHING, database_url, str(world.folder)]
    dying = asyncio.create_task(asyncio.to_thread(subprocess.run, command, timeout=60, check=False))
    await asyncio.wait_for(begun.wait(), 30)
    await unsend(world, external_id)
    await until_removed(world)
    go.set()
    assert (await dying).returncode == 9
    assert len(world.kept()) == 1

    await world.fetch("UPDATE jobs SET state = 'queued', worker = NULL, leased_until = NULL")
    await world.work()
    assert (await world.row())["state"] == "deleted"
    assert world.kept() == []
