"""What becomes of a step when its time has come: every condition alone, and ways and conditions of steps. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from scheduler.sequences import deciding
from scheduler.sequences.deciding import (
    CONDITIONS,
    End,
    Facts,
    Fail,
    Ignore,
    Later,
    Option,
    Pause,
    Person,
    Send,
    Skip,
    Verdict,
    Way,
    decide,
    holds,
    in_order,
)
from scheduler.sequences.definition import FieldCondition, StatusCondition, StepIn, StopIn, WindowCondition
from scheduler.sequences.versions import place_in

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEMPLATE = {"type": "template", "name": "hello", "language": "en"}


def uid(number: int) -> UUID:
    return UUID(int=number)


def option(number: int = 1, **given: Any) -> Option:
    fields = {"kind": "whatsapp", "conversation_id": uid(number), "status": "open", "free": None, "template": None}
    return Option(channel_id=uid(100 + number), identity_id=uid(200 + number), **{**fields, **given})


def step(**given: Any) -> StepIn:
    return StepIn.model_validate({"key": "one", "parts": [{"type": "text", "text": "Hello"}], **given})


def facts(**given: Any) -> Facts:
    fields: dict[str, Any] = {
        "now": NOW,
        "state": "active",
        "meant": True,
        "archived": False,
        "due_at": NOW,
        "ends": NOW,
        "allowed": NOW,
        "late": "hold",
        "late_after": HOUR,
        "stop": StopIn(tags=["vip"], closed=True),
        "step": step(),
        "blocked": False,
        "opted_out": False,
        "closed": False,
        "person": Person(),
        "earlier": None,
        "options": [option()],
    }
    return Facts(**{**fields, **given})


SCENARIOS: dict[str, tuple[dict[str, Any], Verdict]] = {
    "unwanted": ({"meant": False}, Ignore()),
    "blocked": ({"blocked": True}, Pause("blocked")),
    "archived": ({"archived": True}, End("stopped", "archived")),
    "over": ({"step": None}, End("finished")),
    "tagged": ({"person": Person(tags=["new", "vip"])}, End("stopped", "tag")),
    "opted_out": ({"opted_out": True}, End("stopped", "opt_out")),
    "closed": ({"closed": True}, End("stopped", "closed")),
    "already_there": ({"earlier": "delivered"}, Skip(None)),
    "not_due": ({"ends": NOW + HOUR}, Later(NOW + HOUR)),
    "late": ({"due_at": NOW - 2 * HOUR, "ends": None}, Pause("late")),
    "hours": ({"allowed": NOW + HOUR}, Later(NOW + HOUR)),
    "unmet": ({"step": step(conditions=[{"type": "tag", "tag": "x"}])}, Skip("condition")),
}


def test_nothing_speaks_against_it() -> None:
    assert decide(facts()) == Send((Way(option()),))


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda one: one.__name__)
def test_every_condition_counts(condition: Callable[[Facts], Verdict | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition without a scenario fails here, and so does one that makes no difference."""
    given, expected = SCENARIOS[condition.__name__]
    assert decide(facts(**given)) == expected
    monkeypatch.setattr(deciding, "CONDITIONS", tuple(one for one in CONDITIONS if one is not condition))
    if condition.__name__ == "over":
        with pytest.raises(AssertionError):
            decide(facts(**given))
    else:
        assert decide(facts(**given)) == Send((Way(option()),))


MORE: list[tuple[str, dict[str, Any], Verdict]] = [
    ("paused", {"state": "paused"}, Ignore()),
    ("blocked for good", {"blocked": True, "stop": StopIn(block="stop")}, End("stopped", "block")),
    ("opted out, nobody minds", {"opted_out": True, "stop": StopIn(opt_out=False)}, Send((Way(option()),))),
    ("closed, nobody minds", {"closed": True, "stop": StopIn()}, Send((Way(option()),))),
    ("sent again by hand now", {"earlier": "queued"}, Later(NOW + deciding.LOOK_AGAIN)),
    ("the try before failed", {"earlier": "failed"}, Send((Way(option()),))),
    ("late, skipped", {"due_at": NOW - 2 * HOUR, "late": "skip", "ends": None}, Skip("late")),
    ("late, sent", {"due_at": NOW - 2 * HOUR, "late": "send", "ends": None}, Send((Way(option()),))),
    ("late, but in time by the zone that counts", {"due_at": NOW - 9 * HOUR, "ends": NOW}, Send((Way(option()),))),
    ("never open", {"allowed": None}, Pause("never_open")),
    (
        "unmet, stopped",
        {"step": step(conditions=[{"type": "tag", "tag": "x"}], unless_met="stop")},
        End("stopped", "condition"),
    ),
    ("no way", {"options": []}, Fail("no_channel")),
    ("window closed", {"options": [option(free="window_closed")]}, Fail("window_closed")),
    (
        "window closed, template",
        {"options": [option(free="window_closed")], "step": step(fallback=TEMPLATE)},
        Send((Way(option(free="window_closed"), fallback=True),)),
    ),
    (
        "a template needs no window",
        {"options": [option(free="window_closed")], "step": step(parts=[TEMPLATE])},
        Send((Way(option(free="window_closed")),)),
    ),
    (
        "no template there either, the next channel",
        {
            "options": [option(free="window_closed", template="no_templates"), option(2)],
            "step": step(fallback=TEMPLATE),
        },
        Send((Way(option(2)),)),
    ),
]


