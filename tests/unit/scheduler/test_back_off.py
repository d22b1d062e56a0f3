"""Waits double, stay within bounds, and differ."""

from __future__ import annotations

import pytest

from inbox.kernel.backoff import BackOff


@pytest.mark.parametrize(
    ("failures", "least", "most"), [(0, 1, 2), (1, 1, 2), (2, 2, 4), (5, 16, 32), (12, 1800, 3600), (5000, 1800, 3600)]
)
def test_bounds(failures: int, least: float, most: float) -> None:
    waits = [BackOff().after(failures) for _ in range(200)]
    assert least <= min(waits)
    assert max(waits) <= most
    assert len(set(waits)) > 100
