"""Stores of files: what every store promises, proven on the local folder and on an S3 server.

The S3 half needs packages of the extra ``dev`` and is skipped without them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Thread
from uuid import UUID, uuid4

import aiohttp
import pytest
from media_world import PNG, File, media_world

from inbox.kernel.ids import new_id
from inbox.kernel.settings import Settings
from inbox.media.build import build_store
from inbox.media.spool import Spool, TooMuch
from inbox.media.store import LocalStore, NoSuchObject, Store, StoreError, key_of

LARGE = bytes(range(256)) * 50_000
"""More than one part of a multipart upload, and than one piece of a read."""


@pytest.fixture(scope="module")
async def s3_endpoint() -> AsyncIterator[str]:
    pytest.importorskip("obstore", reason="the S3 store needs obstore: pip install omnichannel-inbox[s3]")
    moto = pytest.importorskip("moto.server", reason="the S3 server of the tests: pip install omnichannel-inbox[dev]")
    serving = pytest.importorskip("werkzeug.serving", reason="the S3 server of the tests")
    # What moto's own ThreadedMotoServer does, except that it never closes its socket.
    server = serving.make_server(
        "127.0.0.1", 0, moto.DomainDispatcherApplication(moto.create_backend_app), threaded=True
    )
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    async with aiohttp.ClientSession() as session, session.put(f"{endpoint}/files") as made:
        assert made.status == 200
    yield endpoint
    await asyncio.to_thread(server.shutdown)
    server.server_close()
    thread.join()


def s3_settings(endpoint: str, prefix: str = "") -> dict[str, str]:
    return {
        "media_store": f"s3://files/{prefix}",
        "media_s3_endpoint": endpoint,
        "media_s3_region": "eu-north-1",
        "media_s3_key_id": "key",
        "media_s3_secret": "secret",
    }


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "files")
    settings = s3_settings(request.getfixturevalue("s3_endpoint"), "some/prefix")
    return build_store(Settings(**settings))  # type: ignore[arg-type]


def written(folder: Path, data: bytes) -> Path:
    path = folder / f"given-{uuid4()}"
    path.write_bytes(data)
    return path


async def read(store: Store, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(key, start, end)])


async def test_what_is_put_is_read_whole_and_in_parts(store: Store, tmp_path: Path) -> None:
    key = key_of(uuid4(), new_id())
    await store.put(key, written(tmp_path, LARGE))

    assert await read(store, key) == LARGE
    for start, end in ((0, 1), (5, 300_000), (len(LARGE) - 7, None), (100, len(LARGE)), (3, 3)):
        assert await read(store, key, start, end) == LARGE[start:end]


async def test_a_put_replaces_and_a_delete_is_final_and_may_be_repeated(store: Store, tmp_path: Path) -> None:
    key, other = key_of(uuid4(), new_id()), key_of(uuid4(), new_id())
    await store.put(other, written(tmp_path, b"another's"))
    for data in (b"one", b"two"):
        await store.put(key, written(tmp_path, data))
        assert await read(store, key) == data
    for _ in range(2):
        await store.delete(key)
        with pytest.raises(NoSuchObject):
            await read(store, key)
    assert await read(store, other) == b"another's"


async def test_files_come_in_and_go_out_through_s3(database_url: str, tmp_path: Path, s3_endpoint: str) -> None:
    async with media_world(database_url, tmp_path, **s3_settings(s3_endpoint)) as world:
        await world.receive(File(PNG))
        await world.work()
        row = await world.row()
        url = await world.link(row["id"])
        assert (await world.client.get(url)).content == PNG
        part = await world.client.get(url, headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, PNG[10:20])
        assert world.kept() == []
        message_ids = [found[0] for found in await world.fetch("SELECT id FROM messages")]
        attachments = world.runtime.receiver._attachments
        await world.runtime.database.retrying(lambda unit: attachments.forget(unit, world.workspace_id, message_ids))
        await world.work()
        with pytest.raises(NoSuchObject):
            await read(world.runtime.media.service._store, row["store_key"])


async def test_an_s3_store_that_is_away_is_a_store_error_without_its_address(tmp_path: Path) -> None:
    pytest.importorskip("obstore", reason="the S3 store needs obstore: pip install omnichannel-inbox[s3]")
    away = build_store(Settings(**s3_settings("http://127.0.0.1:9")))  # type: ignore[arg-type]
    with pytest.raises(StoreError) as caught:
        await away.put(key_of(uuid4(), new_id()), written(tmp_path, b"x"))
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("address", ["files", "s3://", "https://bucket.example", "/data"])
def test_an_address_that_is_no_store_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(ValueError, match="INBOX_MEDIA_STORE"):
        build_store(Settings(media_store=address))


@pytest.mark.parametrize("key", ["../secret.key", "/etc/passwd", "a/b/c", f"{UUID(int=1)}/../{UUID(int=2)}", ""])
async def test_a_local_store_takes_its_own_keys_only(tmp_path: Path, key: str) -> None:
    local = LocalStore(tmp_path)
    with pytest.raises(StoreError):
        await local.put(key, written(tmp_path, b"x"))
    with pytest.raises(StoreError):
        await read(local, key)


async def test_a_spool_stops_at_its_limit_and_cleans_up(tmp_path: Path) -> None:
    spool, given = Spool(tmp_path / "in"), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(1000)

    with pytest.raises(TooMuch):
        async with spool.take(endless(), limit=5000):
            raise AssertionError("it never ends")
    assert given == 6
    assert list((tmp_path / "in").iterdir()) == []


async def test_a_spool_sweeps_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    old, new, foreign = tmp_path / "incoming-old", tmp_path / "incoming-new", tmp_path / "other"
    for path in (old, new, foreign):
        path.write_bytes(b"x")
    for path in (old, foreign):
        os.utime(path, (1, 1))
    await spool.sweep()
    assert sorted(await asyncio.to_thread(lambda: list(tmp_path.iterdir()))) == [new, foreign]
