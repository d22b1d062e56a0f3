"""How fast each kind of channel sends, by what its account was granted and by what somebody set."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import pytest

from channels.registry import ADAPTERS
from channels.types import Account
from inbox.connections.directory import Channel
from inbox.delivery.rates import Limit, limits_of

ID = UUID(int=1)


def channel(kind: str, options: Mapping[str, str]) -> Channel:
    account = Account(kind, "111", "a token", options=options)
    return Channel(ID, ID, ID, kind, kind, "enabled", account, ADAPTERS[kind])


@pytest.mark.parametrize(
    ("kind", "options", "general", "others"),
    [
        pytest.param("whatsapp", {}, (80, 80), {"recipient": (1 / 6, 45)}, id="whatsapp"),
        pytest.param("whatsapp", {"throughput": "STANDARD"}, (80, 80), {"recipient": (1 / 6, 45)}, id="standard"),
        pytest.param("whatsapp", {"throughput": "HIGH"}, (1000, 1000), {"recipient": (1 / 6, 45)}, id="upgraded"),
        pytest.param("whatsapp", {"coexistence": "true"}, (20, 20), {"recipient": (1 / 6, 45)}, id="coexistence"),
        pytest.param(
            "whatsapp",
            {"throughput": "HIGH", "messages_per_second": "250"},
            (250, 250),
            {"recipient": (1 / 6, 45)},
            id="set by hand",
        ),
        pytest.param("messenger", {}, (40, 40), {"media": (10, 10)}, id="messenger"),
        pytest.param("messenger", {"messages_per_second": "300"}, (300, 300), {"media": (10, 10)}, id="a busy page"),
        pytest.param("instagram", {"stack": "login"}, (300, 300), {"media": (10, 10)}, id="instagram login"),
        pytest.param("instagram", {"stack": "page"}, (300, 300), {"media": (10, 10)}, id="instagram page"),
        pytest.param("telegram", {}, (30, 30), {"recipient": (1, 3), "group": (20 / 60, 20)}, id="telegram"),
    ],
)
def test_the_effective_limits(
    kind: str,
    options: Mapping[str, str],
    general: tuple[float, float],
    others: Mapping[str, tuple[float, float]],
) -> None:
    limits = limits_of(channel(kind, options).capabilities.rates)
    found = {
        "media": limits.channel.get("media"),
        "recipient": limits.recipient.get(None),
        "group": limits.group.get(None),
    }
    assert limits.channel[None] == Limit(*general)
    assert {name: limit for name, limit in found.items() if limit is not None} == {
        name: Limit(*wanted) for name, wanted in others.items()
    }


@pytest.mark.parametrize("option", ["", "-1", "0", "many", "nan", "inf", "1e9"])
def test_what_is_no_rate_is_left_out(option: str) -> None:
    """An account that was connected before options were looked at keeps the rate of its kind."""
    assert limits_of(channel("whatsapp", {"messages_per_second": option}).capabilities.rates).channel[None].rate == 80


def test_accounts_of_one_kind_can_do_different_things() -> None:
    assert channel("instagram", {"stack": "page"}).capabilities.reaction_emoji == ("❤️",)
    assert not channel("instagram", {"stack": "login"}).capabilities.blocks_people
    assert channel("telegram", {}).capabilities == ADAPTERS["telegram"].capabilities
