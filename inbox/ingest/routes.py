"""REST of quarantine: what could not be stored, and trying it again. Bodies are not shown: people wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.ingest.replay import Replay
from inbox.kernel.web import get, post


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """``item`` is the place in the body; null: all of it."""

    id: UUID
    raw_id: UUID
    received_at: datetime
    item: int | None
    reason: str
    detail: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Replayed:
    """``bodies`` were run again; ``still_open`` entries are in quarantine after that."""

    bodies: int
    still_open: int


class QuarantineRoutes:
    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    @get("/v1/quarantine", tag="quarantine")
    async def list(self, caller: Principal) -> list[QuarantineEntry]:
        """Webhook items of your workspace's apps that could not be stored, oldest first (at most 200)."""
        caller.require("channels.write")
        return [QuarantineEntry(*row) for row in await self._replay.open_entries(caller.workspace_id, limit=200)]

    @post("/v1/quarantine/replay", tag="quarantine", status=200)
    async def replay(self, caller: Principal) -> Replayed:
        """Try them again. What fails again stays in quarantine."""
        caller.require("channels.write")
        bodies = await self._replay.quarantined(workspace_id=caller.workspace_id)
        return Replayed(bodies, await self._replay.still_open(caller.workspace_id))
