"""What follows from the outcome of a try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from channels.outbound import Accepted
from channels.types import Fault
from inbox.delivery.outcomes import BACK_OFF, JITTER, LOST, MOST_TRIES, NotSent, Outcome, Refusal, Unknown, follow

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEADLINE = NOW + timedelta(hours=24)
PASSING = Fault("temporary", "Soon.", retryable=True)
THROTTLE = Fault("rate_limited", "Slow down.", retryable=True, retry_after=7, pauses="channel")


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        pytest.param(Accepted(("1",)), "sent", id="accepted"),
        pytest.param(Unknown(LOST), "uncertain", id="unknown"),
        pytest.param(Refusal(Fault("outcome_unknown", "?")), "uncertain", id="an answer that does not tell"),
        pytest.param(
            Refusal(Fault("outcome_unknown", "?", retryable=True)), "uncertain", id="even if called retryable"
        ),
        pytest.param(Refusal(PASSING), "queued", id="a passing trouble"),
        pytest.param(NotSent(PASSING), "queued", id="never left"),
        pytest.param(Refusal(Fault("policy", "No.")), "failed", id="a final no"),
        pytest.param(NotSent(Fault("media_missing", "Gone.")), "failed", id="cannot leave"),
        pytest.param(Refusal(THROTTLE), "queued", id="throttled"),
    ],
)
def test_the_state_that_follows(outcome: Outcome, state: str) -> None:
    assert follow(outcome, tries=1, now=NOW, deadline=DEADLINE).state == state


@pytest.mark.parametrize("tries", range(1, MOST_TRIES))
def test_back_off_grows_and_is_spread(tries: int) -> None:
    seconds = set()
    for _ in range(50):
        following = follow(Refusal(PASSING), tries=tries, now=NOW, deadline=DEADLINE)
        assert following.due_at is not None
        assert following.counts
        seconds.add((following.due_at - NOW).total_seconds())
    assert BACK_OFF[tries - 1] <= min(seconds) < max(seconds) <= BACK_OFF[tries - 1] * (1 + JITTER)


def test_the_last_try_fails_but_a_throttle_never_is_the_last() -> None:
    assert follow(Refusal(PASSING), tries=MOST_TRIES, now=NOW, deadline=DEADLINE).state == "failed"
    throttled = follow(Refusal(THROTTLE), tries=MOST_TRIES, now=NOW, deadline=DEADLINE)
    assert (throttled.state, throttled.counts) == ("queued", False)


def test_the_provider_s_own_time_is_a_minimum() -> None:
    following = follow(
        Refusal(Fault("temporary", "Later.", retryable=True, retry_after=60)), tries=1, now=NOW, deadline=DEADLINE
    )
    assert following.due_at is not None
    assert following.due_at >= NOW + timedelta(seconds=60)


@pytest.mark.parametrize("fault", [PASSING, THROTTLE], ids=["trouble", "throttle"])
def test_nothing_is_put_off_beyond_its_deadline(fault: Fault) -> None:
    assert follow(Refusal(fault), tries=1, now=NOW, deadline=NOW + timedelta(seconds=1)).state == "failed"


def test_a_pause_outlives_the_fate_of_its_message() -> None:
    locked = follow(Refusal(Fault("policy", "Locked.", pauses="channel")), tries=1, now=NOW, deadline=DEADLINE)
    assert locked.state == "failed"
    assert locked.pause is not None
    assert locked.pause.until > NOW


def test_a_dead_token_pauses_nothing_for_its_repair_must_count_at_once() -> None:
    token = Fault("token_invalid", "Expired.", pauses="channel", reauthorise=True)
    dead = follow(Refusal(token), tries=1, now=NOW, deadline=DEADLINE)
    assert (dead.state, dead.pause) == ("failed", None)
