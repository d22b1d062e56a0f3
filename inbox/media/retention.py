"""Deletes bytes: of files whose time is over, of messages that were unsent, of uploads that came to nothing.

Invariant: bytes are deleted only while their row is locked in a state that does not want them, so nobody can store them
anew meanwhile; a row keeps its ``store_key`` until its bytes are gone, so what is left to delete can be asked for.
"""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.jobs import Job, Jobs
from inbox.media import repository as rows
from inbox.media import upkeep
from inbox.media.attachments import FETCH, remove_job
from inbox.media.fetching import Fetcher, Showing
from inbox.media.schemas import MediaFault
from inbox.media.spool import Spool
from inbox.media.store import Store, key_of
from inbox.media.upkeep import Due

log = logging.getLogger(__name__)

BATCH: Final = 200
MOST_BATCHES: Final = 50
"""What one run leaves is for the next one."""
_LOST: Final = MediaFault("interrupted", "Fetching the file broke off.", retryable=True)
_WANTED: Final = ("pending", "stored")


class Retention:
    """``default_days``: for channels that say nothing themselves; ``None`` keeps for ever."""

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        store: Store,
        spool: Spool,
        showing: Showing,
        fetcher: Fetcher,
        *,
        default_days: int | None,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._store = store
        self._spool = spool
        self._showing = showing
        self._fetcher = fetcher
        self._default_days = default_days

    async def remove(self, job: Job) -> None:
        """A job handler: delete the bytes of a file that is not wanted any more. Raises ``StoreError``."""
        workspace_id, media_id = job.workspace_id, UUID(str(job.payload["media_id"]))
        async with self._database.transaction() as unit:
            if await upkeep.lock_state(unit, workspace_id, media_id) in _WANTED:
                return
            await self._store.delete(key_of(workspace_id, media_id))
            await upkeep.forget_bytes(unit, workspace_id, media_id)

    async def sweep(self) -> None:
        """Upkeep, every few minutes. Harmless on several nodes at once."""
        await self._spool.sweep()
        expired = 0
        for _ in range(MOST_BATCHES):
            async with self._database.session() as connection:
                due = await upkeep.overdue(connection, self._default_days, BATCH)
            for one in due:
                expired += await self._expire(one)
            if len(due) < BATCH:
                break
        if expired:
            log.info("%d files are beyond their retention", expired)
        await self._end_stuck()

    async def _expire(self, due: Due) -> bool:
        async def write(unit: UnitOfWork) -> bool:
            message_ids = await rows.uses(unit, due.workspace_id, [due.id])
            await self._showing.hold(unit, due.workspace_id, message_ids)
            view = await upkeep.expire(unit, due)
            if view is None:
                return False
            await self._showing.show(unit, due.workspace_id, message_ids, [view])
            await self._jobs.enqueue_all(unit, [remove_job(due.workspace_id, due.id)])
            return True

        return await self._database.retrying(write)

    async def _end_stuck(self) -> None:
        async with self._database.session() as connection:
            found = await upkeep.stuck(connection, FETCH, BATCH)
        for workspace_id, media_id, upload in found:
            if upload:
                async with self._database.transaction() as unit:
                    if await upkeep.abandon_upload(unit, workspace_id, media_id):
                        await self._jobs.enqueue_all(unit, [remove_job(workspace_id, media_id)])
            else:
                await self._fetcher.fail(workspace_id, media_id, _LOST, clean=True)
