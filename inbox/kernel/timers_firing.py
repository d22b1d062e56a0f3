"""Fires due timers: claim and effect in one transaction, set-based for each kind.

Invariant: whatever happens to the process, a timer's row is gone exactly when its effect is committed. A batch that
fails leaves no trace; it is halved, each half in a transaction of its own (so that errors which only show at the commit
are found too), until the one that fails stands alone. That one waits longer after each try and is at last parked as
``failed``. Due times compare with the database's clock, so nodes need not agree about the time.

Fairness: of each kind the oldest promise goes first; but while more is due than one batch takes, every fourth batch is
for newcomers, what became due within the last seconds. No kind waits for the backlog of another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from inbox.kernel.backoff import BackOff
from inbox.kernel.database import CONTENDED, Database, DatabaseUnavailable, UnitOfWork
from inbox.kernel.errors import InboxError
from inbox.kernel.timers import Timer

log = logging.getLogger(__name__)

NEWCOMERS_TURN: Final = 4
"""Of so many full batches of a kind in a row, one is for newcomers."""
NEWCOMER_SECONDS: Final = 5.0
"""How long ago a newcomer became due at most; longer than ``NEWCOMERS_TURN`` batches take. They come oldest first, too:
a crowd that is due in one instant is in order among itself, and who comes later is served once the crowd is older."""
LOOK_AGAIN: Final = 0.25
"""Seconds after which a round that still fires looks for other kinds that became due."""

TimerHandler = Callable[[UnitOfWork, list[Timer]], Awaitable[None]]
"""Gets due timers of its kind, oldest promise first, in the transaction that removes them. It records what follows in
that same transaction (a later timer of the same key too) and has no other effect: it may be called again after a
rollback."""

Observer = Callable[[str, int, float], None]
"""Called after each commit with the kind, how many fired, and how late the latest of them was, in seconds."""


@dataclass(frozen=True, slots=True)
class _Batch:
    size: int = 0
    lateness: float = 0.0


class TimerFiring:
    """Register a handler for each kind first. Several instances, in one process or many, share the work.

    ``batch``: most timers in one transaction. ``max_attempts``: tries before a timer is parked.
    """

    def __init__(
        self,
        database: Database,
        *,
        batch: int = 256,
        concurrency: int = 2,
        max_attempts: int = 8,
        back_off: BackOff | None = None,
        observe: Observer | None = None,
    ) -> None:
        self._database = database
        self._most = batch
        self._slots = asyncio.Semaphore(concurrency)
        self._max_attempts = max_attempts
        self._back_off = back_off or BackOff()
        self._observe = observe or (lambda kind, count, lateness: None)
        self._handlers: dict[str, TimerHandler] = {}
        self._batches: dict[str, int] = {}
        self._full_in_a_row: dict[str, int] = {}
        self._stopping = False

    def register(self, kind: str, handler: TimerHandler, *, batch: int | None = None) -> None:
        """Raises ``ValueError`` when the kind has a handler. Kinds of no handler here wait for a node that has one.

        ``batch``: fewer in one transaction, where the handler takes a while and holds what others wait for.
        """
        if kind in self._handlers:
            raise ValueError(f"timers of kind {kind!r} have a handler already")
        self._handlers[kind] = handler
        self._batches[kind] = min(batch or self._most, self._most)
        self._full_in_a_row[kind] = 0

    def stop(self) -> None:
        """``fire_due`` returns after the batches that are under way."""
        self._stopping = True

    async def next_due(self) -> Mapping[str, float]:
        """Seconds until the next timer of each kind (negative: overdue). Kinds without one are left out."""
        async with self._database.session() as connection:
            found = await connection.fetch(NEXT_DUE, list(self._handlers))
        return {row[0]: row[1] for row in found}

    async def fire_due(self) -> int:
        """Fire what is due now, kinds side by side, and say how many that were. Raises ``DatabaseUnavailable``.

        While the backlog of one kind is fired, the others are looked after as if there was none.
        """
        fired = 0
        at_work: dict[asyncio.Task[int], str] = {}
        try:
            while True:
                due = [kind for kind, seconds in (await self.next_due()).items() if seconds <= 0]
                for kind in set(due).difference(at_work.values()):
                    at_work[asyncio.create_task(self._drain(kind), name=f"timers {kind}")] = kind
                if not at_work:
                    return fired
                done, _ = await asyncio.wait(at_work, timeout=LOOK_AGAIN)
                for task in done:
                    del at_work[task]
                    fired += task.result()
                if not at_work or self._stopping:
                    return fired + sum(await asyncio.gather(*at_work))
        finally:
            # One has failed, or this was cancelled: what the others have begun is rolled back and stands as before.
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)

    async def _drain(self, kind: str) -> int:
        """Batches until one is not full: what becomes due meanwhile is for the next round."""
        fired = 0
        while not self._stopping:
            async with self._slots:
                size = await self._fire(kind, CLAIM, self._batches[kind])
                fired += size
                if size < self._batches[kind]:
                    self._full_in_a_row[kind] = 0
                    break
                self._full_in_a_row[kind] += 1
            if self._full_in_a_row[kind] % NEWCOMERS_TURN == NEWCOMERS_TURN - 1:
                async with self._slots:
                    fired += await self._fire(kind, CLAIM_NEWCOMERS, self._batches[kind], NEWCOMER_SECONDS)
                self._full_in_a_row[kind] += 1
        return fired

    async def _fire(self, kind: str, claim: str, *arguments: object) -> int:
        """Fire one batch, those that ``claim`` takes. How many that were."""
        claimed: list[Timer] = []
        try:
            batch = await self._database.retrying(
                lambda unit: self._claim_and_handle(unit, kind, claimed, claim, *arguments)
            )
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if not claimed:
                raise
            await self._isolate(kind, list(claimed), error)
            return len(claimed)
        if batch.size:
            self._observe(kind, batch.size, batch.lateness)
        return batch.size

    async def _claim_and_handle(
        self, unit: UnitOfWork, kind: str, claimed: list[Timer], claim: str, *arguments: object
    ) -> _Batch:
        claimed.clear()
        found = await unit.fetch(claim, kind, *arguments)
        if not found:
            return _Batch()
        rows = sorted(found, key=itemgetter(3, 2))
        claimed.extend(Timer(*row[:7]) for row in rows)
        await self._handlers[kind](unit, list(claimed))
        return _Batch(len(rows), max(row[7] for row in rows))

    async def _isolate(self, kind: str, failed: Sequence[Timer], error: Exception) -> None:
        if len(failed) == 1:
            await self._postpone(failed[0], error)
            return
        log.info("a batch of %d timers of kind %s is taken apart: %s", len(failed), kind, type(error).__name__)
        middle = len(failed) // 2
        for half in (failed[:middle], failed[middle:]):
            await self._fire(kind, CLAIM_THESE, [one.workspace_id for one in half], [one.key for one in half])

    async def _postpone(self, timer: Timer, error: Exception) -> None:
        """Another try later, or none. Nothing happens when it was moved, fired or cancelled since."""
        attempts = timer.attempts + 1
        parked = attempts >= self._max_attempts
        await self._database.retrying(
            lambda unit: unit.execute(
                POSTPONE,
                timer.workspace_id,
                timer.kind,
                timer.key,
                timer.attempts,
                timer.due_at,
                "failed" if parked else "pending",
                self._back_off.after(attempts),
                _reason(error),
            )
        )
        facts = {"workspace_id": str(timer.workspace_id), "kind": timer.kind, "key": timer.key, "attempts": attempts}
        if isinstance(error, CONTENDED):
            log.warning("a timer was in the way of others and waits", extra=facts)
        elif parked:
            log.error("a timer failed for the last time and is parked", exc_info=error, extra=facts)
        else:
            log.warning("a timer failed and is tried again later", exc_info=error, extra=facts)


def _reason(error: Exception) -> str:
    """What is kept with the row: texts of foreign exceptions may hold what must not be stored."""
    name = type(error).__name__
    return f"{name}: {error.detail}" if isinstance(error, InboxError) else name


# One index probe a kind: a pile of timers that no handler here knows costs the others nothing.
NEXT_DUE = """
SELECT kinds.kind, extract(epoch FROM first.next_at - now())::float8
FROM unnest($1::text[]) AS kinds (kind) CROSS JOIN LATERAL (
    SELECT next_at FROM timers WHERE kind = kinds.kind AND state = 'pending' ORDER BY next_at LIMIT 1
) first
"""

_CLAIMED = """
RETURNING workspace_id, kind, key, due_at, payload, attempts, last_error,
          extract(epoch FROM now() - due_at)::float8
