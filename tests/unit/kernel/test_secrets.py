"""Sealing is bound to its place, keys are made once, tokens and passwords are kept as digests."""

import asyncio
import hashlib
import os
import pickle
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from inbox.kernel.secrets import (
    BadKey,
    CannotOpen,
    Passwords,
    Secret,
    SecretBox,
    equal,
    load_or_create_key,
    new_token,
    token_digest,
)

OLD, NEW = b"o" * 32, b"n" * 32
PLACE: dict[str, Any] = {"table": "channels", "row": UUID(int=1), "column": "token"}


@pytest.fixture
def box() -> SecretBox:
    return SecretBox({"2026": NEW}, "2026")


@pytest.mark.parametrize("plain", [b"", b"\x00\xff", b"x" * 100_000])
def test_opens_what_it_sealed(box: SecretBox, plain: bytes) -> None:
    assert box.open(box.seal(plain, **PLACE), **PLACE) == plain


def test_text_comes_back_as_a_secret(box: SecretBox) -> None:
    opened = box.open_text(box.seal("päss", **PLACE), **PLACE)
    assert opened.reveal() == "päss"
    assert str(opened) == "***"
    with pytest.raises(CannotOpen, match="not text"):
        box.open_text(box.seal(b"\xff", **PLACE), **PLACE)


def test_the_same_value_is_sealed_differently_each_time(box: SecretBox) -> None:
    assert box.seal("x", **PLACE) != box.seal("x", **PLACE)
    assert b"very secret" not in box.seal("very secret", **PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"table": "agents"},
        {"row": UUID(int=2)},
        {"column": "other"},
        {"table": "channel", "row": f"s{UUID(int=1)}"},  # the same letters, divided in another place
    ],
)
def test_does_not_open_elsewhere(box: SecretBox, elsewhere: dict[str, object]) -> None:
    sealed = box.seal("x", **PLACE)
    with pytest.raises(CannotOpen, match="another place"):
        box.open(sealed, **{**PLACE, **elsewhere})


def test_any_changed_byte_is_noticed(box: SecretBox) -> None:
    sealed = box.seal("secret", **PLACE)
    for at in range(len(sealed)):
        damaged = sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]
        with pytest.raises(CannotOpen):
            box.open(damaged, **PLACE)


@pytest.mark.parametrize("size", range(40))
def test_any_cut_is_noticed(box: SecretBox, size: int) -> None:
    sealed = box.seal("secret", **PLACE)
    assert len(sealed) == 40
    with pytest.raises(CannotOpen) as caught:
        box.open(sealed[:size], **PLACE)
    assert caught.value.__cause__ is None


def test_rotation() -> None:
    sealed = SecretBox({"old": OLD}, "old").seal("x", **PLACE)
    ring = SecretBox({"old": OLD, "new": NEW}, "new")
    assert ring.open(sealed, **PLACE) == b"x"
    assert not ring.is_current(sealed)
    again = ring.seal(ring.open(sealed, **PLACE), **PLACE)
    assert ring.is_current(again)
    only_new = SecretBox({"new": NEW}, "new")
    assert only_new.open(again, **PLACE) == b"x"
    with pytest.raises(CannotOpen, match="not in the ring"):
        only_new.open(sealed, **PLACE)


@pytest.mark.parametrize(
    ("keys", "active"),
    [
        ({}, "a"),
        ({"a": b"short"}, "a"),
        ({"a": NEW}, "b"),
        ({"ä": NEW}, "ä"),
        ({"": NEW}, ""),
        ({"a" * 65: NEW}, "a" * 65),
    ],
)
def test_bad_rings_are_refused(keys: dict[str, bytes], active: str) -> None:
    with pytest.raises(BadKey):
        SecretBox(keys, active)


def test_nothing_shows_keys_or_secrets(box: SecretBox) -> None:
    secret = Secret("hunter2")
    shown = [repr(box), repr(secret), str(secret), f"{secret:>5}", f"{[secret]}", "%s" % secret]  # noqa: UP031
    assert not any("hunter2" in text or "nnnn" in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")


# --- the key file -----------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    before = os.umask(0)
    try:
        key = load_or_create_key(path)
    finally:
        os.umask(before)
    assert len(key) == 32
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]
    assert load_or_create_key(tmp_path / "other") != key


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_or_create_key(path), range(64)))
    assert len(keys) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "ключ"])
def test_a_damaged_key_file_is_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content, "utf-8")
    path.chmod(0o600)
    with pytest.raises(BadKey, match="does not hold a key"):
        load_or_create_key(path)
    assert path.read_text("utf-8") == content


def test_a_key_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    load_or_create_key(path)
    path.chmod(0o640)
    with pytest.raises(BadKey, match="0600"):
        load_or_create_key(path)


# --- tokens and passwords ---------------------------------------------------------------------------------------------


def test_tokens() -> None:
    token, digest = new_token("ibx_pat_")
    assert token.startswith("ibx_pat_")
    assert len(token) == len("ibx_pat_") + 43
    assert digest == hashlib.sha256(token.encode()).digest() == token_digest(token)
    assert new_token("ibx_pat_")[0] != token
    assert len(token_digest("\ud800")) == 32  # whatever a client sends is looked up, not an error
    for prefix in ("pat_", "ibx_pat", ""):
        with pytest.raises(ValueError, match="prefix"):
            new_token(prefix)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("ä", "ä", True),
        ("a", b"a", True),
        ("", "a", False),
        ("\ud800", "a", False),
    ],
)
def test_equal(one: str, other: str | bytes, same: bool) -> None:
    assert equal(one, other) is same


async def test_passwords() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify("correct horse", hashed)
    assert not await passwords.verify("correct hors", hashed)
    assert not await passwords.verify("correct horse", "not a hash")
    assert not await passwords.verify("correct horse", None)
    assert not passwords.needs_rehash(hashed)
    assert passwords.needs_rehash("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA")
    assert passwords.needs_rehash("not a hash")
    assert await passwords.verify("\ud800", await passwords.hash("\ud800"))


async def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("x")

    async def seconds(against: str | None) -> float:
        start = time.perf_counter()
        await passwords.verify("wrong", against)
        return time.perf_counter() - start

    known = min([await seconds(hashed) for _ in range(5)])
    unknown = min([await seconds(None) for _ in range(5)])
    assert 0.4 < unknown / known < 2.5


async def test_the_loop_goes_on_while_hashing() -> None:
    passwords = Passwords()
    work = asyncio.create_task(passwords.hash("x"))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 2
    await work


async def test_a_burst_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0

    def slow(password: bytes, hashed: str | None) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return False

    monkeypatch.setattr("inbox.kernel.secrets._verify", slow)
    passwords = Passwords(at_once=2)
    await asyncio.gather(*(passwords.verify("x", None) for _ in range(8)))
    assert most == 2
