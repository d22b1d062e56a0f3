"""Where an embedded PostgreSQL lives: its folder, its socket's folder, and what its pid file tells.

Modes and owners of folders that are not ours are never changed; where the server's account cannot go, another place is
chosen.
"""

import hashlib
import os
import signal
import socket
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from inbox.kernel.postgres_binaries import Account, PostgresUnavailable, can_enter, run_as, server_account

if sys.platform != "win32":
    import fcntl

PORT = 5432  # only names the socket file; nothing listens on TCP
SOCKET = f".s.PGSQL.{PORT}"
SOCKET_PATH_LIMIT = 107  # bytes, sockaddr_un without its terminating zero
RELOCATED = Path("/var/lib/omnichannel-inbox")
"""Home of the cluster when root's data folder lies where the server's account cannot go."""


@dataclass(frozen=True, slots=True)
class PidFile:
    """What ``postmaster.pid`` says: the server's process, where its socket is, and how far it has come."""

    pid: int
    socket_folder: Path
    status: str

    @classmethod
    def read(cls, cluster: Path) -> Self | None:
        try:
            lines = (cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if not lines or not lines[0].strip().isdigit():
            return None
        lines += [""] * (8 - len(lines))  # the server writes it line by line while it starts
        return cls(int(lines[0]), Path(lines[4]), lines[7].strip())

    def answers(self) -> bool:
        if self.status != "ready":
            return False
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(5)
                probe.connect(str(self.socket_folder / SOCKET))
        except OSError:
            return False
        return True


def pointer(data_folder: Path) -> Path:
    return data_folder / "postgres.location"


def settle(data_folder: Path) -> tuple[Path, Account | None]:
    """Where the cluster lives and who runs it. Modes of folders that are not ours stay as they are."""
    data_folder.mkdir(parents=True, exist_ok=True)
    home = data_folder / "postgres"
    if pointer(data_folder).exists():
        home = Path(pointer(data_folder).read_text().strip())
        if not (home / "cluster").exists():
            raise PostgresUnavailable(
                f"{pointer(data_folder)} says that the data is in {home}, and there is none",
                f"bring {home} back, or remove that file to begin with an empty database",
            )
    account = server_account(home / "cluster")
    if account is not None and home.parent == data_folder and not can_enter(account, data_folder):
        home = RELOCATED / hashlib.sha256(os.fsencode(data_folder)).hexdigest()[:16]
        account = server_account(home / "cluster")
        RELOCATED.mkdir(mode=0o711, parents=True, exist_ok=True)
    if not home.exists():
        home.mkdir(mode=0o700)
        if account is not None:
            os.chown(home, account.uid, account.gid)
    return home, account


def try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def cluster_major(cluster: Path) -> int | None:
    version = cluster / "PG_VERSION"
    return int(version.read_text()) if version.exists() else None


def is_server(pid: int, cluster: Path) -> bool:
    """Whether ``pid`` is this cluster's server: after a reboot or in a new container the number may be anybody's."""
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return os.fsencode(cluster) in arguments
    shown = run_as(None, ["ps", "-ww", "-p", str(pid), "-o", "command="]).stdout
    return f"-D {cluster} " in shown


def end_orphan(cluster: Path, deadline: float) -> None:
    """End a server that outlived its owner, and clear a pid file whose number now belongs to a stranger.

    Called with the owner's lock held, so nobody living depends on that server.
    """
    found = PidFile.read(cluster)
    if found is None:
        return
    if not is_server(found.pid, cluster):
        if _exists(found.pid):  # the server itself would take the stranger for a running server and refuse
            (cluster / "postmaster.pid").unlink(missing_ok=True)
        return
    os.kill(found.pid, signal.SIGINT)
    while is_server(found.pid, cluster):
        if time.monotonic() > deadline:
            raise PostgresUnavailable(
                f"a server left over from an earlier run (process {found.pid}) does not end", "end it by hand"
            )
        time.sleep(0.02)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def socket_folder(home: Path, account: Account | None) -> Path:
    """A private folder for the socket: in our home, or in the temporary one where that path cannot be connected to."""
    folder = home / "run"
    too_long = len(os.fsencode(folder / SOCKET)) > SOCKET_PATH_LIMIT
    if too_long or "," in str(folder):  # clients take a comma in the host for a list of hosts
        uid = account.uid if account else os.geteuid()
        folder = Path(tempfile.gettempdir(), f"inbox-{uid}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}")
    try:
        folder.mkdir(mode=0o700)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        owner = folder.lstat()
        expected = account.uid if account else os.geteuid()
        # Anyone can create names below the temporary folder: never put the socket into a stranger's.
        if not stat.S_ISDIR(owner.st_mode) or owner.st_uid != expected or owner.st_mode & 0o077:
            raise PostgresUnavailable(f"{folder} is not a private folder of ours", "remove it") from None
    return folder


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
