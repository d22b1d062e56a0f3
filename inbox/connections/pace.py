"""How fast a channel sends where somebody set that: an option that replaces the general rate of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from channels.capabilities import Capabilities, RateRule

RATE_OPTION: Final = "messages_per_second"
SLOWEST, FASTEST = 0.01, 1000.0
"""Nobody grants more than a thousand a second (channel facts, sections 1.5, 2.4, 3.4, 4.4)."""


def read_rate(text: str) -> float | None:
    """Messages a second; ``None`` for what is no rate."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if SLOWEST <= value <= FASTEST else None


def at_own_pace(capabilities: Capabilities, options: Mapping[str, str]) -> Capabilities:
    """With the rate that was set for this channel, where one was."""
    rate = read_rate(options.get(RATE_OPTION, ""))
    if rate is None:
        return capabilities
    rules = tuple(rule for rule in capabilities.rates if (rule.scope, rule.lane) != ("channel", "any"))
    own = RateRule("channel", count=rate, seconds=1, burst=max(1, int(rate)))
    return replace(capabilities, rates=(own, *rules))
