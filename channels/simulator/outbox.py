"""Delivery of webhooks: what was emitted is posted, in order per lane (one customer or chat), until it is answered 2xx.

A lane whose first post fails waits and tries again: at once, then after 2, 4, 8 … seconds (facts, 4.1), times the
retry scale. Only a fault loses, repeats or reorders anything. Waiting is done by timers that ``flush`` can end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import aiohttp

from channels.simulator.faults import Faults
from channels.simulator.posts import Event, LaneKey, Post, body_of, headers_of, lane_of
from channels.simulator.world import DAY, HOUR, World

LINGER = 0.05
"""Seconds after which an incomplete batch or shuffle leaves anyway."""
TURN = 32
"""Posts after which a lane lets the next one go first."""
GONE_FOR = 23 * HOUR
"""Of answers 410, after which Telegram removes the webhook."""


class Outbox:
    def __init__(
        self,
        world: World,
        faults: Faults,
        chance: random.Random,
        *,
        concurrency: int = 40,
        retry_scale: float = 1.0,
        timeout: float = 10.0,
    ) -> None:
        self._world = world
        self._faults = faults
        self._chance = chance
        self._defaults = (concurrency, retry_scale)
        self.concurrency, self.retry_scale = self._defaults
        self._timeout = timeout
        self._ids = itertools.count(1)
        self._lanes: dict[LaneKey, deque[Post]] = {}
        self._ready: deque[LaneKey] = deque()
        self._parked: set[LaneKey] = set()
        self._posting: set[LaneKey] = set()
        self._connections: Counter[str] = Counter()
        """Lanes of each bot that post at this moment."""
        self._held: dict[str, deque[LaneKey]] = {}
        """Lanes that wait because their bot has as many connections as it allows."""
        self._working: set[asyncio.Task[None]] = set()
        self._timers: dict[asyncio.TimerHandle, tuple[Callable[[], None], bool]] = {}
        self._batches: dict[str, list[Event]] = {}
        self._merging: dict[str, bool] = {}
        """Accounts whose batch shares entries and values."""
        self._shuffles: dict[LaneKey, list[Event]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._queued = 0
        """Posts in all lanes."""
        self.delivered = 0
        self.failed = 0
        self.dropped = 0
        self.recent: deque[Post] = deque(maxlen=500)

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def reset(self) -> None:
        """Forget what waits and what was delivered."""
        for handle in self._timers:
            handle.cancel()
        for queue in (self._timers, self._lanes, self._ready, self._parked, self._batches, self._shuffles, self.recent):
            queue.clear()
        for task in list(self._working):
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        self._posting.clear()
        self._connections.clear()
        self._held.clear()
        self._queued = self.delivered = self.failed = self.dropped = 0
        self.concurrency, self.retry_scale = self._defaults

    async def stop(self) -> None:
        await self.reset()
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- In -----------------------------------------------------------------------------------------------------------

    def enqueue(self, event: Event, after: float = 0.0) -> None:
        """Post the event ``after`` seconds, subject to the faults in force."""
        account_id = event.account.account_id
        lost = self._faults.strike("webhooks", "drop", account_id)
        if lost is None and event.receipt:
            lost = self._faults.strike("webhooks", "drop_receipts", account_id)
        if lost is not None:
            self.dropped += 1
            return
        late = self._faults.strike("webhooks", "delay", account_id)
        delay = after + (late.seconds if late else 0.0)
        if delay > 0:
            self.later(delay, partial(self._admit, event))
        else:
            self._admit(event)

    def later(self, seconds: float, act: Callable[[], None], *, retry: bool = False) -> None:
        """Act after a while, or when flushed."""

        def ring() -> None:
            del self._timers[handle]
            act()

        handle = asyncio.get_running_loop().call_later(seconds, ring)
        self._timers[handle] = (ring, retry)

    def _admit(self, event: Event) -> None:
        account = event.account
        if account.callback_url is None:
            if account.kind == "telegram":
                account.pulled.append((event.customer_id, event.item))
            else:
                self.dropped += 1
            return
        repeated = self._faults.strike("webhooks", "duplicate", account.account_id)
        for _ in range(repeated.size if repeated else 1):
            self._route(event)

    def _route(self, event: Event) -> None:
        account_id = event.account.account_id
        shuffled = self._faults.strike("webhooks", "reorder", account_id)
        if shuffled is not None:
            key = lane_of(event)
            held = self._shuffles.setdefault(key, [])
            held.append(event)
            if len(held) >= max(shuffled.size, 2):
                self._release_shuffle(key)
            elif len(held) == 1:
                self.later(LINGER, partial(self._release_shuffle, key))
            return
        batched = self._faults.strike("webhooks", "batch", account_id)
        if batched is not None and event.account.kind != "telegram":
            collected = self._batches.setdefault(account_id, [])
            collected.append(event)
            self._merging[account_id] = batched.merge
            if len(collected) >= batched.size:
                self._release_batch(account_id)
            elif len(collected) == 1:
                self.later(LINGER, partial(self._release_batch, account_id))
            return
        self._push(Post(next(self._ids), (event,), lane_of(event), self._world.now()))

    def _release_shuffle(self, key: LaneKey) -> None:
        held = self._shuffles.pop(key, [])
        order = list(held)
        while len(held) > 1 and order == held:
            self._chance.shuffle(order)
        for event in order:
            self._push(Post(next(self._ids), (event,), key, self._world.now()))

    def _release_batch(self, account_id: str) -> None:
        collected = self._batches.pop(account_id, [])
        if collected:
            merged = self._merging.pop(account_id, False)
            post = Post(next(self._ids), tuple(collected), (account_id, "batch"), self._world.now(), merged=merged)
            self._push(post)

    def redeliver(self, count: int, account_id: str | None = None) -> int:
        """Post the last delivered bodies once more, byte for byte, as after a provider's outage."""
        again = [post for post in self.recent if post.state == "delivered"]
        if account_id is not None:
            again = [post for post in again if post.account.account_id == account_id]
        chosen = again[-count:] if count > 0 else []
        for post in chosen:
            self._push(Post(next(self._ids), post.events, post.lane, self._world.now(), body=post.body))
        return len(chosen)

    # --- Out ----------------------------------------------------------------------------------------------------------

    def _push(self, post: Post) -> None:
        self.recent.append(post)
        self._queued += 1
        post.forged = self._faults.strike("webhooks", "bad_signature", post.account.account_id) is not None
        lane = self._lanes.get(post.lane)
        if lane is not None:
            lane.append(post)
            return
        self._lanes[post.lane] = deque((post,))
        self._resume(post.lane)

    def _resume(self, key: LaneKey) -> None:
        self._ready.append(key)
        self._staff()

    def _staff(self) -> None:
        while self._ready and len(self._working) < self.concurrency and self._session is not None:
            key = self._ready.popleft()
            lane = self._lanes.get(key)
            if lane is None or key in self._posting:  # withdrawn, or woken twice
                continue
            account = lane[0].account
            if account.kind == "telegram" and self._connections[key[0]] >= account.bot.max_connections:
                self._held.setdefault(key[0], deque()).append(key)
                continue
            self._posting.add(key)
            self._connections[key[0]] += 1
            task = asyncio.get_running_loop().create_task(self._work(key))
            self._working.add(task)
            task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.result()
            self._staff()

    async def _work(self, key: LaneKey) -> None:
        try:
            await self._post_lane(key)
        finally:
            # Before anything else can run, or a flush that resumes the lane would find it busy and let it lie.
            self._posting.discard(key)
            self._connections[key[0]] -= 1
            if held := self._held.get(key[0]):
                self._ready.append(held.popleft())

    async def _post_lane(self, key: LaneKey) -> None:
        lane = self._lanes[key]
        for _ in range(TURN):
            post = lane[0]
            if self._faults.in_force("webhooks", "down", post.account.account_id):
                self._parked.add(key)
                return
            if post.account.kind == "telegram" and post.account.callback_url is None:
                post.state = "withdrawn"
                post.account.pulled.append((post.events[0].customer_id, post.events[0].item))
            elif await self._attempt(post):
                post.state = "delivered"
                self.delivered += 1
            elif self._expired(post):
                post.state = "failed"
                self.failed += 1
                if post.account.kind in ("messenger", "instagram"):
                    post.account.subscribed = False  # the app has to subscribe again (facts, 0)
            else:
                wait = self._backoff(post)
                if wait > 0:
                    self.later(wait, partial(self._resume, key), retry=True)
                    return
                continue
            lane.popleft()
            self._queued -= 1
            if not lane:
                del self._lanes[key]
                return
        self._ready.append(key)

    async def _attempt(self, post: Post) -> bool:
        account = post.account
        post.tried = self._world.now()
        if post.body is None:
            post.body = body_of(post, post.tried)
        if self._session is None or account.callback_url is None:
            post.attempts.append("no webhook")
            return False
        try:
            async with self._session.post(
                account.callback_url,
                data=post.body,
                headers=headers_of(account, post.body, post.forged),
                allow_redirects=False,
            ) as answer:
                await answer.read()
                status, reason = answer.status, answer.reason
                post.retry_after = None
                with suppress(ValueError):
                    post.retry_after = float(answer.headers.get("Retry-After", ""))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            post.attempts.append(type(error).__name__)
            self._troubled(post, f"Connection failed: {type(error).__name__}")
            return False
        post.attempts.append(str(status))
        if 200 <= status < 300:
            account.bot.gone_since = None
            return True
        self._troubled(post, f"Wrong response from the webhook: {status} {reason or ''}".rstrip())
        if status == 410:
            self._gone(post)
        return False

    @staticmethod
    def _troubled(post: Post, words: str) -> None:
        post.account.bot.last_error = post.tried, words

    def _gone(self, post: Post) -> None:
        """An address that says for most of a day that it is gone is not asked any more (facts, 4.1)."""
        bot = post.account.bot
        bot.gone_since = bot.gone_since if bot.gone_since is not None else post.tried
        if post.account.kind == "telegram" and post.tried - bot.gone_since >= GONE_FOR:
            post.account.webhook_url = None

    def _backoff(self, post: Post) -> float:
        failures = len(post.attempts)
        if post.account.kind == "telegram" and post.retry_after is not None:
            return min(post.retry_after, 3600.0) * self.retry_scale
        if failures == 1:
            return 0.0
        cap = self._chance.uniform(60.0, 120.0) if post.account.kind == "telegram" else 3600.0
        return min(2.0 ** min(failures - 1, 20), cap) * self.retry_scale

    def _expired(self, post: Post) -> bool:
        age = self._world.now() - post.born
        if post.account.kind in ("messenger", "instagram"):
            return age > HOUR
        if post.account.kind == "whatsapp":
            return age > 7 * DAY
        return age > (150.0 if post.events[0].kind == "callback_query" else DAY)

    # --- Control ------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """After a ``down`` was lifted or a webhook address changed: try what is parked."""
        parked, self._parked = self._parked, set()
        for key in parked:
            self._resume(key)

    @property
    def pending(self) -> int:
        """Events that have not left, those waiting for a timer included."""
        waiting = sum(1 for _, retry in self._timers.values() if not retry)
        return self._queued + waiting

    def pending_of(self, account_id: str) -> int:
        return sum(len(lane) for key, lane in self._lanes.items() if key[0] == account_id)

    def withdraw(self, account_id: str) -> list[Event]:
        """What waits for an account and is not being posted, oldest first; it will not be posted any more."""
        taken: list[Post] = []
        for key in [each for each in self._lanes if each[0] == account_id]:
            lane = self._lanes[key]
            while len(lane) > (1 if key in self._posting else 0):
                taken.append(lane.pop())
            if not lane:
                del self._lanes[key]
                self._parked.discard(key)
        self._queued -= len(taken)
        for post in taken:
            self.recent.remove(post)
        return [event for post in sorted(taken, key=lambda each: each.id) for event in post.events]

    async def flush(self, timeout: float = 5.0) -> bool:
        """End every wait and see the outbox empty. ``False`` when something is still pending at the time-out."""
        self._fire(retries=True)
        deadline = asyncio.get_running_loop().time() + timeout
        while self.pending and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
            self._fire(retries=False)
        return self.pending == 0

    def _fire(self, *, retries: bool) -> None:
        due = sorted(self._timers.items(), key=lambda each: each[0].when())
        for handle, (ring, retry) in due:
            if retries or not retry:
                handle.cancel()
                ring()
