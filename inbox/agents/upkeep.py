"""Removes credentials that can have no effect any more. Called now and then by whoever owns the clock."""

from __future__ import annotations

from inbox.agents import credentials
from inbox.kernel.database import Database

KEPT_DAYS = 90
"""For how long an ended token can still be found by its id."""


async def remove_stale_credentials(database: Database) -> None:
    async with database.transaction() as unit:
        await credentials.delete_stale(unit, "tickets", days=KEPT_DAYS)
        await credentials.delete_stale(unit, "levels", days=KEPT_DAYS)
        await credentials.delete_stale(unit, "tokens", days=KEPT_DAYS)
