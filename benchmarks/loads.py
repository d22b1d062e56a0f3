"""Running one load against the product or a ceiling, and comparing the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.ceilings import SECRET
from benchmarks.launcher import Part, Product, run_load
from benchmarks.load import Job, Result

MOST_PER_SECOND = 15_000
"""More than any of the servers can take from one generator: the bodies are built beforehand."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Who writes: see ``Traffic``."""

    known: int = 2000
    new_every: int = 5

    def __str__(self) -> str:
        return f"1 in {self.new_every} from somebody new"


async def load_ceiling(
    ceilings: Part,
    product: Product,
    path: str,
    seconds: float,
    mix: Mix,
    *,
    rate: float | None = None,
    sockets: Sequence[str] = (),
) -> Result:
    """The same bodies as the product gets, with numbers of their own."""
    count = int(seconds * (rate or MOST_PER_SECOND))
    traffic = product.traffic("messages", count, known=mix.known, new_every=mix.new_every, secret=SECRET)
    return await run_load(Job(ceilings.port, path, traffic, seconds, rate, sockets=sockets))


async def load_product(
    product: Product,
    seconds: float,
    mix: Mix,
    *,
    rate: float | None = None,
    sockets: Sequence[str] = (),
) -> Result:
    count = int(seconds * (rate or MOST_PER_SECOND))
    traffic = product.traffic("messages", count, known=mix.known, new_every=mix.new_every)
    return await product.load(Job(product.part.port, product.webhook_path, traffic, seconds, rate, sockets=sockets))


def median_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """Of rounds measured in turn: what the machine did meanwhile meets both sides of a pair."""
    return median(ours / theirs for ours, theirs in pairs)
