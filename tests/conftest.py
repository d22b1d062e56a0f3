"""Fixtures that every test can ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import network_guard
import pytest
from cluster import Cluster, own_folder, throwaway_server

from inbox.kernel.migrate import upgrade
from inbox.kernel.postgres import EmbeddedPostgres

network_guard.install()


@pytest.fixture(autouse=True)
def no_stray_connections() -> Iterator[None]:
    """Fails the test that tried to leave this machine, also when the code under test swallowed the refusal."""
    network_guard.attempts.clear()
    yield
    if refused := list(network_guard.attempts):
        pytest.fail(f"tried to leave this machine: {refused}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One PostgreSQL for the session: ours, or the server of INBOX_TEST_DATABASE_URL."""
    if url := os.environ.get("INBOX_TEST_DATABASE_URL"):
        yield Cluster(url)
        return
    with throwaway_server() as server:
        yield Cluster(server.dsn())


@pytest.fixture(scope="session")
async def template_database(cluster: Cluster) -> AsyncIterator[str]:
    """Name of the migrated database that tests are cloned from."""
    name = await cluster.create_template(upgrade)
    yield name
    await cluster.drop(name)


@pytest.fixture
async def database_url(cluster: Cluster, template_database: str) -> AsyncIterator[str]:
    """A migrated, empty database of this test's own."""
    name = await cluster.create(template_database)
    yield cluster.dsn(name)
    await cluster.drop(name)


@pytest.fixture
async def empty_database_url(cluster: Cluster) -> AsyncIterator[str]:
    """A database without any table."""
    name = await cluster.create()
    yield cluster.dsn(name)
    await cluster.drop(name)


@pytest.fixture
def durable_cluster() -> Iterator[Callable[[], EmbeddedPostgres]]:
    """Makes servers that keep every promise of a commit; see ``cluster.crash`` and ``EmbeddedPostgres.restart``."""
    with ExitStack() as stack:

        def start() -> EmbeddedPostgres:
            folder = stack.enter_context(own_folder())
            return stack.enter_context(EmbeddedPostgres.start(folder))

        yield start
