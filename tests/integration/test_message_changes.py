"""Editing and taking back what was sent: the provider first, then us, and every outcome on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import pytest
from delivery_world import ScriptedAdapter, World, make_world

from channels.adapter import Http
from channels.capabilities import TextLimit
from channels.errors import SendError
from channels.outbound import Accepted, OutboundPart, Piece
from channels.types import Account, Address, Fault
from inbox.agents.principal import Principal
from inbox.connections.asking import ProviderRefused
from inbox.connections.health import ChannelHealth
from inbox.conversations.service import ConversationUnknown
from inbox.delivery.changes import MessageChanges, NotChangeable, OutcomeUnknown
from inbox.delivery.schemas import EditIn
from inbox.kernel.errors import Forbidden, Unavailable
from inbox.kernel.http_errors import ConnectFailed, TimedOut
from inbox.kernel.jobs import Jobs
from inbox.kernel.wakeup import Wakeup
from inbox.media.attachments import Attachments
from inbox.messages.schemas import MessageView
from inbox.messages.sending import ComposerRefused
from inbox.messages.service import MessageUnknown


class Editor(ScriptedAdapter):
    """Can edit and take back; ``answer`` decides each request, after ``hold``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.done: list[tuple[str, ...]] = []
        self.answers: list[Exception] = []
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.pieces = 1

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return tuple(super().plan(parts)) * self.pieces

    async def edit(
        self, http: Http, account: Account, peer: Sequence[Address], external_id: str, parts: Sequence[OutboundPart]
    ) -> None:
        await self._answer("edit", external_id, getattr(parts[0], "text", ""))

    async def delete(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        await self._answer("delete", external_id)

    async def _answer(self, *request: str) -> None:
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.answers:
            raise self.answers.pop(0)
        self.done.append(request)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(
        database_url, plays=Editor, edit=True, delete=True, delete_within_hours=48, text=TextLimit(4096)
    ) as world:
        yield world


def editor(world: World) -> Editor:
    return cast(Editor, world.adapter)


def changes(world: World, *, timeout: float = 5.0) -> MessageChanges:
    node = world.node
    return MessageChanges(
        node.database,
        node.conversations,
        node.directory,
        Attachments(Jobs(Wakeup())),
        ChannelHealth(node.directory, lambda: None),
        cast(Http, None),
        send_timeout=timeout,
    )


def words(text: str, **more: Any) -> EditIn:
    return EditIn.model_validate({"part": {"type": "text", "text": text}, **more})


async def sent(world: World, *texts: str) -> UUID:
    message_id = await world.queue(await world.conversation(), *(texts or ("Hello",)))
    await world.run_until_idle()
    assert await world.status(message_id) == "sent"
    return message_id


async def change(world: World, message_id: UUID, order: EditIn | None) -> MessageView:
    """``None``: take it back."""
    work = changes(world)
    if order is None:
        return await work.delete(world.caller, message_id)
    return await work.edit(world.caller, message_id, order)


async def change_states(world: World) -> list[str]:
    return [row[0] for row in await world.node.fetch("SELECT state FROM message_changes ORDER BY id")]


async def updates(world: World) -> list[Any]:
    rows = await world.node.fetch("SELECT payload FROM events WHERE kind = 'message.updated' ORDER BY position")
    return [orjson.loads(row[0])["message"] for row in rows]


async def test_an_edit_reaches_the_provider_and_keeps_the_words_before_it(world: World) -> None:
    message_id = await sent(world)
    edited = await changes(world).edit(world.caller, message_id, words("Hello again"))
    assert ([part["text"] for part in edited.parts], edited.versions) == (["Hello again"], 2)
    assert edited.edited_at is not None
    external_id = (await world.delivery(message_id))["external_id"]
    assert editor(world).done == [("edit", external_id, "Hello again")]
    kept = await world.node.fetchval("SELECT parts FROM message_versions WHERE message_id = $1", message_id)
    assert [part["text"] for part in kept] == ["Hello"]
    assert [one["versions"] for one in await updates(world)] == [2]
    assert [one.state for one in await changes(world).list(world.caller, message_id)] == ["done"]


async def test_words_of_a_message_with_a_file_are_its_caption(world: World) -> None:
    message_id = await sent(world)
    bold = {"kind": "bold", "offset": 0, "length": 1}
    image = {"type": "media", "kind": "image", "url": "https://x.org", "caption": "a", "entities": [bold]}
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE messages SET parts = $1", [image])
    edited = await changes(world).edit(world.caller, message_id, words("b"))
    assert edited.parts == [{**image, "caption": "b", "entities": []}]


async def test_a_message_is_taken_back_with_all_that_it_was_sent_as(world: World) -> None:
    editor(world).script = [Accepted(("album.1", "album.2")), None]
    message_id = await sent(world, "one", "two")
    gone = await changes(world).delete(world.caller, message_id)
    assert (gone.parts, gone.unsent_at is not None) == ([], True)
    second = (await world.delivery(message_id, 1))["external_id"]
    assert [one[1] for one in editor(world).done] == ["album.1", "album.2", second]
    with pytest.raises(NotChangeable) as refused:
        await changes(world).delete(world.caller, message_id)
    assert refused.value.facts["reason"] == "unsent"


@pytest.mark.parametrize(
    ("answer", "raised", "state"),
    [
        (SendError(Fault("not_editable", "Too old to edit.", "400")), ProviderRefused, "refused"),
        (SendError(Fault("outcome_unknown", "Who knows.")), OutcomeUnknown, "unknown"),
        (TimedOut("https://api.test", "no answer", sent=True), OutcomeUnknown, "unknown"),
        (ConnectFailed("https://api.test", "no route"), Unavailable, "not_sent"),
        (ValueError("a bug"), OutcomeUnknown, "unknown"),
    ],
)
@pytest.mark.parametrize("kind", ["edit", "delete"])
async def test_whatever_is_not_a_yes_changes_nothing(
    world: World, kind: str, answer: Exception, raised: type[Exception], state: str
) -> None:
    message_id = await sent(world)
    editor(world).answers = [answer]
    work = changes(world)
    with pytest.raises(raised):
        await (
            work.edit(world.caller, message_id, words("x")) if kind == "edit" else work.delete(world.caller, message_id)
        )
    assert await world.node.fetchval("SELECT parts->0->>'text' FROM messages WHERE id = $1", message_id) == "Hello"
    assert await change_states(world) == [state]
    assert await updates(world) == []
    (seen,) = await work.list(world.caller, message_id)
    assert seen.fault is not None
    assert (await work.edit(world.caller, message_id, words("again"))).versions == 2, "it can be done again"


async def test_a_request_that_hangs_ends_unknown(world: World) -> None:
    message_id = await sent(world)
    editor(world).hold = asyncio.Event()
    with pytest.raises(OutcomeUnknown):
        await changes(world, timeout=0.05).edit(world.caller, message_id, words("x"))
    assert await change_states(world) == ["unknown"]


async def test_one_change_at_a_time_and_one_that_its_process_lost_becomes_unknown(world: World) -> None:
    message_id = await sent(world)
    editor(world).hold = asyncio.Event()
    first = asyncio.create_task(changes(world, timeout=60).edit(world.caller, message_id, words("first")))
    await asyncio.wait_for(editor(world).asked.wait(), 5)
    with pytest.raises(NotChangeable) as refused:
        await changes(world).delete(world.caller, message_id)
    assert refused.value.facts["reason"] == "under_way"
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    await world.sweeper(uncertain_after=60).sweep()
    assert await change_states(world) == ["sending"], "a living holder still has time"
    await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
    assert await change_states(world) == ["unknown"]
    editor(world).hold = None
    assert (await changes(world).edit(world.caller, message_id, words("second"))).versions == 2


async def refusal(world: World, message_id: UUID, order: EditIn | None = None) -> Any:
    with pytest.raises((NotChangeable, ComposerRefused)) as refused:
        await change(world, message_id, order)
    assert editor(world).done == []
    assert await change_states(world) == []
    return refused.value.facts["reason"]


async def test_only_what_we_sent_can_be_changed(world: World) -> None:
    queued = await world.queue(await world.conversation())
    assert await refusal(world, queued) == "not_sent"
    message_id = await sent(world)
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE messages SET author_kind = 'native_app' WHERE id = $1", message_id)
    assert await refusal(world, message_id) == "not_ours"
    with pytest.raises(MessageUnknown):
        await changes(world).delete(world.caller, uuid4())


async def test_what_went_out_as_several_messages_is_not_edited(world: World) -> None:
    assert await refusal(world, await sent(world, "one", "two"), words("x")) == "several_messages"


async def test_words_that_are_too_long_for_an_edit_are_refused_with_the_limit(world: World) -> None:
    message_id = await sent(world)
    editor(world).pieces = 2
    with pytest.raises(NotChangeable) as refused:
        await changes(world).edit(world.caller, message_id, words("x" * 5000))
    assert refused.value.facts == {"reason": "several_messages", "limit": "text.maximum", "allowed": 4096}


async def test_the_time_to_take_back_is_the_channels(world: World) -> None:
    message_id = await sent(world)
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET sent_at = now() - $1::interval", timedelta(hours=49))
    assert await refusal(world, message_id) == "too_old"


async def test_a_blocked_contact_hears_nothing_more_and_a_disabled_channel_does_nothing(world: World) -> None:
    message_id = await sent(world)
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE contacts SET blocked_at = now()")
    assert await refusal(world, message_id, words("x")) == "contact_blocked"
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE channels SET state = 'disabled'")
    assert await refusal(world, message_id) == "channel_disabled"


async def test_a_late_edit_of_a_bot_is_refused_and_so_is_one_of_somebody_elses_message(world: World) -> None:
    message_id = await sent(world)
    assert await refusal(world, message_id, words("x", epoch=99)) == "superseded"
    bot = Principal(world.workspace_id, uuid4(), "Bot", "bot", uuid4())
    with pytest.raises(ConversationUnknown):
        await changes(world).edit(bot, message_id, words("x"))
    async with world.node.database.session() as connection:
        await connection.execute(
            "INSERT INTO agents (workspace_id, id, role, name) VALUES ($1, $2, 'bot', 'Bot')",
            bot.workspace_id,
            bot.agent_id,
        )
        await connection.execute("UPDATE conversations SET bot_id = $1, run_id = $1", bot.agent_id)
    with pytest.raises(Forbidden):
        await changes(world).edit(bot, message_id, words("x"))


async def test_a_channel_that_cannot_says_so(database_url: str) -> None:
    async with make_world(database_url, plays=Editor) as world:
        message_id = await sent(world)
        assert await refusal(world, message_id) == "not_offered"
        assert await refusal(world, message_id, words("x")) == "not_offered"
