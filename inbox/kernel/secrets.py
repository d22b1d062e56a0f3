"""Secrets at rest and in hand: encryption bound to its place, tokens kept as digests, passwords as Argon2 hashes.

A sealed value opens only in the table, row and column it was sealed for, so ciphertexts cannot be swapped between rows.
No error here carries a secret, a key or a part of either.
"""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, Generic, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_FORMAT: Final = 1
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_TOKEN_BYTES: Final = 32
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

T = TypeVar("T")


class SecretError(Exception):
    """Base of what this module raises."""


class CannotOpen(SecretError):
    """A sealed value that was damaged, moved to another place, or sealed with a key that is not in the ring."""


class BadKey(SecretError):
    """A key file or key ring that must not be used."""


class Secret(Generic[T]):
    """Holds a value that must not be shown. Only `reveal()` gives it out; text, logs and errors show `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = self._value, other._value
        if isinstance(mine, str) and isinstance(theirs, str):
            return equal(mine, theirs)
        return bool(mine == theirs)

    __hash__ = None  # type: ignore[assignment]  # a hash in a set or a dict would be a trace of the value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


# --- encryption at rest -----------------------------------------------------------------------------------------------


class SecretBox:
    """Seals values for one place in the database (AES-256-GCM).

    `keys` maps a key id to 32 bytes; `active` is the one that seals. Rotation: add a key, make it active, re-seal the
    rows for which `is_current` is false, remove the old key.
    Layout: format (1 byte) · length of key id (1) · key id · nonce (12) · ciphertext and tag.
    """

    __slots__ = ("_active", "_ciphers", "_roots")

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        if active not in keys:
            raise BadKey("the active key is not in the ring")
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise BadKey("a key id has 1 to 64 letters, digits, dots, dashes or underscores")
            if len(key) != KEY_BYTES:
                raise BadKey(f"a key has not {KEY_BYTES} bytes")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._roots = {
            key_id: hmac.digest(key, b"root of derived keys", hashlib.sha256) for key_id, key in keys.items()
        }
        self._active = active

    def __repr__(self) -> str:
        return f"SecretBox(keys={sorted(self._ciphers)}, active={self._active!r})"

    def seal(self, plain: bytes | str, *, table: str, row: object, column: str) -> bytes:
        """Encrypt for one place. `row` is the primary key; its text form is bound in."""
        data = plain.encode() if isinstance(plain, str) else plain
        head = _head(self._active)
        nonce = os.urandom(_NONCE_BYTES)
        return head + nonce + self._ciphers[self._active].encrypt(nonce, data, _bound(head, table, row, column))

    def open(self, sealed: bytes, *, table: str, row: object, column: str) -> bytes:
        """The plain bytes; raises `CannotOpen`."""
        key_id, size = _key_id_of(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CannotOpen("sealed with a key that is not in the ring")
        nonce, data = sealed[size : size + _NONCE_BYTES], sealed[size + _NONCE_BYTES :]
        with suppress(InvalidTag):
            return cipher.decrypt(nonce, data, _bound(sealed[:size], table, row, column))
        raise CannotOpen("damaged, or sealed for another place")

    def open_text(self, sealed: bytes, *, table: str, row: object, column: str) -> Secret[str]:
        """As `open`, for a value that was sealed as text."""
        plain = self.open(sealed, table=table, row=row, column=column)
        with suppress(UnicodeDecodeError):
            return Secret(plain.decode())
        raise CannotOpen("not text")

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """A key of its own for each purpose (HMAC-SHA256), out of every key of the ring, the active one first."""
        ids = sorted(self._roots, key=lambda key_id: (key_id != self._active, key_id))
        return tuple(hmac.digest(self._roots[key_id], purpose.encode(), hashlib.sha256) for key_id in ids)

    def is_current(self, sealed: bytes) -> bool:
        """Whether the active key sealed this; otherwise it is due to be sealed again."""
        return _key_id_of(sealed)[0] == self._active


def _head(key_id: str) -> bytes:
    return bytes((_FORMAT, len(key_id))) + key_id.encode("ascii")


def _key_id_of(sealed: bytes) -> tuple[str, int]:
    size = 2 + sealed[1] if len(sealed) > 1 and sealed[0] == _FORMAT else 0
    if not size or len(sealed) < size + _NONCE_BYTES + _TAG_BYTES:
        raise CannotOpen("not a sealed value")
    return sealed[2:size].decode("ascii", "replace"), size


def _bound(head: bytes, table: str, row: object, column: str) -> bytes:
    # Lengths go in, so that ("a", "bc") and ("ab", "c") are different places.
    parts = [head, table.encode(), str(row).encode(), column.encode()]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def load_or_create_key(path: Path) -> bytes:
    """The 32 bytes in this file, made on first use, readable by the owner only (mode 0600).

    Safe when several processes start at once: the file appears complete or not at all, and the first one wins.
    """
    with suppress(FileNotFoundError):
        return _read_key(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp makes it 0600
            file.write(secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)  # unlike a rename, never replaces a key that is already in use
    finally:
        os.unlink(name)
    _sync_folder(path.parent)
    return _read_key(path)


def _sync_folder(folder: Path) -> None:
    # Until the folder is on disk a power cut could lose the key but keep what was sealed with it.
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_key(path: Path) -> bytes:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise BadKey(f"the key file {path.name} is open to others; its mode must be 0600")
    key = b""
    with suppress(ValueError):
        key = bytes.fromhex(path.read_text("ascii").strip())
    if len(key) != KEY_BYTES:
        raise BadKey(f"the key file {path.name} does not hold a key")
    return key


# --- tokens -----------------------------------------------------------------------------------------------------------


def new_token(prefix: str) -> tuple[str, bytes]:
    """A token of 256 random bits to hand out once, and the SHA-256 digest to keep. `prefix` starts with `ibx_`.

    The prefix lets log redaction and secret scanners recognise a token; the digest needs no salt, for the token
    cannot be guessed.
    """
    if not prefix.startswith("ibx_") or not prefix.endswith("_"):
        raise ValueError("a token prefix looks like ibx_<kind>_")
    token = prefix + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, token_digest(token)


def token_digest(token: str) -> bytes:
    """What a token is looked up by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def equal(one: str | bytes, other: str | bytes) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(_as_bytes(one), _as_bytes(other))


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


