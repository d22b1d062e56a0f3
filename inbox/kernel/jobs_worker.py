"""Runs durable jobs: claims what is due, keeps the leases alive, and writes what became of each run.

Invariant: a run that lost its lease is cancelled here before, or at the latest while, another worker runs the job, and
whatever it still reports is ignored. A process that dies leaves its jobs leased; they run again when the lease ends.

    JobError                what a handler raises to say how its run ended; any other exception: retry with back-off
    ├── RetryLater(seconds)     the same job again, not before then (counts as an attempt)
    └── GiveUp(reason)          dead at once, with the reason
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from inbox.kernel import jobs_lease as leases
from inbox.kernel.backoff import BackOff
from inbox.kernel.batching import Batcher
from inbox.kernel.database import CONTENDED, Database, DatabaseUnavailable
from inbox.kernel.errors import InboxError
from inbox.kernel.jobs import TOPIC, Job
from inbox.kernel.jobs_lease import Outcome
from inbox.kernel.wakeup import Wakeup

log = logging.getLogger(__name__)

JobHandler = Callable[[Job], Awaitable[None]]


class JobError(Exception):
    """How a run ended. The text is stored with the job: no secrets."""


class RetryLater(JobError):
    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"again in {seconds:.0f} s")
        self.seconds = seconds


class GiveUp(JobError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)


@dataclass(slots=True)
class _Lane:
    handler: JobHandler
    concurrency: int
    time_limit: float
    running: int = 0


@dataclass(eq=False, slots=True)
class _Run:
    job: Job
    task: asyncio.Task[None] | None = field(default=None)
    lost: bool = False


class Worker:
    """Register a handler for each queue, then ``run``. Several workers, in one process or many, share the queues.

    ``lease_seconds``: how long the jobs of a process that died stand still. ``poll_seconds``: how late a job may start
    whose wake-up was lost.
    """

    def __init__(
        self,
        database: Database,
        wakeup: Wakeup,
        *,
        lease_seconds: float = 60.0,
        poll_seconds: float = 1.0,
        back_off: BackOff | None = None,
    ) -> None:
        self._database = database
        self._wakeup = wakeup
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._back_off = back_off or BackOff()
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._claims = itertools.count(1)
        self._lanes: dict[str, _Lane] = {}
        self._runs: set[_Run] = set()
        self._outcomes: Batcher[Outcome, None] = Batcher(self._finish, most=256)
        self._wake = asyncio.Event()
        self._stopping = False

    def register(self, queue: str, handler: JobHandler, *, concurrency: int = 4, time_limit: float = 300.0) -> None:
        """``concurrency``: runs of this queue at once, here. ``time_limit``: seconds after which a run has failed."""
        if queue in self._lanes:
            raise ValueError(f"queue {queue!r} has a handler already")
        self._lanes[queue] = _Lane(handler, concurrency, time_limit)

    @property
    def running(self) -> int:
        return len(self._runs)

    def stop(self) -> None:
        """Claim no more. ``run`` goes on until what runs has ended; cancel it to end at once."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Ends after ``stop``. When cancelled, the jobs that run are stopped and put back."""
        unsubscribe = self._wakeup.subscribe(TOPIC, self._woken)
        beat = asyncio.create_task(self._keep_leases(), name="jobs-leases")
        try:
            while not self._stopping:
                await self._round()
            while self._runs:
                await self._pause()
        finally:
            unsubscribe()
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            if self._runs:
                await self._abandon()

    async def _abandon(self) -> None:
        """Stop what runs and put it back for others, attempts uncounted."""
        runs = list(self._runs)
        for run in runs:
            self._drop(run)
        await asyncio.gather(*(run.task for run in runs if run.task), return_exceptions=True)
        try:
            await self._database.retrying(lambda unit: leases.release(unit, [run.job for run in runs]))
        except DatabaseUnavailable:
            log.warning("%d jobs could not be put back; they run when their lease ends", len(runs))

    def _woken(self, workspace_id: UUID | None, *, full: bool) -> None:
        self._wake.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _round(self) -> None:
        free = {queue: lane.concurrency - lane.running for queue, lane in self._lanes.items()}
        wanted = {queue: count for queue, count in free.items() if count > 0}
        claimed: list[Job] = []
        try:
            if wanted:
                claimed = await self._claim(wanted)
        except DatabaseUnavailable as error:
            log.warning("jobs wait: %s", error)
        except CONTENDED:
            log.info("a claim of jobs got in the way of others; it is repeated")
        for job in claimed:
            self._start(job)
        # What is full now may have more that is due: look again as soon as a run ends. Otherwise sleep.
        if not claimed:
            await self._pause()
        else:
            await asyncio.sleep(0)

    async def _claim(self, wanted: dict[str, int]) -> list[Job]:
        lease = f"{self._name}:{next(self._claims)}"
        async with self._database.transaction() as unit:
            return await leases.claim(unit, lease, wanted, self._lease_seconds)

    def _start(self, job: Job) -> None:
        run = _Run(job)
        self._runs.add(run)
        self._lanes[job.queue].running += 1
        run.task = asyncio.create_task(self._serve(run), name=f"job-{job.queue}-{job.id}")

    async def _serve(self, run: _Run) -> None:
        try:
            await self._report(run, await self._outcome(run.job))
        finally:
            self._runs.discard(run)
            self._lanes[run.job.queue].running -= 1
            self._wake.set()

    async def _outcome(self, job: Job) -> Outcome:
        lane = self._lanes[job.queue]
        try:
            async with asyncio.timeout(lane.time_limit):
                await lane.handler(job)
        except Exception as error:
            return self._failed(job, error)
        return Outcome(job, "done")

    def _failed(self, job: Job, error: Exception) -> Outcome:
        facts = {"workspace_id": str(job.workspace_id), "job_id": str(job.id), "queue": job.queue}
        reason = _reason(error)
        if isinstance(error, GiveUp):
            log.warning("a job was given up: %s", reason, extra=facts)
            return Outcome(job, "dead", reason)
        if job.attempts >= job.max_attempts:
            log.error("a job failed for the last time: %s", reason, exc_info=error, extra=facts)
            return Outcome(job, "dead", reason)
        if isinstance(error, RetryLater):
            return Outcome(job, "retry", reason, max(0.0, error.seconds))
        log.warning("a job failed and is tried again: %s", reason, exc_info=error, extra=facts)
        return Outcome(job, "retry", reason, self._back_off.after(job.attempts))

    async def _report(self, run: _Run, outcome: Outcome) -> None:
        """Until it is written, or the lease is gone and somebody else runs the job."""
        while not run.lost:
            try:
                return await self._outcomes.submit(outcome)
            except (DatabaseUnavailable, *CONTENDED):
                await asyncio.sleep(min(0.5, self._lease_seconds / 10))

    async def _finish(self, outcomes: Sequence[Outcome]) -> Sequence[None]:
        await self._database.retrying(lambda unit: leases.finish(unit, outcomes))
        return [None] * len(outcomes)

    async def _keep_leases(self) -> None:
        """Renew what runs, cancel what was lost, and queue what other workers lost."""
        clock = asyncio.get_running_loop()
        renewed: dict[_Run, float] = {}
        while True:
            began = clock.time()
            await asyncio.sleep(self._lease_seconds / 3)
            runs = list(self._runs)
            renewed = {run: renewed.get(run, began) for run in runs}
            asked_at = clock.time()
            try:
                async with asyncio.timeout(self._lease_seconds / 4):
                    held = await self._renew([run.job for run in runs])
                    await self._take_back()
            except Exception as error:
                log.warning("leases of jobs could not be renewed (%s)", type(error).__name__)
                # Nobody told us, but from here on somebody else may run it.
                lost = [run for run in runs if clock.time() - renewed[run] >= self._lease_seconds]
            else:
                renewed = dict.fromkeys(runs, asked_at)
                lost = [run for run in runs if run.job.id not in held]
            for run in lost:
                if run in self._runs:
                    log.warning("a job's lease was lost; its run is stopped", extra={"job_id": str(run.job.id)})
                    self._drop(run)

    async def _renew(self, jobs: Sequence[Job]) -> set[UUID]:
        if not jobs:
            return set()
        return await self._database.retrying(lambda unit: leases.renew(unit, jobs, self._lease_seconds))

    async def _take_back(self) -> None:
        taken, dead = await self._database.retrying(lambda unit: leases.take_back(unit, list(self._lanes)))
        if taken:
            log.warning("%d jobs of lost workers were queued again, %d of them are dead", taken - dead, dead)
            self._wake.set()

    def _drop(self, run: _Run) -> None:
        run.lost = True
        if run.task is not None:
            run.task.cancel()


def _reason(error: Exception) -> str:
    """What is stored with the job: texts of foreign exceptions may hold what must not be."""
    match error:
        case JobError():
            return str(error)
        case InboxError():
            return f"{type(error).__name__}: {error.detail}"
        case TimeoutError():
            return "it took too long"
        case Exception():
            return type(error).__name__
    assert_never(error)