"""

# By the place of the row: the lock just taken keeps it there, and no second index is searched.
CLAIM = f"""
DELETE FROM timers WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM timers WHERE kind = $1 AND state = 'pending' AND next_at <= now()
    ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
)) {_CLAIMED}
"""

CLAIM_NEWCOMERS = f"""
DELETE FROM timers WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM timers WHERE kind = $1 AND state = 'pending' AND next_at <= now()
        AND next_at > now() - make_interval(secs => $3)
    ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED
)) {_CLAIMED}
"""

CLAIM_THESE = f"""
DELETE FROM timers WHERE ctid = ANY(ARRAY(
    SELECT t.ctid FROM timers t JOIN unnest($2::uuid[], $3::text[]) AS one (workspace_id, key)
        ON t.workspace_id = one.workspace_id AND t.key = one.key
    WHERE t.kind = $1 AND t.state = 'pending' AND t.next_at <= now() FOR UPDATE OF t SKIP LOCKED
)) {_CLAIMED}
"""

POSTPONE = """
UPDATE timers SET attempts = $4 + 1, state = $6, next_at = now() + make_interval(secs => $7), last_error = $8
WHERE workspace_id = $1 AND kind = $2 AND key = $3 AND state = 'pending' AND attempts = $4 AND due_at = $5
"""
