"""P1 and P2 on real processes: whatever was acknowledged is there afterwards, exactly once, whoever was killed when."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from cluster import crash
from processes import Installation, Json, installation
from webhooks import Providers, audit, headers_for, text_body

from inbox.kernel.postgres import EmbeddedPostgres

pytestmark = pytest.mark.acceptance

KILLS = 5
CRASHES = 2


async def test_a_server_that_is_killed_at_any_moment_loses_nothing(database_url: str, tmp_path: Path) -> None:
    chance = random.Random(time.time_ns())
    async with installation(database_url, tmp_path, webhook_lease=2) as made:
        providers = Providers(made, chance)
        stop = asyncio.Event()
        load = asyncio.create_task(providers.run(stop))
        took_over = 0
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            await made.node.kill()
            took_over += await made.fetchval("SELECT count(*) FROM pending_deliveries")
            await asyncio.sleep(chance.uniform(0, 0.3))
            await made.node.start(wait=chance.random() < 0.7)  # sometimes killed again before it is ready
        await made.node.until_ready()
        await asyncio.sleep(1)
        stop.set()
        await load
        await audit(made, providers)
        print(f"\n{made.node.kills} kills, {took_over} bodies left behind by them, {dict(providers.answers)}")
        assert providers.answers["200"] > 100
        made.check_logs()


async def test_a_database_that_crashes_under_load_loses_nothing(
    durable_cluster: Callable[[], EmbeddedPostgres], tmp_path: Path
) -> None:
    chance = random.Random(time.time_ns())
    postgres = durable_cluster()
    async with installation(postgres.dsn(), tmp_path, webhook_lease=2) as made:
        providers = Providers(made, chance, pause=0.05)
        stop = asyncio.Event()
        load = asyncio.create_task(providers.run(stop))
        for _ in range(CRASHES):
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            crash(postgres)
            await asyncio.sleep(chance.uniform(0.1, 0.5))  # meanwhile webhooks are refused
            postgres.restart()
            await made.node.until_ready()
        await asyncio.sleep(1)
        stop.set()
        await load
        await audit(made, providers)
        print(f"\n{CRASHES} crashes of PostgreSQL, {dict(providers.answers)}")
        assert providers.answers["503"] > 0
        assert made.node.running, "the server outlives its database"
        made.check_logs()


async def test_without_its_database_the_server_says_so_and_recovers_by_itself(
    durable_cluster: Callable[[], EmbeddedPostgres], tmp_path: Path
) -> None:
    postgres = durable_cluster()
    async with installation(postgres.dsn(), tmp_path, webhook_lease=2) as made:
        crash(postgres)
        async with asyncio.timeout(15):
            while (await _ready(made))[0] != 503:
                await asyncio.sleep(0.1)
        status, said = await _ready(made)
        assert (status, said["status"]) == (503, "not ready")
        assert said["checks"]["database"] != "ok"

        answer = await _post(made, "whatsapp", 1, "while it is down")
        assert answer.status == 503
        assert answer.headers["Retry-After"].isdecimal()
        async with made.session.get(f"{made.node.url}/healthz") as alive:
            assert alive.status == 200, "restarting this process would not help"

        postgres.restart()
        await made.node.until_ready(within=20)
        assert (await _post(made, "whatsapp", 1, "while it is down")).status == 200
        await made.until("SELECT count(*) = 1 FROM messages")
        made.check_logs()


@pytest.mark.parametrize(
    ("broken", "healed"),
    [
        pytest.param(
            """CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
               CREATE TRIGGER full_disk BEFORE INSERT ON raw_deliveries FOR EACH ROW EXECUTE FUNCTION disk_full()""",
            "DROP TRIGGER full_disk ON raw_deliveries",
            id="disk full",
        ),
        pytest.param(
            "ALTER TABLE pending_deliveries ADD CONSTRAINT nothing CHECK (false) NOT VALID",
            "ALTER TABLE pending_deliveries DROP CONSTRAINT nothing",
            id="a constraint that nobody foresaw",
        ),
    ],
)
async def test_what_cannot_be_stored_is_not_acknowledged(
    database_url: str, tmp_path: Path, broken: str, healed: str
) -> None:
    async with installation(database_url, tmp_path) as made:
        await made.db.execute(broken)
        for kind in made.paths:
            answer = await _post(made, kind, 1, "no room")
            assert (kind, answer.status) == (kind, 503)
            assert answer.headers["Retry-After"].isdecimal()
        await made.db.execute(healed)
        for kind in made.paths:
            assert (await _post(made, kind, 1, "no room")).status == 200
        await made.until("SELECT count(*) = 4 FROM messages")
        made.check_logs(expected=["webhooks cannot be kept"])


async def test_a_disk_that_is_full_while_storing_messages_leaves_the_webhook_pending(
    database_url: str, tmp_path: Path
) -> None:
    """The body was kept and acknowledged; its processing fails until there is room, and then succeeds by itself."""
    async with installation(database_url, tmp_path, webhook_lease=1) as made:
        await made.db.execute(
            """CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
               CREATE TRIGGER full_disk BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION disk_full()"""
        )
        assert (await _post(made, "whatsapp", 1, "kept")).status == 200
        await asyncio.sleep(1.5)
        assert await made.fetchval("SELECT count(*) FROM messages") == 0
        await made.db.execute("DROP TRIGGER full_disk ON messages")
        await made.until("SELECT count(*) = 1 FROM messages")
        await made.until("SELECT count(*) = 0 FROM pending_deliveries")
        assert await made.fetchval("SELECT count(*) FROM quarantine WHERE released_at IS NULL") == 0
        made.check_logs()


async def _post(made: Installation, kind: str, number: int, text: str) -> aiohttp.ClientResponse:
    body = text_body(kind, 1, number, text)
    url = made.node.url + made.paths[kind]
    async with made.session.post(url, data=body, headers=headers_for(kind, body)) as answer:
        await answer.read()
        return answer


async def _ready(made: Installation) -> tuple[int, Json]:
    async with made.session.get(f"{made.node.url}/readyz") as answer:
        return answer.status, await answer.json()
