"""Token buckets as arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.capabilities import RateRule
from inbox.delivery.claims import allowance
from inbox.delivery.rates import Bucket, Limit, limits_of

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PEER = UUID(int=7)


def bucket(tokens: float, *, rate: float = 2.0, burst: float = 5.0) -> Bucket:
    return Bucket("channel", Limit(rate, burst), tokens, NOW)


def test_it_fills_with_time_up_to_its_burst() -> None:
    one = bucket(0)
    one.refill(NOW + timedelta(seconds=1.5))
    assert one.whole_tokens(99) == 3
    one.refill(NOW + timedelta(hours=1))
    assert one.whole_tokens(99) == 5


def test_it_does_not_fill_backwards() -> None:
    one = bucket(1)
    one.refill(NOW - timedelta(seconds=10))
    assert (one.tokens, one.filled_at) == (1, NOW)


def test_when_the_next_tokens_are_there() -> None:
    assert bucket(1).available_at(NOW) == NOW
    assert bucket(0).available_at(NOW) == NOW + timedelta(seconds=0.5)
    assert bucket(0).available_at(NOW, 4) == NOW + timedelta(seconds=2)


def test_a_pause_goes_before_tokens() -> None:
    one = bucket(5)
    one.paused_until = NOW + timedelta(seconds=9)
    assert one.is_paused(NOW)
    assert one.available_at(NOW) == one.paused_until
    assert not one.is_paused(one.paused_until)


@given(
    rate=st.floats(0.05, 500),
    burst=st.floats(1, 100),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_never_more_than_burst_plus_rate_leaves(rate: float, burst: float, gaps: list[float]) -> None:
    one = Bucket("channel", Limit(rate, burst), burst, NOW)
    now, taken = NOW, 0
    for gap in gaps:
        now += timedelta(seconds=gap)
        one.refill(now)
        while one.whole_tokens(1):
            one.take()
            taken += 1
    assert taken <= burst + rate * (now - NOW).total_seconds() + 0.001 * len(gaps)


RULES = (
    RateRule("channel", 40, 1, 40),
    RateRule("channel", 10, 1, 10, lane="media"),
    RateRule("recipient", 1, 6, 45),
    RateRule("group", 20, 60, 20),
)


@pytest.mark.parametrize(
    ("lane", "is_group", "expected"),
    [
        ("message", False, {f"recipient:{PEER}": Limit(1 / 6, 45)}),
        ("media", False, {"channel:media": Limit(10, 10), f"recipient:{PEER}": Limit(1 / 6, 45)}),
        ("message", True, {f"recipient:{PEER}": Limit(20 / 60, 20)}),
    ],
)
def test_which_buckets_a_message_draws_from(lane: str, is_group: bool, expected: dict[str, Limit]) -> None:
    limits = limits_of(RULES)
    assert dict(limits.keys(PEER, lane, is_group=is_group)) == expected
    assert limits.channel[None] == Limit(40, 40)


def test_hanging_channels_never_take_every_place() -> None:
    free, held = 128, []
    for _ in range(6):
        mine = 0
        while step := allowance(free, mine):
            mine, free = mine + step, free - step
        held.append(mine)
    assert free > 0
    assert held == sorted(held, reverse=True)
    assert sum(held) + free == 128
