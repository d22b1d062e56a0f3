"""Reactions on a real PostgreSQL: what they do stands or falls with the transaction whose events they follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import pytest
from builders import Node, make_workspace, start_node

from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.eventlog import Event, EventLog
from inbox.kernel.reactions import ROUNDS, EndlessReactions, Reaction, Reactions


@dataclass
class House:
    node: Node
    reactions: Reactions
    database: Database
    workspace_id: UUID

    def event(self, kind: str, data: object = None) -> Event:
        return Event.of(self.workspace_id, kind, {} if data is None else data)

    async def kinds(self) -> list[str]:
        return [row[0] for row in await self.node.fetch("SELECT kind FROM events ORDER BY position")]

    async def name(self) -> str:
        name: str = await self.node.fetchval("SELECT name FROM workspaces WHERE id = $1", self.workspace_id)
        return name


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    node, reactions = await start_node(database_url), Reactions()
    database = Database(database_url, connections=4, event_log=EventLog(), reactions=reactions)
    await database.start()
    yield House(node, reactions, database, await make_workspace(node))
    await database.stop()
    await node.database.stop()


def rename(house: House, name: str) -> Reaction:
    async def reaction(unit: UnitOfWork, events: Sequence[Event]) -> None:
        await unit.execute("UPDATE workspaces SET name = $2 WHERE id = $1", house.workspace_id, name)

    return reaction


def note(heard: list[list[object]]) -> Reaction:
    async def reaction(unit: UnitOfWork, events: Sequence[Event]) -> None:
        heard.append([event.data for event in events])

    return reaction


async def test_what_a_reaction_does_is_committed_with_the_event(house: House) -> None:
    house.reactions.on("a", rename(house, "after"))
    async with house.database.transaction() as unit:
        unit.record(house.event("a"))
        assert await unit.fetchval("SELECT name FROM workspaces WHERE id = $1", house.workspace_id) == "Test"
    assert (await house.name(), await house.kinds()) == ("after", ["a"])


async def test_what_a_reaction_does_is_rolled_back_with_the_event(house: House) -> None:
    async def fail(unit: UnitOfWork, events: Sequence[Event]) -> None:
        raise LookupError("a later reaction fails")

    house.reactions.on("a", rename(house, "after"))
    house.reactions.on("a", fail)
    with pytest.raises(LookupError):
        async with house.database.transaction() as unit:
            unit.record(house.event("a"))
    assert (await house.name(), await house.kinds()) == ("Test", [])


async def test_nobody_reacts_to_a_transaction_that_fails(house: House) -> None:
    heard: list[list[object]] = []
    house.reactions.on("a", note(heard))
    with suppress(LookupError):
        async with house.database.transaction() as unit:
            unit.record(house.event("a"))
            raise LookupError
    assert heard == []


async def test_events_come_in_order_and_together_to_whoever_listens_to_several_kinds(house: House) -> None:
    both: list[list[object]] = []
    one: list[list[object]] = []
    listener = note(both)
    house.reactions.on("a", listener)
    house.reactions.on("b", listener)
    house.reactions.on("b", note(one))
    async with house.database.transaction() as unit:
        unit.record_all([house.event(kind, data) for kind, data in (("a", 1), ("c", 2), ("b", 3), ("a", 4))])
    assert (both, one) == ([[1, 3, 4]], [[3]])


async def test_reactions_run_in_the_order_of_registration_whatever_came_first(house: House) -> None:
    order: list[str] = []

    def say(word: str) -> Reaction:
        async def reaction(unit: UnitOfWork, events: Sequence[Event]) -> None:
            order.append(word)

        return reaction

    house.reactions.on("b", say("first"))
    house.reactions.on("a", say("second"))
    async with house.database.transaction() as unit:
        unit.record_all([house.event("a"), house.event("b")])
    assert order == ["first", "second"]


async def test_what_a_savepoint_undid_is_not_reacted_to(house: House) -> None:
    heard: list[list[object]] = []
    house.reactions.on("a", note(heard))
    async with house.database.transaction() as unit:
        unit.record(house.event("a", 1))
        with suppress(LookupError):
            async with unit.savepoint():
                unit.record(house.event("a", 2))
                raise LookupError
        unit.record(house.event("a", 3))
    assert heard == [[1, 3]]


async def test_an_undone_part_of_a_reaction_hides_none_of_what_it_records_later(house: House) -> None:
    heard: list[list[object]] = []

    async def follow_on(unit: UnitOfWork, events: Sequence[Event]) -> None:
        with suppress(LookupError):
            async with unit.savepoint():
                unit.record(house.event("b", "undone"))
                raise LookupError
        unit.record(house.event("b", "stands"))

    house.reactions.on("a", follow_on)
    house.reactions.on("b", note(heard))
    async with house.database.transaction() as unit:
        unit.record(house.event("a"))
    assert heard == [["stands"]]
    assert await house.kinds() == ["a", "b"]


async def test_events_of_reactions_are_shown_once_and_end_up_behind_their_cause(house: House) -> None:
    heard: list[list[object]] = []

    async def answer(unit: UnitOfWork, events: Sequence[Event]) -> None:
        unit.record_all([house.event("b", event.data) for event in events])

    house.reactions.on("a", answer)
    house.reactions.on("b", note(heard))
    async with house.database.transaction() as unit:
        unit.record_all([house.event("a", 1), house.event("a", 2)])
    assert heard == [[1, 2]]
    assert await house.kinds() == ["a", "a", "b", "b"]


@pytest.mark.parametrize("rounds", [ROUNDS - 1, ROUNDS])
async def test_a_circle_is_an_error_and_a_long_chain_is_none(house: House, rounds: int) -> None:
    async def again(unit: UnitOfWork, events: Sequence[Event]) -> None:
        for event in events:
            assert isinstance(event.data, int)
            if event.data < rounds:
                unit.record(house.event("a", event.data + 1))

    house.reactions.on("a", again)

    async def begin() -> None:
        async with house.database.transaction() as unit:
            unit.record(house.event("a", 0))

    if rounds < ROUNDS:
        await begin()
        assert len(await house.kinds()) == ROUNDS
    else:
        with pytest.raises(EndlessReactions):
            await begin()
        assert await house.kinds() == []


async def test_no_reaction_runs_while_the_log_is_locked(house: House) -> None:
    """Another transaction can still number its events while a reaction works."""

    async def meanwhile(unit: UnitOfWork, events: Sequence[Event]) -> None:
        async with house.node.database.transaction() as other:
            other.record(house.event("other"))

    house.reactions.on("a", meanwhile)
    async with house.database.transaction() as unit:
        unit.record(house.event("a"))
    assert await house.kinds() == ["other", "a"]
