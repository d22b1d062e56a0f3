"""Sends what is due: claims in rounds, sends concurrently, has results recorded in batches.

Woken in the process and by other nodes, and polling: a lost wake-up costs at most ``POLL_SECONDS``. All truth is in
rows; this process may die at any point, and what it had in the air is found by the sweeper (docs/delivery.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from channels.adapter import Http, OutboundFile
from channels.errors import SendError
from channels.outbound import Envelope, Piece
from channels.types import Fault
from inbox.connections.directory import Directory
from inbox.delivery.claims import Claim, Claims
from inbox.delivery.outcomes import LOST, NotSent, Outcome, Refusal, Unknown
from inbox.delivery.recording import Recorder, Result
from inbox.kernel.batching import Batcher
from inbox.kernel.database import CONTENDED, Database, DatabaseUnavailable
from inbox.kernel.http_errors import HttpError
from inbox.kernel.http_errors import Refused as HttpRefused
from inbox.kernel.wakeup import Wakeup

log = logging.getLogger(__name__)

TOPIC: Final = "deliveries"
MOST_IN_THE_AIR: Final = 128
"""Requests of this process at one time. One channel takes at most half of them (``claims.allowance``)."""
POLL_SECONDS: Final = 1.0
SHORTEST_WAIT: Final = 0.02
"""Before looking again at what somebody else had locked."""
DRAIN_MARGIN: Final = 2.0
"""Seconds beyond the time-out of one request that a stop waits for what is in the air."""
RESULTS_PER_BATCH: Final = 128


class Files(Protocol):
    """Our stored media. Raises ``LookupError`` where there is no such file."""

    async def outbound(self, workspace_id: UUID, media_id: str) -> OutboundFile: ...


@dataclass(frozen=True, slots=True)
class _Missing:
    async def outbound(self, workspace_id: UUID, media_id: str) -> OutboundFile:
        raise LookupError(media_id)


class Dispatcher:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        recorder: Recorder,
        http: Http,
        wakeup: Wakeup,
        *,
        node: str,
        send_timeout: float,
        files: Files | None = None,
        most_in_the_air: int = MOST_IN_THE_AIR,
    ) -> None:
        self._claims = Claims(database, directory, node=node)
        self._http = http
        self._wakeup = wakeup
        self._send_timeout = send_timeout
        self._files: Files = files or _Missing()
        self._most = most_in_the_air
        self._results: Batcher[Result, None] = Batcher(recorder.record, most=RESULTS_PER_BATCH)
        self._wake = asyncio.Event()
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_channel: Counter[UUID] = Counter()

    @property
    def in_the_air(self) -> int:
        return len(self._tasks)

    def woken(self, workspace_id: UUID | None = None, *, full: bool = False) -> None:
        """There may be something due. Fits ``Wakeup.subscribe``."""
        self._wake.set()

    def stop(self) -> None:
        """Claim no more; ``run`` ends when what is in the air has ended and is recorded, or took too long."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        unsubscribe = self._wakeup.subscribe(TOPIC, self.woken)
        try:
            while not self._stopping:
                self._wake.clear()
                await self._wait(await self._round())
        finally:
            unsubscribe()
        await self._drain()

    async def _round(self) -> float:
        """Claim and start what can be started now. Returns how long to wait before the next look."""
        free = self._most - len(self._tasks)
        if free <= 0:
            return POLL_SECONDS
        try:
            claimed = await self._claims.claim(free, self._by_channel)
        except DatabaseUnavailable:
            log.warning("the database is not available; nothing is sent")
            return POLL_SECONDS
        except CONTENDED:
            return SHORTEST_WAIT
        for claim in claimed.claims:
            self._start(claim)
        if claimed.more:
            return 0.0 if claimed.claims else SHORTEST_WAIT
        if claimed.next_due_at is not None:
            seconds = (claimed.next_due_at - datetime.now(UTC)).total_seconds()
            return min(POLL_SECONDS, max(SHORTEST_WAIT, seconds))
        return POLL_SECONDS

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    def _start(self, claim: Claim) -> None:
        # No task can be cancelled before it began: what is claimed is sent, or known not to have been.
        task = asyncio.create_task(self._carry_out(claim), name=f"send {claim.delivery_id}")
        self._tasks.add(task)
        self._by_channel[claim.channel.id] += 1

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._by_channel[claim.channel.id] -= 1
            if not self._by_channel[claim.channel.id]:
                del self._by_channel[claim.channel.id]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a send ended unrecorded", exc_info=error, extra={"delivery": str(claim.delivery_id)})
            self._wake.set()

        task.add_done_callback(ended)

    async def _carry_out(self, claim: Claim) -> None:
        outcome = await self._send(claim)
        result = Result(claim, outcome, datetime.now(UTC))
        while True:
            try:
                await self._results.submit(result)
            except (DatabaseUnavailable, *CONTENDED):
                # The provider's answer is all there is: it is kept, and its place with it, until it can be written.
                await asyncio.sleep(POLL_SECONDS)
            else:
                return

    async def _send(self, claim: Claim) -> Outcome:
        # The files count too: the sweeper takes a send for lost when this time, and a margin, has passed.
        deadline = asyncio.get_running_loop().time() + time_allowed(claim.piece, self._send_timeout)
        try:
            async with asyncio.timeout_at(deadline):
                files = [await self._files.outbound(claim.workspace_id, one) for one in claim.piece.media_ids]
        except LookupError:
            return NotSent(Fault("media_missing", "The file of this message is not here any more."))
        except Exception as error:
            log.exception("a file to send cannot be read", extra={"delivery": str(claim.delivery_id)})
            reason = f"The file cannot be read ({type(error).__name__})."
            return NotSent(Fault("media_unavailable", reason, retryable=True))
        envelope = Envelope(claim.piece, claim.recipient, str(claim.delivery_id), claim.reply_to, _purpose(claim))
        try:
            async with asyncio.timeout_at(deadline):
                return await claim.channel.adapter.send(self._http, claim.channel.account, envelope, files)
        except SendError as error:
            return Refusal(error.fault)
        except HttpError as error:
            return _transport(error)
        except TimeoutError:
            return Unknown(LOST)
        except Exception:
            # A bug of ours after the request may have left: the careful answer is that we do not know.
            log.exception("an adapter failed", extra={"delivery": str(claim.delivery_id), "kind": claim.channel.kind})
            return Unknown(LOST)

    async def _drain(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._send_timeout + DRAIN_MARGIN)
            for task in late:
                task.cancel()
            if late:
                log.warning("%d sends did not end in time and are left to the sweeper", len(late))
                await asyncio.wait(late)
        await self._results.stop()


def time_allowed(piece: Piece, send_timeout: float) -> float:
    """Seconds from the claim to the provider's answer: one request, or what the provider asks for, and as much again
    for each further file of an album, which is read and uploaded first. ``sweeping.ALLOWED`` says the same in SQL.
    """
    return max(send_timeout, piece.patience or 0.0) + send_timeout * max(0, len(piece.media_ids) - 1)


def _transport(error: HttpError) -> Outcome:
    if error.sent:
        return Unknown(LOST)
    if isinstance(error, HttpRefused):
        return NotSent(Fault("forbidden_address", f"Not sent: {error}.", ours=True))
    return NotSent(Fault("provider_unreachable", f"The provider cannot be reached: {error.reason}.", retryable=True))


def _purpose(claim: Claim) -> Literal["reply", "human_agent", "template", "bulk"]:
    match claim.purpose:
        case "human_agent" | "template" | "bulk" as purpose:
            return purpose
        case _:
            return "reply"
