"""What a benchmark hands back: rows that can be printed side by side and kept for comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``conditions`` says what was varied: size of a batch, number of sockets, durability.

    ``ceiling`` is what the machine can do at best, measured in the same run and the same unit; ``ratio`` of the two
    where it is not simply ``value / ceiling`` (a median of paired rounds). ``met``: whether ``aim`` was.
    """

    name: str
    value: float
    unit: str
    conditions: str = ""
    ceiling: float | None = None
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None

    @property
    def ratio_to_ceiling(self) -> float | None:
        return self.value / self.ceiling if self.ratio is None and self.ceiling else self.ratio


def table(rows: Iterable[Row]) -> str:
    """A Markdown table, so that a result can be pasted into a document as it is. Columns nobody fills are left out."""
    head = ("figure", "measured", "unit", "ceiling", "ratio", "aim", "met", "conditions")
    cells = [_cells(row) for row in rows]
    used = [index for index in range(len(head)) if any(line[index] for line in cells)]
    columns = [[line[index] for line in [head, *cells]] for index in used]
    widths = [max(map(len, column)) for column in columns]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in zip(*columns, strict=True)]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    ratio = row.ratio_to_ceiling
    return (
        row.name,
        _figure(row.value),
        row.unit,
        "" if row.ceiling is None else _figure(row.ceiling),
        "" if ratio is None else f"{ratio:.2f}",
        row.aim,
        "" if row.met is None else ("met" if row.met else "NOT met"),
        row.conditions,
    )


def _figure(value: float) -> str:
    """Three digits that mean something; a benchmark never has more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
