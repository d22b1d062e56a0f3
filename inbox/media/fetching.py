"""The job that brings a file of a provider into the store.

Invariant: run twice, killed anywhere, or overtaken by an unsend, it ends with a whole file that a ``stored`` row names,
or with no file at all. The row decides: bytes go in under the file's own key first, and the row is turned ``stored``
only if it is still ``pending``; else the bytes are taken out again, by this run or by the one that repeats it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from channels.adapter import Adapter, Http
from channels.content import MediaKind, MediaRef
from channels.errors import FetchError
from channels.types import Account, Fault
from inbox.kernel.backoff import BackOff
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import NotFound
from inbox.kernel.http_errors import AnswerTooLarge, HttpError
from inbox.kernel.http_errors import Refused as HttpRefused
from inbox.kernel.jobs import Job, Jobs
from inbox.kernel.jobs_worker import RetryLater
from inbox.media import repository as rows
from inbox.media.attachments import remove_job
from inbox.media.content import fits, real_type
from inbox.media.images import dimensions
from inbox.media.repository import Facts, Wanted
from inbox.media.schemas import MediaFault, MediaView
from inbox.media.spool import Spool, Spooled, TooMuch
from inbox.media.store import Store, StoreError, key_of

log = logging.getLogger(__name__)

_REFRESHES: Final = 2
"""Tries within one run: a link that just ran out is asked for anew at once (channel facts 1.3)."""


class Connected(Protocol):
    """A channel, as far as a fetch needs it."""

    @property
    def account(self) -> Account: ...
    @property
    def adapter(self) -> Adapter: ...


class Channels(Protocol):
    """Connections stand beside this room, so they are handed in."""

    async def get(self, workspace_id: UUID, channel_id: UUID) -> Connected:
        """Raises ``NotFound``."""
        ...


class Showing(Protocol):
    """What messages do for their files; they stand above this room, so they are handed in."""

    async def hold(self, unit: UnitOfWork, workspace_id: UUID, message_ids: list[UUID]) -> None:
        """Lock the conversations of these messages, before any row of a file. Raises ``Contended``."""
        ...

    async def show(self, unit: UnitOfWork, workspace_id: UUID, message_ids: list[UUID], views: list[MediaView]) -> None:
        """Let the parts of these messages say how their files are now, and record the events."""
        ...


class ContentFault(Exception):
    """The file is here, and will not be kept."""

    def __init__(self, fault: MediaFault) -> None:
        super().__init__(fault.code)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class _Failure:
    fault: MediaFault
    again: bool
    after: float | None = None
    stored: bool = False
    """Bytes may have reached the store."""


class Fetcher:
    def __init__(
        self,
        database: Database,
        channels: Channels,
        http: Http,
        jobs: Jobs,
        store: Store,
        spool: Spool,
        showing: Showing,
        *,
        max_bytes: int,
        back_off: BackOff | None = None,
    ) -> None:
        self._database = database
        self._channels = channels
        self._http = http
        self._jobs = jobs
        self._store = store
        self._spool = spool
        self._showing = showing
        self._max_bytes = max_bytes
        self._back_off = back_off or BackOff()

    async def run(self, job: Job) -> None:
        """A job handler. Raises ``RetryLater``."""
        workspace_id, media_id = job.workspace_id, UUID(str(job.payload["media_id"]))
        async with self._database.transaction(readonly=True) as unit:
            wanted = await rows.find_wanted(unit, workspace_id, media_id)
        if wanted is None:
            return
        if wanted.state == "deleted":
            await self._store.delete(key_of(workspace_id, media_id))  # an earlier run may have died after storing
        if wanted.state != "pending" or wanted.ref is None:
            return
        failure = await self._bring(workspace_id, media_id, wanted, wanted.ref)
        if failure is None:
            return
        if failure.again and job.attempts < job.max_attempts:
            wait = self._back_off.after(job.attempts) if failure.after is None else failure.after
            raise RetryLater(wait, failure.fault.code)
        await self._give_up(workspace_id, media_id, failure)

    async def _bring(self, workspace_id: UUID, media_id: UUID, wanted: Wanted, ref: MediaRef) -> _Failure | None:
        """``None`` when it is settled."""
        if ref.size is not None and ref.size > self._max_bytes:
            return _Failure(too_large(self._max_bytes), again=False)
        storing = False
        try:
            channel = await self._channels.get(workspace_id, wanted.channel_id)
            for attempt in range(1, _REFRESHES + 1):
                try:
                    async with (
                        channel.adapter.fetch(self._http, channel.account, ref) as stream,
                        self._spool.take(stream.chunks(), limit=self._max_bytes) as file,
                    ):
                        facts = examine(file, wanted.kind, key_of(workspace_id, media_id), ref.mime_type)
                        storing = True
                        await self._store.put(facts.store_key, file.path)
                    break
                except FetchError as error:
                    if attempt == _REFRESHES or not _ran_out(error.fault):
                        raise
        except FetchError as error:
            return _of_provider(error.fault)
        except (TooMuch, AnswerTooLarge):
            return _Failure(too_large(self._max_bytes), again=False)
        except ContentFault as refused:
            return _Failure(refused.fault, again=False)
        except NotFound:
            return _Failure(MediaFault("channel_gone", "The channel of this file is not connected any more."), False)
        except HttpRefused as error:
            return _Failure(MediaFault("forbidden_address", f"Not fetched: {error.reason}."), again=False)
        except HttpError as error:
            reason = f"The provider cannot be reached: {error.reason}."
            return _Failure(MediaFault("provider_unreachable", reason, retryable=True), again=True)
        except (StoreError, OSError) as error:
            log.warning("a file cannot be stored: %s", error, extra={"media_id": str(media_id)})
            fault = MediaFault("store_unavailable", "The file could not be stored.", retryable=True)
            return _Failure(fault, again=True, stored=storing)
        await self._keep(workspace_id, media_id, facts, wanted.filename)
        return None

    async def _keep(self, workspace_id: UUID, media_id: UUID, facts: Facts, filename: str | None) -> None:
        async def write(unit: UnitOfWork) -> bool:
            message_ids = await rows.uses(unit, workspace_id, [media_id])
            await self._showing.hold(unit, workspace_id, message_ids)
            view = await rows.keep(unit, workspace_id, media_id, facts, filename)
            if view is not None:
                await self._showing.show(unit, workspace_id, message_ids, [view])
            return view is not None

        if not await self._database.retrying(write):
            await self._store.delete(facts.store_key)

    async def _give_up(self, workspace_id: UUID, media_id: UUID, failure: _Failure) -> None:
        log.warning("a file is not fetched: %s", failure.fault.code, extra={"media_id": str(media_id)})
        await self.fail(workspace_id, media_id, failure.fault, clean=failure.stored)

    async def fail(self, workspace_id: UUID, media_id: UUID, fault: MediaFault, *, clean: bool) -> None:
        """Show it as failed. ``clean``: bytes may be in the store and have to go."""

        async def write(unit: UnitOfWork) -> None:
            message_ids = await rows.uses(unit, workspace_id, [media_id])
            await self._showing.hold(unit, workspace_id, message_ids)
            view = await rows.fail(unit, workspace_id, media_id, fault)
            if view is None:
                return
            await self._showing.show(unit, workspace_id, message_ids, [view])
            if clean:
                await self._jobs.enqueue_all(unit, [remove_job(workspace_id, media_id)])

        await self._database.retrying(write)


def examine(file: Spooled, kind: MediaKind, store_key: str, claimed: str | None) -> Facts:
    """Decide by the bytes. Raises ``ContentFault``."""
    if file.size == 0:
        raise ContentFault(MediaFault("empty", "The file is empty."))
    mime = real_type(file.head, claimed, kind)
    if not fits(kind, mime):
        raise ContentFault(MediaFault("type_refused", f"The file came as {kind}, but its content is {mime}."))
    size = dimensions(file.head) if mime.startswith("image/") else None
    width, height = size or (None, None)
    return Facts(store_key, mime, file.size, file.sha256, width, height)


def too_large(limit: int) -> MediaFault:
    return MediaFault("too_large", f"The file is larger than the {limit} bytes that are kept here.")


def _ran_out(fault: Fault) -> bool:
    return fault.code == "not_found" and fault.retryable


def _of_provider(fault: Fault) -> _Failure:
    helps = fault.retryable or fault.reauthorise
    return _Failure(MediaFault(fault.code, fault.reason, helps), again=fault.retryable, after=fault.retry_after)
