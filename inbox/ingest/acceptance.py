"""Accepting a webhook: the raw body is committed, together with its neighbours', before anybody gets a 200 (P1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from inbox.ingest import repository as rows
from inbox.ingest.repository import RawDelivery
from inbox.kernel.batching import Batcher
from inbox.kernel.database import Database, DatabaseUnavailable
from inbox.kernel.ids import new_id

log = logging.getLogger(__name__)

MOST_PER_COMMIT = 128
MOST_BYTES_PER_COMMIT = 8 * 1024 * 1024


class Acceptance:
    """``accepted`` is handed each batch right after its commit, on the node that accepted it.

    ``lease_seconds``: how long this node has for the processing before another one takes over.
    """

    def __init__(
        self, database: Database, accepted: Callable[[Sequence[RawDelivery]], None], *, lease_seconds: float
    ) -> None:
        self._database = database
        self._accepted = accepted
        self._lease_seconds = lease_seconds
        self._batcher: Batcher[tuple[UUID, bytes], None] = Batcher(self._commit, most=MOST_PER_COMMIT)

    async def accept(self, app_id: UUID, body: bytes) -> None:
        """Returns once the body is durable. Raises ``DatabaseUnavailable``, ``Stopped``: nothing was promised."""
        await self._batcher.submit((app_id, body))

    async def stop(self) -> None:
        await self._batcher.stop()

    async def _commit(self, bodies: Sequence[tuple[UUID, bytes]]) -> Sequence[None]:
        received_at = datetime.now(UTC)
        named = [(new_id(), app_id, body) for app_id, body in bodies]
        try:
            async with self._database.session() as connection:
                for part in _by_size(named):
                    await rows.accept(connection, part, received_at, self._lease_seconds)
                    self._accepted([RawDelivery(raw_id, received_at, app_id, body) for raw_id, app_id, body in part])
        except asyncpg.PostgresError as error:
            # A fault of ours or of the operator's: the provider shall try again, as when the database is away.
            log.exception("%d webhooks cannot be kept", len(bodies))
            raise DatabaseUnavailable(f"PostgreSQL does not take webhooks ({type(error).__name__})") from error
        return [None] * len(bodies)


def _by_size(bodies: Sequence[tuple[UUID, UUID, bytes]]) -> list[list[tuple[UUID, UUID, bytes]]]:
    """Split where a statement would grow too large: 128 bodies may have 3 MB each."""
    parts: list[list[tuple[UUID, UUID, bytes]]] = [[]]
    size = 0
    for body in bodies:
        if size + len(body[2]) > MOST_BYTES_PER_COMMIT and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(body)
        size += len(body[2])
    return parts
