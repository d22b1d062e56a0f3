"""Migrations: linear history, one migrating node, and a refusal of foreign schemas."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from inbox.kernel import migrate
from inbox.kernel.migrate import BrokenHistory, SchemaMismatch

SLOW_SCRIPT = """
import time
from alembic import op
revision = "{revision}"
down_revision = {down_revision!r}

def upgrade() -> None:
    op.execute("SELECT pg_sleep(0.2)")
    op.execute("CREATE TABLE step_{revision} (id int)")
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The project's environment and template with an empty history."""
    (tmp_path / "versions").mkdir()
    for name in ("env.py", "script.py.mako"):
        (tmp_path / name).write_bytes((migrate.SCRIPTS / name).read_bytes())
    return tmp_path


def write(scripts: Path, revision: str, down_revision: str | None, *, body: str = SLOW_SCRIPT) -> None:
    text = body.format(revision=revision, down_revision=down_revision)
    (scripts / "versions" / f"{revision}_step.py").write_text(text)


async def fetchval(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def tables(**columns: Column[str]) -> MetaData:
    metadata = MetaData()
    Table("things", metadata, Column("id", Integer, primary_key=True), *columns.values())
    return metadata


async def test_written_scripts_lead_to_the_tables(empty_database_url: str, scripts: Path) -> None:
    first, second = tables(), tables(name=Column("name", Text, nullable=False, server_default="x"))
    script = await migrate.revision(empty_database_url, "Add things", first, scripts=scripts)
    assert script.name == "0001_add_things.py"
    assert await migrate.differences(empty_database_url, first, scripts=scripts) != []
    assert await migrate.upgrade(empty_database_url, scripts=scripts) == "0001"
    assert await migrate.differences(empty_database_url, first, scripts=scripts) == []

    assert await migrate.differences(empty_database_url, second, scripts=scripts) != []
    await migrate.revision(empty_database_url, "Name things", second, scripts=scripts)
    assert migrate.head(scripts) == "0002"
    assert await migrate.upgrade(empty_database_url, scripts=scripts) == "0002"
    assert await migrate.differences(empty_database_url, second, scripts=scripts) == []
    assert await migrate.current(empty_database_url) == "0002"


async def test_revision_needs_a_migrated_database(empty_database_url: str, scripts: Path) -> None:
    write(scripts, "0001", None)
    with pytest.raises(SchemaMismatch):
        await migrate.revision(empty_database_url, "Anything", tables(), scripts=scripts)


async def test_partitions_are_no_difference(empty_database_url: str, scripts: Path) -> None:
    metadata = MetaData()
    Table("log", metadata, Column("day", Integer, nullable=False), postgresql_partition_by="RANGE (day)")
    await migrate.revision(empty_database_url, "Add log", metadata, scripts=scripts)
    await migrate.upgrade(empty_database_url, scripts=scripts)
    await fetchval(empty_database_url, "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (2)")
    assert await migrate.differences(empty_database_url, metadata, scripts=scripts) == []


async def test_nodes_that_start_at_once_migrate_once(empty_database_url: str, scripts: Path) -> None:
    write(scripts, "0001", None)
    write(scripts, "0002", "0001")
    nodes = [migrate.upgrade(empty_database_url, scripts=scripts) for _ in range(4)]
    assert await asyncio.gather(*nodes) == ["0002"] * 4
    assert await fetchval(empty_database_url, "SELECT count(*) FROM step_0002") == 0


async def test_upgrade_waits_for_the_lock(empty_database_url: str, scripts: Path) -> None:
    write(scripts, "0001", None)
    holder = await asyncpg.connect(empty_database_url)
    await holder.fetchval("SELECT pg_advisory_lock($1)", migrate.LOCK)
    node = asyncio.create_task(migrate.upgrade(empty_database_url, scripts=scripts))
    await asyncio.sleep(0.3)
    assert await migrate.current(empty_database_url) is None
    await holder.close()
    assert await asyncio.wait_for(node, 10) == "0001"


async def test_failing_script_leaves_nothing_behind(empty_database_url: str, scripts: Path) -> None:
    write(scripts, "0001", None)
    write(scripts, "0002", "0001", body=SLOW_SCRIPT + '    op.execute("SELECT 1 / 0")\n')
    with pytest.raises(Exception, match="division by zero"):
        await migrate.upgrade(empty_database_url, scripts=scripts)
    assert await migrate.current(empty_database_url) is None
    assert await fetchval(empty_database_url, "SELECT to_regclass('step_0001')") is None
    write(scripts, "0002", "0001")
    assert await migrate.upgrade(empty_database_url, scripts=scripts) == "0002"


async def test_concurrent_index_while_another_node_waits(empty_database_url: str, scripts: Path) -> None:
    body = SLOW_SCRIPT + (
        "    with op.get_context().autocommit_block():\n"
        '        op.execute("CREATE INDEX CONCURRENTLY found ON step_{revision} (id)")\n'
    )
    write(scripts, "0001", None, body=body)
    nodes = [migrate.upgrade(empty_database_url, scripts=scripts) for _ in range(2)]
    assert await asyncio.wait_for(asyncio.gather(*nodes), 20) == ["0001"] * 2
    assert await fetchval(empty_database_url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'found'::regclass")


async def test_foreign_schemas_are_refused(empty_database_url: str, scripts: Path) -> None:
    write(scripts, "0001", None)
    with pytest.raises(SchemaMismatch, match=r"is empty.*needs revision 0001.*inbox migrate") as empty:
        await migrate.check_schema(empty_database_url, scripts=scripts)
    assert (empty.value.found, empty.value.wanted, empty.value.newer) == (None, "0001", False)

    await migrate.upgrade(empty_database_url, scripts=scripts)
    await migrate.check_schema(empty_database_url, scripts=scripts)
    write(scripts, "0002", "0001")
    with pytest.raises(SchemaMismatch, match="at revision 0001, this program needs revision 0002"):
        await migrate.check_schema(empty_database_url, scripts=scripts)

    await fetchval(empty_database_url, "UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(SchemaMismatch, match="newer version of this program"):
        await migrate.check_schema(empty_database_url, scripts=scripts)
    with pytest.raises(SchemaMismatch, match="newer version of this program"):
        await migrate.upgrade(empty_database_url, scripts=scripts)


async def test_nothing_to_do_imports_no_alembic(empty_database_url: str, scripts: Path) -> None:
    write(scripts, "0001", None)
    await migrate.upgrade(empty_database_url, scripts=scripts)
    program = (
        "import asyncio, sys; from pathlib import Path; from inbox.kernel.migrate import upgrade;"
        "print(asyncio.run(upgrade(sys.argv[1], scripts=Path(sys.argv[2]))), 'alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", program, empty_database_url, str(scripts)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0001", "False"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ([("a", None), ("b", "a"), ("c", "a")], "both follow a"),
        ([("a", None), ("b", None)], "both follow None"),
        ([("a", None), ("c", "b")], r"\['c'\] cannot be reached"),
    ],
    ids=["fork", "two beginnings", "gap"],
)
def test_broken_history(scripts: Path, line: list[tuple[str, str | None]], complaint: str) -> None:
    for revision, before in line:
        write(scripts, revision, before)
    with pytest.raises(BrokenHistory, match=complaint):
        migrate.head(scripts)


def test_script_without_a_revision(scripts: Path) -> None:
    (scripts / "versions" / "stray.py").write_text("answer = 42\n")
    with pytest.raises(BrokenHistory, match=r"stray\.py"):
        migrate.head(scripts)


async def test_clones_of_the_template_are_migrated(database_url: str) -> None:
    await migrate.check_schema(database_url)
