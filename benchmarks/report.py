"""What a benchmark hands back: rows that can be printed side by side and kept for comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``conditions`` says what was varied: size of a batch, number of sockets, durability."""

    name: str
    value: float
    unit: str
    conditions: str = ""


def table(rows: Iterable[Row]) -> str:
    """A Markdown table, so that a result can be pasted into a document as it is."""
    cells = [("measured", "value", "unit", "conditions")]
    cells += [(row.name, _figure(row.value), row.unit, row.conditions) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _figure(value: float) -> str:
    """Three digits that mean something; a benchmark never has more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
