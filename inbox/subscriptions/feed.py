"""Works off one subscription under its lease: reads the log, keeps its lanes moving, decides about failures.

Invariants: a lane has at most one event in the air; nothing is begun when the lease may have run out; one subscription
never uses more than its slots, the first of which is its own, so a slow receiver takes nothing from the others.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from inbox.kernel.errors import Unavailable
from inbox.kernel.eventlog import LogState, StoredEvent
from inbox.subscriptions import attempts
from inbox.subscriptions import leases as rows
from inbox.subscriptions.answers import Answer
from inbox.subscriptions.audience import Audience, principal_of
from inbox.subscriptions.lanes import WINDOW, Lanes, Parked
from inbox.subscriptions.leases import Claimed, Lease, Progress
from inbox.subscriptions.pages import HoleInLog
from inbox.subscriptions.posting import Exchange, Target, body_of
from inbox.subscriptions.receivers import Receiver
from inbox.subscriptions.repository import SubscriptionRow
from inbox.subscriptions.retries import PROBE, gives_up_event
from inbox.subscriptions.schemas import Outcome, Purpose
from inbox.subscriptions.signing import message_id
from inbox.subscriptions.tools import Tools

log = logging.getLogger(__name__)

PULL_AFTER: Final = timedelta(minutes=1)
IDLE_SECONDS: Final = 3.0
LONGEST_WAIT: Final = 1.0
BATCH: Final = 32
LANE_BATCH: Final = 16
ANSWER_PAUSE: Final = 0.5


class Unheeded(Exception):
    """What a program answered could not take effect while the lease lasted."""


class Feed:
    """``run`` ends when the lease was given back or lost; whoever runs it then forgets it."""

    def __init__(self, claimed: Claimed, lease: Lease, target: Target, tools: Tools) -> None:
        row = claimed.row
        self.lease = lease
        self.row = row
        self.log: LogState = claimed.log
        self.lanes = Lanes(row.cursor, claimed.lanes)
        self._target = target
        self._audience = Audience(row.id, principal_of(row), row.kinds)
        self._tools = tools
        failing = (one.lane for one in claimed.lanes if one.attempts)
        self._receiver = Receiver(row.failures, row.failing_since, failing)
        self._replays: set[UUID] = {one.lane for one in claimed.lanes if one.upto is not None}
        self._in_air = 0
        self._changed: dict[UUID, Parked] = {}
        self._removed: set[UUID] = set()
        self._wake = asyncio.Event()
        self._closing = self._over = False
        self._releasing = False
        self._idle_since: float | None = None
        self._hold = self._next_hold = self._end_of_lease()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- seen from outside --------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be more to read."""
        self._wake.set()

    def close(self) -> None:
        """Begin nothing more, and give the lease back when what is in the air has ended."""
        self._closing = True
        self._wake.set()

    def lost(self) -> None:
        """Somebody else has it now, or it was disabled: begin nothing more, write nothing more."""
        self._over = True
        self._wake.set()

    def apply(self, row: SubscriptionRow, target: Target | None) -> None:
        """How the subscription looks now. ``target`` None: as before."""
        if row.kinds != self.row.kinds or (row.role, row.agent_name) != (self.row.role, self.row.agent_name):
            self._audience = Audience(row.id, principal_of(row), row.kinds)
        self.row = row
        self._target = target or self._target
        self._wake.set()

    def adopt(self, stored: Parked) -> None:
        """A lane that was changed from outside: a replay that was asked for, or one that need not wait any longer."""
        known = self.lanes.parked.get(stored.lane)
        if known is not None:
            known.next_at = min(known.next_at, stored.next_at)
        elif stored.upto is not None and stored.lane not in self._replays:
            # Known ones may be done, with their end not written yet.
            self._replays.add(stored.lane)
            self.lanes.adopt(stored)
        self._wake.set()

    def progress(self) -> Progress:
        changed, self._changed = self._changed, {}
        removed, self._removed = self._removed, set()
        stalled = self._stalled
        self._next_hold = self._end_of_lease()
        return Progress(
            lease=self.lease,
            version=self.row.version,
            cursor=self.lanes.cursor,
            failures=self._receiver.failures,
            failing_since=self._receiver.failing_since,
            stalled=stalled,
            due_at=self._due_at(stalled),
            release=self._releasing,
            changed=[replace(lane) for lane in changed.values()],
            removed=list(removed),
        )

    def saved(self, progress: Progress, *, held: bool) -> None:
        if not held or progress.release:
            self.lost()
        self._hold = self._next_hold

    def not_saved(self, progress: Progress) -> None:
        """The transaction failed: what it said of lanes is still to be written."""
        parked = self.lanes.parked
        self._changed = {one.lane: parked[one.lane] for one in progress.changed if one.lane in parked} | self._changed
        self._removed |= {lane for lane in progress.removed if lane not in parked}

    async def run(self) -> None:
        try:
            while not self._over:
                self._wake.clear()
                await self._read()
                self._start()
                self._rest()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._pause())
        finally:
            self._over = True
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._tools.poster.timeout + 1)
            for task in self._tasks:
                task.cancel()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        lanes, tools = self.lanes, self._tools
        while (
            not self._paused
            and lanes.room >= BATCH
            and not lanes.crowded
            and tools.head_of(self.lease.workspace_id) > lanes.read_to
        ):
            try:
                events = await tools.pages.after(self.lease.workspace_id, self.log.epoch, lanes.read_to, lanes.room)
            except HoleInLog:
                self.close()  # whoever claims it next sees by the floor what happened
                return
            except Unavailable:
                return  # the next look is at most LONGEST_WAIT away
            if not events:
                return
            lanes.offer(events, self._audience)
            self._start()

    # --- sending ------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        while self._has_work() and self._in_air < min(self._receiver.allowed, self.lanes.jobs(self._tools.clock.now())):
            extra = self._in_air > 0
            if extra and not self._tools.slots.take():
                return
            self._in_air += 1
            task = asyncio.create_task(self._work(extra), name=f"subscription {self.lease.subscription_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, extra: bool) -> None:
        """One request after the other, as long as there is something to send."""
        try:
            while self._in_air <= self._receiver.allowed and self._has_work():
                await self._tools.recorder.room()
                if not self._may_begin:
                    break
                if parked := self._due():
                    await self._drain(parked)
                elif event := self.lanes.take():
                    await self._deliver(event)
        except Unheeded:
            self.close()
        except Exception:
            log.exception("a subscription cannot be worked off", extra={"subscription": str(self.row.id)})
            self.lost()
        finally:
            self._in_air -= 1
            if extra:
                self._tools.slots.give()
            self._wake.set()

    async def _deliver(self, event: StoredEvent) -> None:
        exchange = await self._post(event)
        if exchange.delivered:
            problem = await self._heed(event, exchange)
            self.lanes.settle(event)
            self._succeeded()
            self._record(event, "event", 1, "delivered", exchange, problem=problem)
            if self.lanes.room == WINDOW // 2:
                self._wake.set()  # read on before the lanes run dry
            return
        next_at = self._tools.retries.next_at(exchange.at, 1, not_before=exchange.retry_after)
        parked = self.lanes.park(event, exchange.at, next_at)
        self._removed.discard(parked.lane)
        self._changed[parked.lane] = parked
        self._receiver.failed(parked.lane, exchange)
        self._record(event, "event", 1, "failed", exchange, next_at=next_at)
        await self._judge(exchange)

    async def _drain(self, parked: Parked) -> None:
        """What waits in a parked lane, a few events in a row; the first failure ends it."""
        parked.busy = True
        try:
            last = parked.last
            async with self._tools.database.session() as connection:
                events = await rows.lane_events(connection, self.lease.workspace_id, parked, LANE_BATCH)
            for event in events:
                if not self._may_begin:
                    return
                if self._audience(event) and not await self._try_again(parked, event):
                    return
                self._advance(parked, event.position + 1)
            if len(events) < LANE_BATCH:
                self._advance(parked, max(parked.position, last + 1))
        except Unavailable:
            parked.next_at = self._tools.clock.now() + timedelta(seconds=LONGEST_WAIT)
        finally:
            parked.busy = False
        if parked.drained:
            self.lanes.unpark(parked)
            self._changed.pop(parked.lane, None)
            self._removed.add(parked.lane)
            self._receiver.caught_up(parked.lane)
            self._tools.recorder.add(self)

    def _advance(self, parked: Parked, position: int) -> None:
        parked.position = position
        parked.attempts, parked.failing_since = 0, None
        parked.next_at = min(parked.next_at, self._tools.clock.now())
        self._changed[parked.lane] = parked

    async def _try_again(self, parked: Parked, event: StoredEvent) -> bool:
        """Whether the lane may go on behind this event: it was delivered, or given up after days."""
        purpose: Purpose = "event" if parked.upto is None else "replay"
        exchange = await self._post(event)
        attempt = parked.attempts + 1
        parked.tried_at = exchange.at
        if exchange.delivered:
            problem = await self._heed(event, exchange)
            self._succeeded()
            self._record(event, purpose, attempt, "delivered", exchange, problem=problem)
            return True
        parked.attempts = attempt
        parked.failing_since = since = parked.failing_since or exchange.at
        self._changed[parked.lane] = parked
        self._receiver.failed(parked.lane, exchange)
        if gives_up_event(exchange.at, since, attempt):
            self._record(event, purpose, attempt, "abandoned", exchange)
            await self._judge(exchange)
            return not self._over
        parked.next_at = self._tools.retries.next_at(exchange.at, attempt, not_before=exchange.retry_after)
        if exchange.retry_after is None and self._probes(parked):
            parked.next_at = min(parked.next_at, exchange.at + PROBE)
        self._record(event, purpose, attempt, "failed", exchange, next_at=parked.next_at)
        await self._judge(exchange)
        return False

    async def _post(self, event: StoredEvent) -> Exchange:
        identifier = message_id(self.lease.subscription_id, self.log.epoch, event.position)
        return await self._tools.poster.post(self._target, identifier, body_of(event, self.log.epoch))

    # --- what outcomes mean -------------------------------------------------------------------------------------------

    async def _heed(self, event: StoredEvent, exchange: Exchange) -> str | None:
        """Let a program's answer have its effect before the event counts as delivered. What was wrong with it.

        Raises ``Unheeded`` when the lease ends before that could be done: then the event is sent again.
        """
        answers = self._tools.answers
        if answers is None or self.row.role != "bot" or (exchange.json is None and not exchange.too_large):
            return None
        answer = Answer(self.row.id, self.row.agent_id, event, self.log.epoch, exchange.json)
        while not self._over and self._time() < self._hold:
            try:
                return await answers.take(answer)
            except Unavailable:
                await asyncio.sleep(ANSWER_PAUSE)
        raise Unheeded

    def _succeeded(self) -> None:
        if not self._receiver.succeeded(crowded=self.lanes.crowded):
            return
        now = self._tools.clock.now()
        for parked in self.lanes.parked.values():
            if parked.tried_at is None or now - parked.tried_at >= PULL_AFTER:
                parked.next_at = min(parked.next_at, now)

    async def _judge(self, exchange: Exchange) -> None:
        reason = self._receiver.given_up(exchange)
        if reason is not None and not self._closing:
            self._closing = True
            # With how far it is: once it is disabled, nothing of this lease counts any more.
            await self._tools.disable(self.progress(), reason)
            self.lost()

    def _record(
        self,
        event: StoredEvent,
        purpose: Purpose,
        attempt: int,
        outcome: Outcome,
        exchange: Exchange,
        *,
        next_at: datetime | None = None,
        problem: str | None = None,
    ) -> None:
        entry = attempts.of_event(
            self.lease.subscription_id,
            self.log.epoch,
            event,
            purpose,
            attempt,
            outcome,
            exchange,
            next_at=next_at,
            problem=problem,
        )
        self._tools.recorder.add(self, entry)

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def _paused(self) -> bool:
        return self._receiver.paused(self._tools.clock.now())

    @property
    def _stalled(self) -> bool:
        return self._paused or self.lanes.crowded

    @property
    def _may_begin(self) -> bool:
        return not (self._closing or self._over or self._releasing) and self._time() < self._hold and not self._paused

    def _probes(self, parked: Parked) -> bool:
        """Whether this lane is the one by which a receiver that is down is found again."""
        return self._receiver.down and parked.position == min(one.position for one in self.lanes.parked.values())

    def _due(self) -> Parked | None:
        return self.lanes.due(self._tools.clock.now()) if self.lanes.parked else None

    def _has_work(self) -> bool:
        return self._may_begin and (self.lanes.ready or self._due() is not None)

    def _due_at(self, stalled: bool) -> datetime | None:
        due = self.lanes.next_due()
        busy_until = self._receiver.busy_until
        if busy_until is not None and stalled:
            return max(due, busy_until) if due and self.lanes.crowded else busy_until
        return due

    def _pause(self) -> float:
        due = self.lanes.next_due()
        if due is None or self._in_air or not self._may_begin:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(0.01, (due - self._tools.clock.now()).total_seconds()))

    def _rest(self) -> None:
        """Give the lease back when there was nothing to do for a while: idle, or waiting for the receiver."""
        if self._in_air or self._has_work() or self._releasing:
            self._idle_since = None
            return
        now = self._time()
        if self._idle_since is None:
            self._idle_since = now
        if self._closing or now - self._idle_since >= IDLE_SECONDS:
            self._releasing = True
            self._tools.recorder.add(self)

    def _end_of_lease(self) -> float:
        """On this process's own clock, and early: the database counts from a moment before."""
        return self._time() + 0.8 * self._tools.lease_seconds

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()
