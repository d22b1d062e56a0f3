"""The deadlines behind every send (P5): nothing stays in the air, in the queue or in line for ever.

Runs on any node; rows that somebody holds are skipped. It decides nothing twice and sends nothing: what was in the air
when its process died becomes ``uncertain``, for a late receipt or a person to settle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from channels.types import Fault
from inbox.delivery import change_rows, results, sweeping
from inbox.delivery import repository as rows
from inbox.delivery.changes import LOST as CHANGE_LOST
from inbox.delivery.claims import REST_NOT_SENT
from inbox.delivery.outcomes import OUTCOME_UNKNOWN
from inbox.delivery.results import AttemptEnd
from inbox.delivery.sweeping import Stray
from inbox.kernel.database import CONTENDED, Database, DatabaseUnavailable, UnitOfWork
from inbox.messages.statuses import StatusChange, advance, refresh_messages, stored_fault

log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 5.0
MOST_PER_SWEEP: Final = 500
HOLDER_GONE: Final = Fault(
    OUTCOME_UNKNOWN,
    "It is not known whether this message arrived: the process that sent it stopped before the provider's answer was "
    "recorded. Ask the customer, or send it again if a double does no harm.",
)
EXPIRED: Final = Fault("expired", "Not sent: it could not go out before its deadline.")


@dataclass(frozen=True, slots=True)
class Swept:
    uncertain: int
    expired: int
    called: int
    """Lines whose first had not been told that it is its turn."""


class Sweeper:
    def __init__(
        self, database: Database, wake: Callable[[], None], *, uncertain_after: float, send_timeout: float
    ) -> None:
        """``uncertain_after`` counts from the moment at which a live holder would have given up."""
        self._database = database
        self._wake = wake
        self._margin = uncertain_after
        self._send_timeout = send_timeout
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until ``stop``: one sweep every ``SWEEP_SECONDS``; what the database refuses waits for the next."""
        while not self._stopping.is_set():
            try:
                await self.sweep()
            except (DatabaseUnavailable, *CONTENDED):
                log.info("sweeping is put off")
            try:
                await asyncio.wait_for(self._stopping.wait(), SWEEP_SECONDS)
            except TimeoutError:
                continue

    async def sweep(self) -> Swept:
        """Bring to an end what nobody will: sends whose holder is gone, and those whose time is over."""
        async with self._database.transaction() as unit:
            lost = await sweeping.lock_lost(unit, self._margin, self._send_timeout, MOST_PER_SWEEP)
            for workspace_id, strays, now in _by_workspace(lost):
                await _end(unit, workspace_id, strays, "uncertain", HOLDER_GONE, now)
        async with self._database.transaction() as unit:
            overdue = await sweeping.lock_overdue(unit, MOST_PER_SWEEP)
            for workspace_id, strays, now in _by_workspace(overdue):
                await _end(unit, workspace_id, strays, "failed", EXPIRED, now)
        async with self._database.transaction() as unit:
            called = await sweeping.call_forgotten(unit, MOST_PER_SWEEP)
            await sweeping.drop_full_buckets(unit, MOST_PER_SWEEP)
            grace = self._margin + self._send_timeout
            await change_rows.end_lost(unit, grace, stored_fault(CHANGE_LOST), MOST_PER_SWEEP)
        if lost or overdue or called:
            log.info("swept: %d uncertain, %d expired, %d lines moved on", len(lost), len(overdue), called)
            self._wake()
        return Swept(len(lost), len(overdue), called)


async def _end(
    unit: UnitOfWork, workspace_id: UUID, strays: Sequence[Stray], state: str, fault: Fault, now: datetime
) -> None:
    await advance(unit, workspace_id, [StatusChange(one.id, state, now, fault) for one in strays])
    ends = [(one.message_id, one.ordinal) for one in strays]
    await rows.cancel_rest(unit, workspace_id, ends, stored_fault(REST_NOT_SENT), now)
    attempts = [
        AttemptEnd(one.id, one.attempt, "unknown", None, None, stored_fault(fault))
        for one in strays
        if state == "uncertain"
    ]
    if attempts:
        await results.end_attempts(unit, workspace_id, attempts, now)
    await rows.call_next(unit, workspace_id, sorted({one.conversation_id for one in strays}))
    await refresh_messages(unit, workspace_id, sorted({one.message_id for one in strays}))


def _by_workspace(strays: Sequence[Stray]) -> list[tuple[UUID, list[Stray], datetime]]:
    groups: dict[UUID, list[Stray]] = {}
    for stray in strays:
        groups.setdefault(stray.workspace_id, []).append(stray)
    return [(workspace_id, groups[workspace_id], groups[workspace_id][0].now) for workspace_id in sorted(groups)]
