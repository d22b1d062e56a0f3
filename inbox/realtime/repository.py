"""The one query of the live stream that the event log itself does not offer: where many logs stand."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from inbox.kernel.connection import Connection
from inbox.kernel.eventlog import LogState


async def log_states(connection: Connection, workspace_ids: Sequence[UUID]) -> dict[UUID, LogState]:
    rows = await connection.fetch(STATES, workspace_ids)
    return {row["workspace_id"]: LogState(epoch=row["epoch"], head=row["head"], floor=row["floor"]) for row in rows}


STATES = "SELECT workspace_id, epoch, head, floor FROM event_logs WHERE workspace_id = ANY($1::uuid[])"
