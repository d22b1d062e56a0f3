"""Order and progress under every interleaving: a model of the log, a receiver that fails at will, and crashes."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from inbox.kernel.eventlog import StoredEvent
from inbox.subscriptions.lanes import NO_CONVERSATION, Lanes, Parked, lane_of

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WORKSPACE = UUID(int=7)
CONVERSATIONS = [None, *(UUID(int=n) for n in range(1, 4))]


def event(position: int, conversation: UUID | None, kind: str = "wanted") -> StoredEvent:
    return StoredEvent(WORKSPACE, position, NOW, kind, "{}", conversation, 0)


def wanted(one: StoredEvent) -> bool:
    return one.kind == "wanted"


class Order(RuleBasedStateMachine):
    """What ``feed`` does with lanes, one step at a time. ``crash`` goes back to what was written last."""

    air = Bundle("air")

    def __init__(self) -> None:
        super().__init__()
        self.log: list[StoredEvent] = []
        self.lanes = Lanes(0)
        self.written: tuple[int, list[Parked]] = (0, [])
        self.delivered: list[StoredEvent] = []
        self.life = 0

    @rule(conversation=st.sampled_from(CONVERSATIONS), kind=st.sampled_from(["wanted", "wanted", "other"]))
    def commit(self, conversation: UUID | None, kind: str) -> None:
        self.log.append(event(len(self.log) + 1, conversation, kind))

    @rule(most=st.integers(1, 5))
    def read(self, most: int) -> None:
        self.lanes.offer(self.log[self.lanes.read_to : self.lanes.read_to + most], wanted)

    @rule(target=air)
    def send(self) -> tuple[int, StoredEvent | None]:
        return self.life, self.lanes.take()

    @rule(sent=air)
    def succeed(self, sent: tuple[int, StoredEvent | None]) -> None:
        life, one = sent
        if one is not None and life == self.life and self._in_the_air(one):
            self.delivered.append(one)
            self.lanes.settle(one)

    @rule(sent=air)
    def fail(self, sent: tuple[int, StoredEvent | None]) -> None:
        life, one = sent
        if one is not None and life == self.life and self._in_the_air(one):
            self.lanes.park(one, NOW, NOW + timedelta(seconds=5))

    @rule(steps=st.integers(1, 4))
    def drain(self, steps: int) -> None:
        """A parked lane comes to its time: its next events go, as far as it is known."""
        parked = self.lanes.due(NOW + timedelta(seconds=5))
        if parked is None:
            return
        waiting = [
            one for one in self.log if lane_of(one) == parked.lane and parked.position <= one.position <= parked.last
        ]
        for one in waiting[:steps]:
            if wanted(one):
                self.delivered.append(one)
            parked.position = one.position + 1
        if len(waiting) <= steps:
            parked.position = max(parked.position, parked.last + 1)
        if parked.drained:
            self.lanes.unpark(parked)

    @rule()
    def write(self) -> None:
        self.written = (self.lanes.cursor, deepcopy(list(self.lanes.parked.values())))

    @rule()
    def crash(self) -> None:
        self.life += 1
        cursor, parked = deepcopy(self.written)
        self.lanes = Lanes(cursor, parked)

    def _in_the_air(self, one: StoredEvent) -> bool:
        queue = self.lanes._queues.get(lane_of(one))
        return queue is not None and queue[0] is one and lane_of(one) not in self.lanes._ready

    @invariant()
    def first_arrivals_keep_the_order_of_their_lane(self) -> None:
        last: dict[UUID, int] = {}
        seen: set[int] = set()
        for one in self.delivered:
            if one.position not in seen:
                seen.add(one.position)
                assert one.position > last.get(lane_of(one), 0)
                last[lane_of(one)] = one.position

    @invariant()
    def nothing_is_passed_over(self) -> None:
        """Below the cursor an event is delivered, unwanted, or in a lane that waits at or before it."""
        done = {one.position for one in self.delivered}
        for one in self.log[: self.lanes.cursor]:
            parked = self.lanes.parked.get(lane_of(one))
            assert not wanted(one) or one.position in done or (parked is not None and parked.position <= one.position)


Order.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestOrder = Order.TestCase


def test_one_of_a_lane_at_a_time() -> None:
    lanes, conversation = Lanes(0), UUID(int=1)
    lanes.offer([event(1, conversation), event(2, conversation), event(3, None)], wanted)
    first, other = lanes.take(), lanes.take()
    assert (first and first.position, other and other.position, lanes.take()) == (1, 3, None)
    assert lanes.cursor == 0
    assert other is not None
    lanes.settle(other)
    assert lanes.cursor == 0
    assert first is not None
    lanes.settle(first)
    second = lanes.take()
    assert second is not None
    assert (second.position, lanes.cursor) == (2, 1)
    lanes.settle(second)
    assert lanes.cursor == 3


def test_parking_lets_the_cursor_pass() -> None:
    lanes, ill = Lanes(0), UUID(int=1)
    lanes.offer([event(1, ill), event(2, None), event(3, ill)], wanted)
    failed = lanes.take()
    assert failed is not None
    parked = lanes.park(failed, NOW, NOW)
    assert (parked.position, parked.last, lanes.cursor) == (1, 3, 1)
    lanes.offer([event(4, ill)], wanted)
    assert parked.last == 4
    assert lanes.parked.keys() == {ill}


def test_what_is_not_wanted_is_settled_by_reading() -> None:
    lanes = Lanes(0)
    lanes.offer([event(1, None, "other"), event(2, None, "other")], wanted)
    assert (lanes.cursor, lanes.ready, lanes.room) == (2, False, 256)


@pytest.mark.parametrize("conversation", [None, UUID(int=3)])
def test_lane(conversation: UUID | None) -> None:
    assert lane_of(event(1, conversation)) == (conversation or NO_CONVERSATION)
