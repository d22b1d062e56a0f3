"""An embedded PostgreSQL in the product's own data folder.

One process owns the server of a data folder, by a file lock held for the owner's life: whoever starts later attaches.
The server ends with its owner, also after ``kill -9``; a crash at any moment (also during the first start) is healed by
the next start. It listens on a Unix socket in a private folder and nowhere else.

    PostgresUnavailable (postgres_binaries)   nothing usable here: carries the reason and what to do
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

from inbox.kernel.postgres_binaries import (
    USE_A_SERVER,
    Account,
    Binaries,
    PostgresUnavailable,
    find_binaries,
    run_as,
    server_environment,
)
from inbox.kernel.postgres_home import (
    PORT,
    SOCKET,
    PidFile,
    cluster_major,
    end_orphan,
    is_server,
    pointer,
    settle,
    socket_folder,
    sync_folder,
    try_lock,
)

__all__ = ["EmbeddedPostgres", "PostgresUnavailable"]

SUPERUSER = "inbox"
DATABASE = "inbox"
LOG_KEPT = 8 * 1024 * 1024  # bytes; a larger log is set aside at the next start
KERNEL_SIGNALS_ORPHANS = sys.platform == "linux"
"""Linux tells a child that its parent died; elsewhere a watcher process waits for the end of a pipe."""
WATCHED = 'exec 3<&0; ( ( cat <&3 >/dev/null; kill -INT $$ ) & ); exec "$@" 3<&- </dev/null'

_PR_SET_PDEATHSIG = 1

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "",
        "port": str(PORT),
        "max_connections": "100",
        "shared_buffers": "128MB",
        "effective_cache_size": "512MB",
        "random_page_cost": "1.1",
        # Every key begins with the workspace: until a new table has statistics, the planner takes the wrong index.
        "autovacuum_naptime": "5s",
        "jit": "off",  # queries here are short: compiling them costs more than it saves
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
    }
)
# A fresh cluster that has to create WAL segments under load stalls for milliseconds: keep many to recycle.
DURABLE: Mapping[str, str] = MappingProxyType({"min_wal_size": "1GB", "max_wal_size": "2GB"})
THROWAWAY: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "min_wal_size": "80MB",
        "max_wal_size": "512MB",
    }
)


class EmbeddedPostgres:
    """A running server. Made by :meth:`start`; every method is synchronous and belongs to the main thread."""

    def __init__(self, home: Path, account: Account | None, options: list[str]) -> None:
        self.home = home
        self.log_file = home / "server.log"
        self.attached = False
        self._cluster = home / "cluster"
        self._account = account
        self._options = options
        self._socket_folder = home
        self._binaries: Binaries | None = None
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @classmethod
    def start(
        cls,
        data_folder: Path,
        *,
        binaries: Path | None = None,
        durable: bool = True,
        settings: Mapping[str, str] = MappingProxyType({}),
        patience: float = 300.0,
    ) -> Self:
        """Start the server of ``data_folder``, creating it the first time, or attach to the one that runs there.

        ``durable=False`` trades survival of a crash for speed (tests). ``settings`` are PostgreSQL's own names.
        ``patience`` (seconds) bounds the wait for crash recovery. Raises :class:`PostgresUnavailable`.
        """
        _require_main_thread()
        if sys.platform == "win32":
            raise PostgresUnavailable("the embedded PostgreSQL does not run on Windows", USE_A_SERVER)
        merged = {**SETTINGS, **(DURABLE if durable else THROWAWAY), **settings}
        options = [part for name, value in merged.items() for part in ("-c", f"{name}={value}")]
        try:
            home, account = settle(data_folder.resolve())
            server = cls(home, account, options)
            server._enter(binaries, durable=durable, deadline=time.monotonic() + patience)
            if home.parent != data_folder.resolve() and not server.attached:
                pointer(data_folder).write_text(f"{home}\n")
        except PermissionError as error:
            raise PostgresUnavailable(
                f"{error.filename} belongs to another account or is read-only ({error.strerror})",
                f"start as the user who created the data folder, choose another one, or {USE_A_SERVER}",
            ) from error
        return server

    def dsn(self, database: str = DATABASE) -> str:
        folder = quote(str(self._socket_folder), safe="/")
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={folder}&port={PORT}"

    @property
    def pid(self) -> int:
        """The server's main process."""
        return self._pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None if self._process else is_server(self._pid, self._cluster)

    def stop(self) -> None:
        """Shut down in order (open transactions are rolled back) and give up ownership. Does nothing when attached."""
        if self.attached:
            return
        self._shut_down()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def restart(self, *, patience: float = 300.0) -> None:
        """Stop if running, then start on the same data. Only the owner may."""
        _require_main_thread()
        if self._lock is None or self._binaries is None:
            raise RuntimeError("only the process that owns a running server can restart it")
        self._shut_down()
        self._launch(self._binaries, time.monotonic() + patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _enter(self, explicit: Path | None, *, durable: bool, deadline: float) -> None:
        """Become the owner, or attach to a living owner's server; an owner that dies while we wait is succeeded."""
        while (lock := try_lock(self.home / "owner.lock")) is None:
            found = PidFile.read(self._cluster)
            if found is not None and found.answers():
                self.attached, self._pid, self._socket_folder = True, found.pid, found.socket_folder
                return
            if time.monotonic() > deadline:
                raise self._unavailable(
                    "another process owns this data folder, and its server does not become ready", 0
                )
            time.sleep(0.02)
        try:
            end_orphan(self._cluster, deadline)
            self._binaries = find_binaries(
                explicit, self._account, cluster_major=cluster_major(self._cluster), copies=self.home
            )
            if not self._cluster.exists():
                self._initialise(self._binaries, durable=durable)
            self._launch(self._binaries, deadline)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def _initialise(self, binaries: Binaries, *, durable: bool) -> None:
        """Create the cluster aside and rename it into place, so that a half-made one is never mistaken for data."""
        fresh = self.home / "cluster.new"
        sync = [] if durable else ["--no-sync"]
        for locale in ("C.UTF-8", "C"):  # the second for systems without the first: case folding is ASCII-only there
            shutil.rmtree(fresh, ignore_errors=True)
            unicode_rules = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if binaries.major >= 17 else []
            access = ["--no-instructions", "-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject"]
            text = ["-E", "UTF8", f"--locale={locale}", *unicode_rules]
            command = [str(binaries.folder / "initdb"), "-D", str(fresh), *access, *text, *sync]
            made = run_as(self._account, command)
            if made.returncode == 0:
                break
        else:
            raise PostgresUnavailable(
                f"creating the database cluster failed:\n{_tail(made.stderr or made.stdout)}",
                f"repair what the message names, or {USE_A_SERVER}",
            )
        fsync = f"fsync={'on' if durable else 'off'}"
        alone = [str(binaries.folder / "postgres"), "--single", "-D", str(fresh), "-c", fsync, "postgres"]
        created = run_as(self._account, alone, stdin=f"CREATE DATABASE {DATABASE}\n")
        if created.returncode != 0 or "ERROR" in created.stderr:
            raise PostgresUnavailable(
                f"creating the database failed:\n{_tail(created.stderr)}",
                f"repair what the message names, or {USE_A_SERVER}",
            )
        fresh.rename(self._cluster)
        sync_folder(self.home)

    def _launch(self, binaries: Binaries, deadline: float) -> None:
        self._socket_folder = socket_folder(self.home, self._account)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_KEPT:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        while True:
            for leftover in (SOCKET, f"{SOCKET}.lock"):  # ours to remove: we own the data, and no server of it is alive
                (self._socket_folder / leftover).unlink(missing_ok=True)
            with open(self.log_file, "ab", opener=_not_through_a_link) as log:
                log_start = log.tell()
                self._process = self._spawn(binaries, log.fileno())
            self._pid = self._process.pid
            if self._wait_ready(self._process, deadline):
                return
            ended = self._process.poll() is not None
            self._shut_down()
            # After a kill -9 of the server alone its children need a moment to notice; until then the data is guarded.
            if ended and "still in use" in self._log_since(log_start) and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise self._unavailable(
                "PostgreSQL ended at once" if ended else "PostgreSQL did not become ready", log_start
            )

    def _spawn(self, binaries: Binaries, log: int) -> subprocess.Popen[bytes]:
        command: list[str | Path] = [binaries.folder / "postgres", "-D", self._cluster, *self._options]
        command += ["-c", f"unix_socket_directories={_as_setting(self._socket_folder)}"]
        if not KERNEL_SIGNALS_ORPHANS:
            command = ["/bin/sh", "-c", WATCHED, "sh", *command]
        return subprocess.Popen(  # noqa: S603 - our own argument list, no shell
            command,
            user=self._account.uid if self._account else None,
            group=self._account.gid if self._account else None,
            extra_groups=[] if self._account else None,
            cwd="/",
            env=server_environment(),
            stdin=subprocess.DEVNULL if KERNEL_SIGNALS_ORPHANS else subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is for us; we then stop the server after its clients
            preexec_fn=_end_with_parent() if KERNEL_SIGNALS_ORPHANS else None,
        )

    def _wait_ready(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        while process.poll() is None and time.monotonic() < deadline:
            state = PidFile.read(self._cluster)
            if state is not None and state.pid == process.pid and state.answers():
                return True
            time.sleep(0.01)
        return False

    def _shut_down(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for how, seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            process.send_signal(how)  # fast; then without a checkpoint; then by force: the next start recovers
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        if process.stdin:
            process.stdin.close()

    def _log_since(self, position: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(position)
            return log.read().decode(errors="replace")

    def _unavailable(self, reason: str, log_start: int) -> PostgresUnavailable:
        log = _tail(self._log_since(log_start)) if self.log_file.exists() else ""
        return PostgresUnavailable(
            f"{reason}; {self.log_file} ends with:\n{log}", f"repair what it names, or {USE_A_SERVER}"
        )


def _require_main_thread() -> None:
    # The kernel's parent-death signal fires when the *thread* that forked ends, not the process.
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the embedded PostgreSQL has to be started from the main thread")


def _as_setting(folder: Path) -> str:
    """A folder as one element of a list setting, whatever characters it holds."""
    return '"' + str(folder).replace('"', '""') + '"'


def _end_with_parent() -> Callable[[], None]:
    """What the child does between fork and exec so that the kernel tells it to stop when we are gone."""
    libc = ctypes.CDLL(None)  # loaded before the fork: afterwards only async-signal-safe work is sound
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # we died between the fork and the call
            os._exit(1)

    return arrange


def _not_through_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)  # root must not be led elsewhere by the server's account


def _tail(log: str) -> str:
    return "\n".join(log.strip().splitlines()[-20:])
