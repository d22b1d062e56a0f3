"""How long to wait before another try: doubling, bounded, and spread so that neighbours do not return together."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOff:
    """Seconds. The wait after failure *n* lies between half of ``first`` · 2ⁿ⁻¹ and all of it, at most ``longest``."""

    first: float = 2.0
    longest: float = 3600.0

    def after(self, failures: int) -> float:
        most = min(self.longest, self.first * 2.0 ** min(max(failures, 1) - 1, 60))
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing
