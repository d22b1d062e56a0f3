"""Token buckets, as arithmetic: which buckets a delivery draws from, and when the next token is there.

The rows live in ``rate_buckets``, where every node sees them; a bucket without a row is full. A provider's throttle
pauses one bucket, and the bucket starts empty after the pause, so that the backlog does not run into the same wall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from channels.capabilities import RateRule

CHANNEL: Final = "channel"


@dataclass(frozen=True, slots=True)
class Limit:
    """``rate`` tokens a second, at most ``burst`` saved up."""

    rate: float
    burst: float


@dataclass(slots=True)
class Bucket:
    """A row of ``rate_buckets`` with its limit; ``tokens`` as of ``filled_at``. Without a limit only pauses count."""

    key: str
    limit: Limit | None
    tokens: float
    filled_at: datetime
    paused_until: datetime | None = None

    def refill(self, now: datetime) -> None:
        """Add what came in since ``filled_at``, up to the burst."""
        if self.limit is not None and now > self.filled_at:
            gained = (now - self.filled_at).total_seconds() * self.limit.rate
            self.tokens = min(self.limit.burst, self.tokens + gained)
            self.filled_at = now

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now

    def whole_tokens(self, most: int) -> int:
        return most if self.limit is None else min(most, int(self.tokens + TOLERANCE))

    def available_at(self, now: datetime, wanted: int = 1) -> datetime:
        """When the ``wanted``-th token from now is there; ``now`` when it is already."""
        if self.paused_until is not None and self.paused_until > now:
            return self.paused_until
        if self.limit is None or self.tokens + TOLERANCE >= wanted:
            return now
        return now + timedelta(seconds=(wanted - self.tokens) / self.limit.rate)

    def take(self) -> None:
        if self.limit is not None:
            self.tokens -= 1


TOLERANCE: Final = 1e-6
"""Instants are kept in microseconds: a token that is short by rounding counts as whole."""


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """The limits of one channel, by lane: ``None`` stands for every lane together."""

    channel: Mapping[str | None, Limit]
    recipient: Mapping[str | None, Limit]
    group: Mapping[str | None, Limit]

    def keys(self, conversation_id: UUID, lane: str, *, is_group: bool) -> list[tuple[str, Limit]]:
        """The buckets that one message of this lane draws from, beside the channel's general one."""
        per_peer = self.group or self.recipient if is_group else self.recipient
        found = [(lane_key(CHANNEL, kind), limit) for kind, limit in self.channel.items() if kind == lane]
        found += [
            (lane_key(recipient_key(conversation_id), kind), limit)
            for kind, limit in per_peer.items()
            if kind in (None, lane)
        ]
        return found


def limits_of(rules: Sequence[RateRule]) -> ChannelLimits:
    """Rates in pieces a second, by scope and lane; the lane ``any`` counts for all."""
    scopes: dict[str, dict[str | None, Limit]] = {"channel": {}, "recipient": {}, "group": {}}
    for rule in rules:
        lane = None if rule.lane == "any" else rule.lane
        scopes[rule.scope][lane] = Limit(rule.count / rule.seconds, max(1.0, rule.burst))
    return ChannelLimits(scopes["channel"], scopes["recipient"], scopes["group"])


def recipient_key(conversation_id: UUID) -> str:
    return f"recipient:{conversation_id}"


def lane_key(base: str, lane: str | None) -> str:
    return base if lane is None else f"{base}:{lane}"
