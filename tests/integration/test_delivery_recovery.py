"""P4 and P5 on a real PostgreSQL: receipts in any order, crashes between acceptance and record, what people decide."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations
from typing import Any
from uuid import UUID

import pytest
from builders import Node
from delivery_world import World, customer_address, make_world, other_node

from channels.content import TextPart
from channels.inbound import DeliveryStatus, Echo, MessageReceived, StatusReported, StatusUpTo
from channels.outbound import Accepted, Envelope
from channels.types import Account, Fault, Person
from inbox.delivery.claims import Claim
from inbox.delivery.outcomes import LOST, Outcome, Refusal, Unknown
from inbox.delivery.recording import Recorder, Result
from inbox.delivery.service import NothingToRetry, TooLate
from inbox.kernel.database import DatabaseUnavailable
from inbox.kernel.errors import Forbidden
from inbox.messages.service import MessageUnknown
from inbox.messages.statuses import LINE, RANK


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


def receipt(
    external_id: str, status: DeliveryStatus, *, correlation: str | None = None, account_id: str = "111"
) -> StatusReported:
    fault = Fault("held_back", "Not delivered.") if status == "failed" else None
    return StatusReported(account_id, external_id, status, datetime.now(UTC), fault, correlation)


async def settle(world: World, claim: Claim, outcome: Outcome, **more: Any) -> None:
    await world.recorder(**more).record([Result(claim, outcome, datetime.now(UTC))])


async def in_the_air(world: World, *texts: str, **more: Any) -> tuple[UUID, Claim]:
    message_id = await world.queue(await world.conversation(), *texts, **more)
    (claim,) = await world.claim()
    return message_id, claim


def never_back(history: Sequence[str]) -> bool:
    return all(RANK[earlier] < RANK[later] for earlier, later in pairwise(history))


# --- P4: receipts in any order ----------------------------------------------------------------------------------------

STEPS = ("settle", "sent", "delivered", "read", "failed")


def highest(steps: Sequence[str]) -> str:
    return max(("sent" if step == "settle" else step for step in steps), key=LINE.index)


async def play(world: World, steps: Sequence[str], *, correlated: bool) -> tuple[str, list[str]]:
    """Our own record of the send is one of the steps; receipts may come before it. Returns the end and the history."""
    message_id, claim = await in_the_air(world)
    external_id = f"wamid.{message_id}"
    for step in steps:
        if step == "settle":
            await settle(world, claim, Accepted((external_id,)))
        else:
            correlation = str(claim.delivery_id) if correlated else None
            await world.receive(receipt(external_id, step, correlation=correlation))  # type: ignore[arg-type]
    return await world.status(message_id), await world.history(message_id)


@pytest.mark.parametrize("correlated", [True, False], ids=["with correlation", "parked"])
async def test_every_order_of_receipts_and_our_record_ends_the_same(world: World, correlated: bool) -> None:
    for steps in permutations(STEPS):
        status, history = await play(world, steps, correlated=correlated)
        assert status == "read", steps
        assert never_back(history), (steps, history)
    assert await world.node.fetchval("SELECT count(*) FROM parked_receipts") == 0


async def test_random_sequences_with_repeats(world: World) -> None:
    rng = random.Random(20260302)
    for _ in range(40):
        steps = ["settle", *rng.choices(STEPS[1:], k=rng.randint(1, 6))]
        rng.shuffle(steps)
        status, history = await play(world, steps, correlated=rng.random() < 0.5)
        assert status == highest(steps), steps
        assert never_back(history), (steps, history)


@pytest.mark.parametrize("correlated", [True, False], ids=["with correlation", "parked"])
async def test_receipts_at_the_very_moment_of_our_record(world: World, correlated: bool) -> None:
    """Two nodes, started from one barrier, over and over: no receipt falls between the stools."""
    node = await other_node(world)
    statuses: list[tuple[DeliveryStatus, Node]] = [("sent", node), ("delivered", world.node), ("read", node)]
    try:
        for round_number in range(25):
            message_id, claim = await in_the_air(world)
            external_id = f"wamid.race.{round_number}"
            correlation = str(claim.delivery_id) if correlated else None
            barrier = asyncio.Barrier(4)

            async def after_barrier(work: Any, barrier: asyncio.Barrier = barrier) -> None:
                await barrier.wait()
                await work

            await asyncio.gather(
                after_barrier(settle(world, claim, Accepted((external_id,)))),
                *[
                    after_barrier(world.receive(receipt(external_id, status, correlation=correlation), node=on))
                    for status, on in statuses
                ],
            )
            assert await world.status(message_id) == "read"
            assert never_back(await world.history(message_id))
            assert (await world.delivery(message_id))["external_id"] == external_id
        assert await world.node.fetchval("SELECT count(*) FROM parked_receipts") == 0
    finally:
        await node.database.stop()


async def test_a_watermark_that_overtakes_our_record(database_url: str) -> None:
    async with make_world(database_url, kind="messenger") as world:
        message_id, claim = await in_the_air(world)
        peer = Person(addresses=claim.recipient)
        now = datetime.now(UTC)
        await world.receive(StatusUpTo("111", peer, "read", now, now))
        assert await world.status(message_id) == "sending", "a watermark says nothing of a request that may have failed"

        await settle(world, claim, Accepted(("m_1",)))
        assert await world.status(message_id) == "read"


# --- P5: a crash between acceptance and record ------------------------------------------------------------------------


async def crash(world: World) -> None:
    """A dispatcher whose process ends right after the provider accepted, before anything was recorded."""
    accepted = asyncio.Event()

    class Dying(Recorder):
        async def record(self, batch: Sequence[Result]) -> list[None]:
            accepted.set()
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    whole = world.recorder()
    dispatcher = world.dispatcher(
        recorder=Dying(*[getattr(whole, name) for name in ("_database", "_resolver", "_consequences")])
    )
    task = asyncio.create_task(dispatcher.run())
    await asyncio.wait_for(accepted.wait(), 5)
    runner = dispatcher._results._runner
    dead = [task, *dispatcher._tasks, *([runner] if runner else [])]
    for one in dead:
        one.cancel()
    await asyncio.gather(*dead, return_exceptions=True)


async def test_a_crash_after_acceptance_ends_uncertain_and_is_never_sent_again(world: World) -> None:
    thread = await world.conversation()
    message_id = await world.queue(thread, "one", "two")
    await crash(world)
    assert await world.status(message_id) == "queued", "of two parts, one is still to come"
    assert await world.states(message_id) == ["sending", "queued"]

    assert (await world.sweeper().sweep()).uncertain == 0, "a living holder still has time"
    assert (await world.sweeper(uncertain_after=0, send_timeout=0).sweep()).uncertain == 1
    following = await world.queue(thread, "next")
    await world.run_until_idle()

    assert world.adapter.words == ["one", "next"]
    assert await world.status(message_id) == "uncertain"
    assert "not known" in (await world.fault(message_id))["reason"]
    assert await world.status(following) == "sent"
    (attempt,) = await world.node.fetch(
        "SELECT outcome FROM delivery_attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE d.message_id = $1",
        message_id,
    )
    assert attempt[0] == "unknown"


async def lost(world: World, text: str = "Hello") -> tuple[UUID, UUID]:
    message_id = await world.queue(await world.conversation(), text)
    await crash(world)
    await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
    assert await world.status(message_id) == "uncertain"
    return message_id, (await world.delivery(message_id))["id"]


async def test_whatsapp_is_reconciled_by_the_correlation_in_a_receipt(world: World) -> None:
    message_id, delivery_id = await lost(world)
    await world.receive(receipt("wamid.found", "delivered", correlation=str(delivery_id)))
    await world.receive(receipt("wamid.found", "read"))

    assert await world.status(message_id) == "read"
    assert (await world.delivery(message_id))["external_id"] == "wamid.found"
    assert len(world.adapter.sent) == 1


def echo(world: World, text: str, external_id: str, correlation: str | None) -> MessageReceived:
    return MessageReceived(
        account_id="111",
        external_id=external_id,
        peer=Person(addresses=(customer_address(world.channel, 1),)),
        parts=(TextPart(text),),
        occurred_at=datetime.now(UTC),
        echo=Echo(correlation=correlation),
        opens_window=False,
    )


@pytest.mark.parametrize(("kind", "inferred"), [("messenger", False), ("instagram", True)])
async def test_an_echo_settles_what_is_uncertain(database_url: str, kind: str, inferred: bool) -> None:
    async with make_world(database_url, kind=kind) as world:
        message_id, delivery_id = await lost(world)
        await world.receive(echo(world, "Hello", "m_echo", None if inferred else str(delivery_id)))

        delivery = await world.delivery(message_id)
        assert (delivery["state"], delivery["external_id"], delivery["inferred"]) == ("sent", "m_echo", inferred)
        assert await world.status(message_id) == "sent"
        assert await world.node.fetchval("SELECT count(*) FROM messages") == 1, "the echo is this message"


async def test_an_echo_that_comes_before_our_record_makes_no_second_message(database_url: str) -> None:
    async with make_world(database_url, kind="messenger") as world:
        message_id, claim = await in_the_air(world)
        await world.receive(echo(world, "Hello", "m_1", str(claim.delivery_id)))
        await settle(world, claim, Accepted(("m_1",)))
        assert await world.history(message_id) == ["sending", "sent"]
        assert await world.node.fetchval("SELECT count(*) FROM messages") == 1


async def test_a_result_that_comes_after_the_sweeper_still_counts(world: World) -> None:
    message_id, claim = await in_the_air(world)
    await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
    await settle(world, claim, Accepted(("wamid.late",)))
    assert await world.history(message_id) == ["sending", "uncertain", "sent"]


async def test_a_refusal_that_comes_after_the_sweeper_fails_and_is_not_sent_again(world: World) -> None:
    message_id, claim = await in_the_air(world)
    await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
    await settle(world, claim, Refusal(Fault("temporary", "Soon.", retryable=True)))
    assert await world.status(message_id) == "failed"
    await world.run_until_idle()
    assert world.adapter.sent == []


@pytest.mark.parametrize(
    "outcome", [Refusal(Fault("temporary", "Soon.", retryable=True)), Unknown(LOST)], ids=["refused", "unknown"]
)
async def test_no_result_takes_back_what_a_receipt_proved(world: World, outcome: Outcome) -> None:
    message_id, claim = await in_the_air(world)
    await world.receive(receipt("wamid.1", "delivered", correlation=str(claim.delivery_id)))
    await settle(world, claim, outcome)
    assert await world.status(message_id) == "delivered"
    assert await world.history(message_id) == ["sending", "delivered"]


async def test_recording_the_same_result_twice_changes_nothing(world: World) -> None:
    message_id, claim = await in_the_air(world)
    for _ in range(2):
        await settle(world, claim, Accepted(("wamid.1",)))
    assert await world.history(message_id) == ["sending", "sent"]


async def test_a_refusal_that_is_recorded_again_does_not_touch_the_next_try(world: World) -> None:
    """The commit went through, its answer did not: the result comes again, while the delivery is in the air again."""
    message_id, claim = await in_the_air(world)
    throttled = Refusal(Fault("rate_limited", "Slow.", retryable=True, retry_after=0.05, pauses="recipient"))
    await settle(world, claim, throttled)
    await asyncio.sleep(0.1)
    (again,) = await world.claim()
    assert (again.delivery_id, again.attempt, again.tries) == (claim.delivery_id, 2, 1)

    await settle(world, claim, throttled)
    assert (await world.states(message_id), await world.claim()) == (["sending"], [])
    await settle(world, again, Accepted(("wamid.1",)))
    assert await world.status(message_id) == "sent"


async def test_one_result_that_cannot_be_recorded_does_not_spoil_the_batch(world: World) -> None:
    first, second = await world.queue(await world.conversation()), await world.queue(await world.conversation())
    claims = await world.claim()
    now = datetime.now(UTC)
    # The provider would have to give one id twice; the constraint objects, and only to the second.
    await world.recorder().record([Result(claim, Accepted(("wamid.same",)), now) for claim in claims])
    assert sorted([await world.status(first), await world.status(second)]) == ["sending", "sent"]


async def test_an_answer_is_kept_while_the_database_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = world.recorder()
    refusals = [DatabaseUnavailable("gone"), DatabaseUnavailable("gone")]
    real = recorder.record

    async def sometimes(batch: Sequence[Result]) -> list[None]:
        if refusals:
            raise refusals.pop()
        return await real(batch)

    monkeypatch.setattr(recorder, "record", sometimes)
    monkeypatch.setattr("inbox.delivery.dispatcher.POLL_SECONDS", 0.02)
    message_id = await world.queue(await world.conversation())
    await world.run_until_idle(world.dispatcher(recorder=recorder))
    assert await world.status(message_id) == "sent"
    assert len(world.adapter.sent) == 1


async def test_a_stop_waits_for_what_is_in_the_air_and_takes_nothing_more(world: World) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def hold(_: Account, __: Envelope) -> None:
        started.set()
        await release.wait()

    world.adapter.play = hold
    thread = await world.conversation()
    message_id = await world.queue(thread, "first")
    later = await world.queue(thread, "second")
    dispatcher = world.dispatcher()
    task = asyncio.create_task(dispatcher.run())
    await started.wait()
    dispatcher.stop()
    await asyncio.sleep(0.05)
    assert not task.done()
    release.set()
    await asyncio.wait_for(task, 5)
    assert (await world.status(message_id), await world.status(later)) == ("sent", "queued")
    assert dispatcher.in_the_air == 0


async def test_the_sweeper_fails_what_waited_beyond_its_deadline(world: World) -> None:
    past, old = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) - timedelta(hours=25)
    due = [
        await world.queue(await world.conversation(), "one", "two", expires_at=past),
        await world.queue(await world.conversation(), created_at=old),
    ]
    kept = [
        await world.queue(await world.conversation()),
        await world.queue(
            await world.conversation(), created_at=old, expires_at=datetime.now(UTC) + timedelta(hours=1)
        ),
    ]
    assert (await world.sweeper().sweep()).expired == 3
    assert [await world.status(one) for one in due] == ["failed", "failed"]
    assert [await world.status(one) for one in kept] == ["queued", "queued"]
    assert (await world.fault(due[0]))["code"] == "expired"


async def test_two_sweepers_do_not_meet(world: World) -> None:
    node = await other_node(world)
    try:
        message_id, claim = await in_the_air(world)
        async with world.node.database.transaction() as unit:
            await unit.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", claim.conversation_id)
            sweeper = world.sweeper(uncertain_after=0, send_timeout=0)
            assert (await asyncio.wait_for(sweeper.sweep(), 2)).uncertain == 0
        assert (await sweeper.sweep()).uncertain == 1
        assert await world.status(message_id) == "uncertain"
    finally:
        await node.database.stop()


# --- What people decide -----------------------------------------------------------------------------------------------


async def test_a_retry_sends_only_what_was_not_accepted(world: World) -> None:
    world.adapter.script = [None, Fault("policy", "No.")]
    message_id = await world.queue(await world.conversation(), "one", "two", "three")
    await world.run_until_idle()
    before = [(await world.delivery(message_id, ordinal))["id"] for ordinal in range(3)]

    view = await world.service.retry(world.caller, message_id)
    assert view.status == "queued"
    assert view.fault is None
    await world.run_until_idle()

    assert world.adapter.words == ["one", "two", "two", "three"]
    assert await world.states(message_id) == ["sent", "sent", "sent"]
    after = [(await world.delivery(message_id, ordinal))["id"] for ordinal in range(3)]
    assert after[0] == before[0]
    assert not set(after[1:]) & set(before)
    attempts = await world.node.fetch(
        "SELECT number, outcome FROM delivery_attempts WHERE delivery_id = $1 ORDER BY number", after[1]
    )
    assert [tuple(row) for row in attempts] == [(1, "refused"), (2, "accepted")], "the record follows the new id"


async def test_late_news_of_the_first_try_is_not_taken_for_news_of_the_second(world: World) -> None:
    message_id, claim = await in_the_air(world)
    await settle(world, claim, Accepted(("wamid.first",)))
    await world.receive(receipt("wamid.first", "failed", correlation=str(claim.delivery_id)))
    assert await world.status(message_id) == "failed"
    await world.service.retry(world.caller, message_id)
    (again,) = await world.claim()

    await world.receive(receipt("wamid.first", "failed", correlation=str(claim.delivery_id)))
    assert await world.status(message_id) == "sending"
    await settle(world, again, Accepted(("wamid.second",)))
    await world.receive(receipt("wamid.second", "read", correlation=str(again.delivery_id)))
    assert await world.status(message_id) == "read"
    assert (await world.delivery(message_id))["external_id"] == "wamid.second"


async def test_an_uncertain_message_is_sent_again_when_a_person_says_so(world: World) -> None:
    message_id, _ = await lost(world)
    await world.service.retry(world.caller, message_id)
    await world.run_until_idle()
    assert await world.status(message_id) == "sent"
    assert len(world.adapter.sent) == 2


@pytest.mark.parametrize("state", ["queued", "sending", "sent", "delivered", "read"])
async def test_nothing_else_is_sent_again(world: World, state: str) -> None:
    message_id = await world.queue(await world.conversation())
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET state = $1", state)
    with pytest.raises(NothingToRetry):
        await world.service.retry(world.caller, message_id)


async def test_a_bot_does_not_get_past_a_takeover_by_a_retry(world: World) -> None:
    thread = await world.conversation()
    message_id = await world.queue(thread, epoch=1)
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE conversations SET epoch = 2")
    await world.run_until_idle()
    assert (await world.fault(message_id))["code"] == "superseded"

    with pytest.raises(Forbidden):
        await world.service.retry(replace(world.caller, role="bot"), message_id)
    assert await world.states(message_id) == ["cancelled"]
    await world.service.retry(world.caller, message_id)
    await world.run_until_idle()
    assert await world.status(message_id) == "sent"


async def test_a_withdrawn_message_stays_withdrawn(world: World) -> None:
    message_id = await world.queue(await world.conversation(), "one", "two")
    view = await world.service.cancel(world.caller, message_id)
    assert view.status == "cancelled"
    assert view.fault is not None
    assert view.fault.code == "withdrawn"
    with pytest.raises(NothingToRetry):
        await world.service.retry(world.caller, message_id)
    await world.run_until_idle()
    assert world.adapter.sent == []


async def test_cancelling_the_first_in_line_lets_the_next_go(world: World) -> None:
    thread = await world.conversation()
    first, _ = await world.queue(thread, "first"), await world.queue(thread, "second")
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET due_at = 'infinity' WHERE message_id <> $1", first)
    await world.service.cancel(world.caller, first)
    await world.run_until_idle()
    assert world.adapter.words == ["second"]


async def test_cancelling_and_sending_have_exactly_one_winner(world: World) -> None:
    won: list[bool] = []
    async with world.running(world.dispatcher()):
        for number in range(40):
            message_id = await world.queue(await world.conversation(), str(number))
            await asyncio.sleep(0.002 * (number % 5))
            try:
                await world.service.cancel(world.caller, message_id)
                won.append(True)
            except TooLate:
                won.append(False)
        await world.wait_for("SELECT count(*) = 0 FROM deliveries WHERE state IN ('queued', 'sending')")
    sent = set(world.adapter.words)
    assert [str(number) in sent for number in range(40)] == [not one for one in won]
    assert True in won
    assert False in won


async def test_the_other_workspace_s_messages_are_not_there(world: World) -> None:
    message_id = await world.queue(await world.conversation())
    stranger = type(world.caller)(UUID(int=1), world.caller.agent_id, "Eve", "admin", world.caller.token_id)
    with pytest.raises(MessageUnknown):
        await world.service.cancel(stranger, message_id)


async def test_an_echo_that_nobody_recognised_is_taken_back_when_it_proves_to_be_ours(database_url: str) -> None:
    """Instagram gives no correlation, and here other words: a native message, until the answer names its id."""
    async with make_world(database_url, kind="instagram") as world:
        message_id, claim = await in_the_air(world)
        await world.receive(echo(world, "Hello, formatted by the provider", "m_1", None))
        assert await world.node.fetchval("SELECT count(*) FROM messages") == 2
        await settle(world, claim, Accepted(("m_1",)))
        assert await world.node.fetchval("SELECT id FROM messages") == message_id
        kinds = [row[0] for row in await world.node.fetch("SELECT kind FROM events ORDER BY position")]
        assert kinds.count("message.removed") == 1


async def test_the_providers_answer_replaces_an_inferred_id(database_url: str) -> None:
    async with make_world(database_url, kind="instagram") as world:
        message_id, claim = await in_the_air(world)
        await world.receive(echo(world, "Hello", "m_another", None))
        assert (await world.delivery(message_id))["inferred"] is True
        await settle(world, claim, Accepted(("m_ours",)))
        delivery = await world.delivery(message_id)
        assert (delivery["external_id"], delivery["inferred"]) == ("m_ours", False)


async def test_an_echo_of_words_that_were_sent_twice_is_of_what_is_in_the_air(database_url: str) -> None:
    async with make_world(database_url, kind="instagram") as world:
        thread = await world.conversation()
        older = await world.queue(thread)
        await world.claim()
        await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
        newer = await world.queue(thread)
        (claim,) = await world.claim()
        await world.receive(echo(world, "Hello", "m_newer", None))
        await settle(world, claim, Accepted(("m_newer",)))
        assert (await world.status(older), await world.status(newer)) == ("uncertain", "sent")


async def test_an_acceptance_is_recorded_though_its_id_was_inferred_for_another(database_url: str) -> None:
    async with make_world(database_url, kind="instagram") as world:
        thread = await world.conversation()
        older = await world.queue(thread)
        await world.claim()
        await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
        newer = await world.queue(thread)
        (claim,) = await world.claim()
        await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
        await world.receive(echo(world, "Hello", "m_newer", None))
        assert (await world.status(older), await world.status(newer)) == ("sent", "uncertain"), "a wrong guess"

        await settle(world, claim, Accepted(("m_newer",)))
        assert (await world.status(older), await world.status(newer)) == ("failed", "sent")
        assert (await world.fault(older))["code"] == "outcome_unknown"
        assert (await world.delivery(newer))["external_id"] == "m_newer"


async def test_a_watermark_does_not_vouch_for_what_is_uncertain(database_url: str) -> None:
    async with make_world(database_url, kind="messenger") as world:
        message_id, _ = await lost(world)
        now = datetime.now(UTC) + timedelta(seconds=5)
        peer = Person(addresses=(customer_address(world.channel, 1),))
        await world.receive(StatusUpTo("111", peer, "read", now, now))
        assert await world.status(message_id) == "uncertain"


async def test_a_message_whose_rest_was_skipped_has_failed_though_its_first_piece_arrived(world: World) -> None:
    conversation = await world.conversation()
    message_id = await world.queue(conversation, "one", "two")
    (claim,) = await world.claim()
    await world.sweeper(uncertain_after=0, send_timeout=0).sweep()
    assert await world.states(message_id) == ["uncertain", "cancelled"]
    await world.receive(receipt("wamid.1", "delivered", correlation=str(claim.delivery_id)))
    assert await world.states(message_id) == ["delivered", "cancelled"]
    assert await world.status(message_id) == "failed"
    assert (await world.fault(message_id))["code"] == "piece_skipped"
