"""Finds subscriptions that have something to do, holds leases on them, and runs a feed for each.

Woken by commits of this process and by other nodes, and polling: a lost wake-up costs at most ``POLL_SECONDS``. A node
that dies gives its subscriptions up when their leases run out; any other goes on from the cursors.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID, uuid4

from inbox.kernel.clock import Clock
from inbox.kernel.database import CONTENDED, Database, DatabaseUnavailable
from inbox.kernel.eventlog import EventLog, LogState, StoredEvent
from inbox.kernel.secrets import CannotOpen
from inbox.kernel.wakeup import Wakeup
from inbox.subscriptions import events
from inbox.subscriptions import leases as rows
from inbox.subscriptions import repository as subscription_rows
from inbox.subscriptions.answers import Answers
from inbox.subscriptions.feed import Feed
from inbox.subscriptions.leases import Claimed, Lease, Progress
from inbox.subscriptions.pages import Pages
from inbox.subscriptions.posting import Poster
from inbox.subscriptions.recording import Observer, Recorder, unobserved
from inbox.subscriptions.retries import Retries
from inbox.subscriptions.schemas import Reason
from inbox.subscriptions.tools import Slots, Tools
from inbox.subscriptions.vault import Vault
from inbox.subscriptions.views import view

log = logging.getLogger(__name__)

TOPIC: Final = "subscriptions"
"""Published when a subscription was changed."""
POLL_SECONDS: Final = 1.0
SHORTEST_ROUND: Final = 0.02
LEASE_SECONDS: Final = 30.0
MOST_HELD: Final = 400
"""Subscriptions that one process works off at a time; each has one request of its own in the air."""
EXTRA_REQUESTS: Final = 200
"""Requests beyond that, shared by those that have more to send."""
TURN_SECONDS: Final = 20.0
"""When more want to be served than one process holds, those that had their turn make room."""


@dataclass(slots=True)
class _Running:
    feed: Feed
    task: asyncio.Task[None]
    since: float


class Worker:
    def __init__(
        self,
        database: Database,
        event_log: EventLog,
        wakeup: Wakeup,
        vault: Vault,
        poster: Poster,
        clock: Clock,
        *,
        events_topic: str,
        owners_topic: str,
        retries: Retries | None = None,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        most_held: int = MOST_HELD,
        extra_requests: int = EXTRA_REQUESTS,
        answers: Answers | None = None,
        observe: Observer = unobserved,
    ) -> None:
        self._database = database
        self._wakeup = wakeup
        self._vault = vault
        self._clock = clock
        self._subscribers = ((events_topic, self.woken), (TOPIC, self.changed), (owners_topic, self.changed))
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._most_held = most_held
        self._recorder = Recorder(database, lease_seconds=lease_seconds, observe=observe)
        self._logs: dict[UUID, LogState] = {}
        self._running: dict[UUID, _Running] = {}
        self._wake = asyncio.Event()
        self._woken: set[UUID] | None = set()
        self._stopping = False
        self._renewed_at = 0.0
        self._looked_at = float("-inf")
        self._tools = Tools(
            database=database,
            pages=Pages(database, event_log),
            poster=poster,
            recorder=self._recorder,
            retries=retries or Retries(),
            clock=clock,
            slots=Slots(extra_requests),
            head_of=self._head_of,
            disable=self._disable,
            lease_seconds=lease_seconds,
            answers=answers,
        )
        event_log.listen(self._committed)

    @property
    def held(self) -> int:
        return len(self._running)

    def woken(self, workspace_id: UUID | None = None, *, full: bool = False) -> None:
        """There may be something to do. Fits ``Wakeup.subscribe``."""
        if workspace_id is None or full:
            self._woken = None
        elif self._woken is not None:
            self._woken.add(workspace_id)
        self._wake.set()

    def changed(self, workspace_id: UUID | None = None, *, full: bool = False) -> None:
        """A subscription or its owner was changed."""
        self._looked_at = float("-inf")
        self._wake.set()

    def stop(self) -> None:
        """``run`` ends when what is in the air has ended and is written down."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        undo = [self._wakeup.subscribe(topic, subscriber) for topic, subscriber in self._subscribers]
        self._recorder.begin()
        recorder = asyncio.create_task(self._recorder.run(), name="subscriptions recorder")
        try:
            while not self._stopping:
                if recorder.done():
                    recorder.result()
                began = asyncio.get_running_loop().time()
                await self._round()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._poll_seconds)
                # Commits follow each other faster than it is worth looking.
                await asyncio.sleep(max(0.0, began + SHORTEST_ROUND - asyncio.get_running_loop().time()))
        finally:
            for one in undo:
                one()
            await self._finish(recorder)

    async def _finish(self, recorder: asyncio.Task[None]) -> None:
        for running in self._running.values():
            running.feed.close()
        tasks = [running.task for running in self._running.values()]
        if tasks and not recorder.done():
            _, late = await asyncio.wait(tasks, timeout=self._tools.poster.timeout + 2)
            for task in late:
                task.cancel()
        self._recorder.stop()
        await asyncio.wait([recorder], timeout=5)
        recorder.cancel()

    # --- a round ------------------------------------------------------------------------------------------------------

    async def _round(self) -> None:
        self._wake.clear()
        now = asyncio.get_running_loop().time()
        woken, self._woken = self._woken, set()
        full = woken is None or now - self._looked_at >= self._poll_seconds
        try:
            if full:
                self._looked_at = now
                await self._refresh()
            await self._claim(None if full else woken)
        except (DatabaseUnavailable, *CONTENDED) as error:
            log.debug("no look at subscriptions: %s", error)  # every other loop tells of the outage itself
        if now - self._renewed_at >= self._lease_seconds / 4:
            self._renewed_at = now
            for running in self._running.values():
                self._recorder.add(running.feed)
        if len(self._running) >= self._most_held:
            self._make_room(now)

    async def _claim(self, workspaces: set[UUID] | None) -> None:
        free = self._most_held - len(self._running)
        if free <= 0 or (workspaces is not None and not workspaces):
            return
        token = uuid4()
        async with self._database.transaction() as unit:
            claimed = await rows.claim(
                unit,
                token,
                self._clock.now(),
                most=free,
                lease_seconds=self._lease_seconds,
                workspaces=workspaces,
            )
        for one in claimed:
            await self._begin(one, Lease(one.row.workspace_id, one.row.id, token))

    async def _begin(self, claimed: Claimed, lease: Lease) -> None:
        row, state = claimed.row, claimed.log
        if row.agent_disabled:
            await self._end(lease, "owner_disabled")
            return
        if row.epoch != state.epoch or not state.floor <= row.cursor <= state.head:
            await self._start_again(lease, row, state)
            return
        try:
            target = self._vault.target(row.id, row.url, row.secrets)
        except CannotOpen as error:
            log.error("a subscription cannot be unsealed: %s", error, extra={"subscription": str(row.id)})
            return  # the lease keeps everybody from trying again at once
        self._seen(row.workspace_id, state)
        feed = Feed(claimed, lease, target, self._tools)
        task = asyncio.create_task(feed.run(), name=f"feed {row.id}")
        running = self._running[row.id] = _Running(feed, task, asyncio.get_running_loop().time())

        def ended(task: asyncio.Task[None]) -> None:
            if self._running.get(row.id) is running:
                del self._running[row.id]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a feed died", exc_info=error, extra={"subscription": str(row.id)})
            self.woken(row.workspace_id)

        task.add_done_callback(ended)

    async def _refresh(self) -> None:
        """Notice what changed behind our back: heads of logs, lost leases, new addresses, replays, owners."""
        if not self._running:
            return
        feeds = {subscription_id: running.feed for subscription_id, running in self._running.items()}
        read_to = {subscription_id: feed.lanes.read_to for subscription_id, feed in feeds.items()}
        async with self._database.session() as connection:
            held = await rows.held(connection, [feed.lease for feed in feeds.values()])
            logs = await rows.heads(connection, {feed.lease.workspace_id for feed in feeds.values()})
            changed = [(row.workspace_id, row.id) for row in held.values() if row.version != feeds[row.id].row.version]
            lanes = await rows.load_lanes(connection, changed) if changed else {}
        self._logs = {workspace_id: state for workspace_id, state in self._logs.items() if workspace_id in logs}
        for workspace_id, state in logs.items():
            self._seen(workspace_id, state)
        for subscription_id, feed in feeds.items():
            row, now = held.get(subscription_id), logs.get(feed.lease.workspace_id)
            if row is None or now is None:
                feed.lost()
            elif row.agent_disabled or now.epoch != feed.log.epoch or now.head < read_to[subscription_id]:
                feed.close()  # what to do about it is decided by the next claim
            elif row != feed.row:
                self._apply(feed, row)
                for parked in lanes.get(subscription_id, ()):
                    feed.adopt(parked)

    def _apply(self, feed: Feed, row: subscription_rows.SubscriptionRow) -> None:
        before = feed.row
        same = row.url == before.url and row.secrets == before.secrets
        feed.apply(row, None if same else self._vault.target(row.id, row.url, row.secrets))

    def _make_room(self, now: float) -> None:
        for running in self._running.values():
            if now - running.since >= TURN_SECONDS:
                running.feed.close()

    # --- what happens to a subscription -------------------------------------------------------------------------------

    async def _start_again(self, lease: Lease, row: subscription_rows.SubscriptionRow, state: LogState) -> None:
        rebuilt = row.epoch != state.epoch or row.cursor > state.head
        async with self._database.transaction() as unit:
            moved = await rows.start_again(unit, lease, state, rebuilt=rebuilt)
            if moved is not None:
                reason: events.ResetReason = "log_rebuilt" if rebuilt else "beyond_retention"
                unit.record(events.reset(lease.workspace_id, view(moved), reason))
                await rows.give_back(unit, lease)
        log.warning("a subscription has missed events", extra={"subscription": str(row.id)})
        self.woken(lease.workspace_id)

    async def _disable(self, progress: Progress, reason: Reason) -> None:
        async with self._database.transaction() as unit:
            await rows.save(unit, [progress], self._lease_seconds)
        await self._end(progress.lease, reason)

    async def _end(self, lease: Lease, reason: Reason) -> None:
        async with self._database.transaction() as unit:
            row = await subscription_rows.disable(
                unit, lease.workspace_id, lease.subscription_id, reason, lease=lease.token
            )
            if row is not None:
                unit.record(events.disabled(lease.workspace_id, view(row)))
        if row is not None:
            log.warning("a subscription was disabled: %s", reason, extra={"subscription": str(row.id)})

    # --- heads of logs ------------------------------------------------------------------------------------------------

    def _head_of(self, workspace_id: UUID) -> int:
        state = self._logs.get(workspace_id)
        return state.head if state else 0

    def _committed(self, workspace_id: UUID, stored: list[StoredEvent]) -> None:
        if state := self._logs.get(workspace_id):
            self._seen(workspace_id, replace(state, head=max(event.position for event in stored)))
        self.woken(workspace_id)

    def _seen(self, workspace_id: UUID, state: LogState) -> None:
        """Told in any order, so that within an epoch only a higher head is news."""
        known = self._logs.get(workspace_id)
        if known is not None and known.epoch == state.epoch and known.head >= state.head:
            return
        self._logs[workspace_id] = state
        for running in self._running.values():
            if running.feed.lease.workspace_id == workspace_id:
                running.feed.wake()