# --- passwords --------------------------------------------------------------------------------------------------------

# OWASP's second choice for Argon2id: as strong as the library's default of 64 MiB and three times cheaper to ask for.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Each hash holds 19 MiB and a core: a burst of logins waits here instead of filling the memory.
_AT_ONCE: Final = 4


class Passwords:
    """Argon2id in threads, so that the event loop goes on, with a bound on how many run at once."""

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        self._slots = asyncio.Semaphore(at_once)

    async def hash(self, password: str) -> str:
        async with self._slots:
            return await asyncio.to_thread(_HASHER.hash, _as_bytes(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether it matches. Pass `None` for an unknown user: the answer is no, in the same time as for any other."""
        async with self._slots:
            return await asyncio.to_thread(_verify, _as_bytes(password), hashed)

    @staticmethod
    def needs_rehash(hashed: str) -> bool:
        """Whether the cost parameters changed since; hash again at the next successful login."""
        try:
            return _HASHER.check_needs_rehash(hashed)
        except InvalidHashError:
            return True


@cache
def _nobody() -> str:
    return _HASHER.hash(secrets.token_bytes(16))


def _verify(password: bytes, hashed: str | None) -> bool:
    nobody = _nobody()  # asked for in every case: making it once must not tell either
    try:
        matches = _HASHER.verify(nobody if hashed is None else hashed, password)
    except (VerificationError, InvalidHashError):
        return False
    return matches and hashed is not None
