"""The migrations make what the tables say, to the last index."""

from __future__ import annotations

from inbox.kernel.migrate import differences
from inbox.tables import metadata


async def test_migrations_make_the_tables(database_url: str) -> None:
    assert await differences(database_url, metadata) == []