@pytest.mark.parametrize(("given", "expected"), [pytest.param(*row[1:], id=row[0]) for row in MORE])
def test_what_is_decided(given: dict[str, Any], expected: Verdict) -> None:
    assert decide(facts(**given)) == expected


# --- ways -------------------------------------------------------------------------------------------------------------


def test_without_a_list_it_goes_where_the_sequence_talks_with_them_or_where_they_wrote_last() -> None:
    latest, tied, startable = option(1), option(2), option(3, conversation_id=None)
    assert in_order(step(), [latest, tied, startable], uid(2)) == [tied]
    assert in_order(step(), [latest, tied, startable], None) == [latest, tied]
    assert in_order(step(), [latest, tied, startable], uid(9)) == [latest, tied]


def test_the_list_decides_and_nothing_is_named_twice() -> None:
    whatsapp, telegram, new = option(1), option(2, kind="telegram"), option(3, conversation_id=None)
    choices = [{"kind": "telegram"}, {"channel_id": str(whatsapp.channel_id)}, {"kind": "whatsapp"}]
    asked = step(channels=choices)
    assert in_order(asked, [whatsapp, telegram, new], None) == [telegram, whatsapp, new]
    assert in_order(asked.model_copy(update={"may_start": False}), [whatsapp, telegram, new], None) == [
        telegram,
        whatsapp,
    ]
    assert in_order(step(channels=[{"kind": "instagram"}]), [whatsapp, telegram], None) == []


# --- conditions -------------------------------------------------------------------------------------------------------

ADA = Person(
    tags=["vip"],
    fields={"name": "Ada Lovelace", "email": None, "custom.seats": 3, "custom.paid": True, "custom.plan": ""},
)


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("name", "is", "ada lovelace", True),
        ("name", "is", "Ada", False),
        ("name", "is_not", "Ada", True),
        ("name", "contains", "LOVE", True),
        ("email", "known", None, False),
        ("email", "unknown", None, True),
        ("email", "is_not", "a@example.com", True),
        ("email", "contains", "@", False),
        ("custom.plan", "known", None, False),
        ("custom.seats", "above", 2, True),
        ("custom.seats", "above", 3, False),
        ("custom.seats", "below", 3.5, True),
        ("custom.seats", "is", 3, True),
        ("custom.seats", "contains", "3", False),
        ("custom.paid", "is", True, True),
        ("custom.paid", "is", 1, False),
        ("custom.paid", "above", 0, False),
        ("custom.nothing", "below", 1, False),
        ("name", "above", 1, False),
    ],
)
def test_what_fields_say(field: str, operator: Any, value: Any, expected: bool) -> None:
    condition = FieldCondition(type="field", field=field, operator=operator, value=value)
    assert holds(condition, ADA, option()) is expected


def test_what_the_conversation_says() -> None:
    closed = option(status="closed", free="window_closed")
    assert holds(StatusCondition(type="conversation_status", any_of=["closed", "snoozed"]), ADA, closed)
    assert holds(StatusCondition(type="conversation_status", any_of=["open"]), ADA, None)
    assert not holds(WindowCondition(type="window"), ADA, closed)
    assert holds(WindowCondition(type="window", open=False), ADA, closed)
    assert holds(WindowCondition(type="window"), ADA, option())


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "following", "last", "position", "done", "expected"),
    [
        pytest.param("abc", "b", "a", 1, "a", 1, id="nothing changed"),
        pytest.param("xabc", "b", "a", 1, "a", 2, id="one came before"),
        pytest.param("axc", "b", "a", 1, "a", 1, id="the next one is gone: behind the last"),
        pytest.param("xyz", "b", "a", 1, "a", 1, id="all are new: the same place"),
        pytest.param("x", "c", "b", 2, "ab", 1, id="shorter: it is over"),
        pytest.param("bca", "b", "a", 1, "a", 0, id="in another order"),
        pytest.param("cab", "c", "b", 2, "ab", 0, id="what they got comes later"),
        pytest.param("abc", None, "b", 2, "abc", 3, id="they have had all"),
    ],
)
def test_where_somebody_goes_on_in_another_version(
    keys: str, following: str | None, last: str | None, position: int, done: str, expected: int
) -> None:
    assert place_in(list(keys), following, last, position, set(done)) == expected


def test_nobody_is_kept_waiting_by_an_unmeant_timer_whatever_else_holds() -> None:
    for given, _ in SCENARIOS.values():
        assert decide(replace(facts(**given), meant=False)) == Ignore()
