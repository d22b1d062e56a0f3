"""Pictures of people: asked for politely, copied through our own client, shown by our own links."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from delivery_world import CAPABILITIES, ScriptedAdapter, World, customer_address, make_world

from channels.adapter import Http, HttpStream
from channels.content import MediaRef, TextPart
from channels.errors import FetchError
from channels.inbound import MessageReceived
from channels.simulator.samples import sample
from channels.types import Account, Address, Fault, Person
from inbox.agents.principal import Principal
from inbox.conversations.profiles import QUEUE, ProfileFetcher, ProfileRequests
from inbox.kernel.clock import SystemClock
from inbox.kernel.errors import Forbidden
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Job, Jobs
from inbox.kernel.reactions import Reactions
from inbox.kernel.wakeup import Wakeup
from inbox.media.avatars import Avatars, AvatarUnknown
from inbox.media.links import Links
from inbox.media.spool import Spool
from inbox.media.store import LocalStore
from inbox.messages.profile_refresh import ProfileRefresh

PNG = sample("image")
PROVIDER = "https://cdn.provider.test/picture?token=secret"


@dataclass
class Bytes:
    data: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.data


class Knows(ScriptedAdapter):
    """Tells who somebody is, and hands out their picture."""

    name: str = "Ann"
    picture: bytes | Fault = PNG

    async def profile(self, http: Http, account: Account, peer: Any) -> Person | None:
        return Person(tuple(peer), name=self.name, avatar_url=PROVIDER)

    @asynccontextmanager
    async def fetch(self, http: Http, account: Account, media: MediaRef) -> AsyncIterator[HttpStream]:
        assert media.url == PROVIDER
        if isinstance(self.picture, Fault):
            raise FetchError(self.picture)
        yield Bytes(self.picture)


@dataclass
class Gallery:
    world: World
    avatars: Avatars
    fetcher: ProfileFetcher
    folder: Path

    @property
    def adapter(self) -> Knows:
        return cast(Knows, self.world.adapter)

    async def write(self) -> None:
        address = customer_address(self.world.channel, 1)
        now = datetime.now(UTC)
        await self.world.receive(
            MessageReceived("111", f"in.{uuid4()}", Person((address,), name="ann_99"), (TextPart("Hi"),), now)
        )

    async def jobs(self) -> list[Job]:
        rows = await self.world.node.fetch("SELECT payload FROM jobs WHERE queue = $1", QUEUE)
        return [
            Job(self.world.workspace_id, new_id(), QUEUE, None, row[0], 1, 5, 1, "lease", datetime.now(UTC))
            for row in rows
        ]

    async def work(self) -> None:
        """Run what was asked for, as a worker would."""
        for job in await self.jobs():
            await self.fetcher.run(job)
        async with self.world.node.database.session() as connection:
            await connection.execute("DELETE FROM jobs WHERE queue = $1", QUEUE)

    async def contact(self) -> Any:
        (row,) = await self.world.node.fetch("SELECT id, name, avatar_url FROM contacts")
        return row

    def kept(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder / "files").rglob("*") if path.is_file()]


@pytest.fixture
async def gallery(database_url: str, tmp_path: Path) -> AsyncIterator[Gallery]:
    async with make_world(database_url, plays=Knows, profiles=True) as world:
        node = world.node
        jobs = Jobs(Wakeup())
        reactions = Reactions()
        reactions.on("message.created", ProfileRefresh(node.directory, ProfileRequests(jobs)).follow)
        node.database._reactions = reactions
        links = Links([b"k" * 32], SystemClock(), seconds=900)
        avatars = Avatars(node.database, jobs, LocalStore(tmp_path / "files"), Spool(tmp_path / "incoming"), links)
        fetcher = ProfileFetcher(node.database, node.directory, cast(Http, None), avatars)
        yield Gallery(world, avatars, fetcher, tmp_path)


async def test_a_picture_is_copied_and_shown_by_a_link_of_ours(gallery: Gallery) -> None:
    await gallery.write()
    await gallery.work()
    contact = await gallery.contact()
    assert contact["avatar_url"].startswith(f"/v1/contacts/{contact['id']}/avatar?v=")
    assert gallery.kept() == [PNG]
    caller = gallery.world.caller
    out = await gallery.avatars.read(caller, contact["id"], "https://inbox.test")
    assert out.url.startswith(f"https://inbox.test/media/{caller.workspace_id}/")
    told = await gallery.world.node.fetch("SELECT payload FROM events ORDER BY position")
    everything = [str(row[0]) for row in told]
    assert contact["avatar_url"] in everything[-1]
    assert "cdn.provider.test" not in str(everything)


async def test_a_channel_is_asked_at_most_once_a_day_about_a_person(gallery: Gallery) -> None:
    for _ in range(3):
        await gallery.write()
    assert len(await gallery.jobs()) == 1
    await gallery.work()
    await gallery.write()
    assert await gallery.jobs() == []


async def test_what_another_process_asked_today_is_not_asked_again_and_tomorrow_it_is(gallery: Gallery) -> None:
    await gallery.write()
    await gallery.work()
    node = gallery.world.node
    other = ProfileRefresh(node.directory, ProfileRequests(Jobs(Wakeup())))
    reactions = Reactions()
    reactions.on("message.created", other.follow)
    node.database._reactions = reactions
    await gallery.write()
    assert await gallery.jobs() == []
    async with node.database.session() as connection:
        await connection.execute("UPDATE avatars SET asked_at = now() - $1::interval", timedelta(hours=25))
    other._looked.clear()
    await gallery.write()
    assert len(await gallery.jobs()) == 1


async def test_the_same_picture_stays_and_another_takes_its_place(gallery: Gallery) -> None:
    await gallery.write()
    jobs = await gallery.jobs()
    await gallery.work()
    before = await gallery.contact()
    await gallery.fetcher.run(jobs[0])
    assert (await gallery.contact())["avatar_url"] == before["avatar_url"]
    gallery.adapter.picture = sample("image") + b"\0"
    await gallery.fetcher.run(jobs[0])
    assert (await gallery.contact())["avatar_url"] != before["avatar_url"]
    states = await gallery.world.node.fetch("SELECT state FROM media ORDER BY id")
    assert [row[0] for row in states] == ["deleted", "stored"]
    assert await gallery.world.node.fetchval("SELECT count(*) FROM jobs WHERE queue = 'media.remove'") == 1


@pytest.mark.parametrize("picture", [b"<html>not a picture</html>", b"", Fault("gone", "It is gone.")])
async def test_what_is_no_picture_is_not_kept_and_the_name_is(gallery: Gallery, picture: Any) -> None:
    gallery.adapter.picture = picture
    await gallery.write()
    await gallery.work()
    contact = await gallery.contact()
    assert (contact["name"], contact["avatar_url"]) == ("Ann", None)
    assert gallery.kept() == []
    with pytest.raises(AvatarUnknown):
        await gallery.avatars.read(gallery.world.caller, contact["id"], "")


async def test_a_name_set_by_hand_is_not_overwritten(gallery: Gallery) -> None:
    await gallery.write()
    async with gallery.world.node.database.session() as connection:
        await connection.execute("UPDATE contacts SET name = 'Aunt Ann'")
    await gallery.work()
    assert (await gallery.contact())["name"] == "Aunt Ann"


async def test_pictures_of_other_workspaces_and_without_the_right_are_not_shown(gallery: Gallery) -> None:
    await gallery.write()
    await gallery.work()
    contact_id: UUID = (await gallery.contact())["id"]
    stranger = Principal(uuid4(), uuid4(), "Eve", "admin", uuid4())
    with pytest.raises(AvatarUnknown):
        await gallery.avatars.read(stranger, contact_id, "")
    scoped = Principal(gallery.world.workspace_id, uuid4(), "Bot", "bot", uuid4(), frozenset({"stream"}))
    with pytest.raises(Forbidden):
        await gallery.avatars.read(scoped, contact_id, "")


async def test_a_channel_that_cannot_tell_is_never_asked(database_url: str) -> None:
    async with make_world(database_url, plays=Knows) as world:
        assert not CAPABILITIES.profiles
        refresh = ProfileRefresh(world.node.directory, ProfileRequests(Jobs(Wakeup())))
        reactions = Reactions()
        reactions.on("message.created", refresh.follow)
        world.node.database._reactions = reactions
        person = Person((Address("whatsapp_phone", "", "15551230001"),), name="Ann")
        await world.receive(MessageReceived("111", "in.1", person, (TextPart("Hi"),), datetime.now(UTC)))
        assert await world.node.fetchval("SELECT count(*) FROM jobs WHERE queue = $1", QUEUE) == 0
