"""No secret leaves through a log, no input breaks it, and one record stays one line."""

import asyncio
import io
import json
import logging
import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbox.kernel.logging import Repeats, bind, configure
from inbox.kernel.redaction import LONGEST_TEXT, is_secret_name, redact, redact_value
from inbox.kernel.secrets import Secret, new_token

S = "s3cr3tVALUE0123456789abcdefghij"
HEX = "0123456789abcdef" * 4
TELEGRAM = f"7123456789:{'A' * 20}_{'b' * 14}"


# --- redaction of text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {S}",
        f"authorization: Basic {S}==",
        f"Authorization: {S}",
        f"{{'Authorization': 'Bearer {S}', 'x': 1}}",
        f'{{"authorization":"OAuth {S}"}}',
        f"[('Authorization', 'Bearer {S}')]",
        f"(b'authorization', b'Bearer {S}')",
        f"Proxy-Authorization: Digest a={S}, b={S}",
        f"Cookie: session={S}; theme=dark{S}",
        f"Set-Cookie: inbox={S}; HttpOnly",
        f"got bearer {S} from them",
        f"https://api.telegram.org/bot7123456789:{S}/getMe",
        f"https://api.telegram.org/file/bot7123456789:{S}/photos/file_1.jpg",
        f"/bot7123456789%3A{S}/getMe",
        f"token is {TELEGRAM} ok",
        f"https://graph.facebook.com/v25.0/me?access_token={S}&appsecret_proof={HEX}",
        f"GET /webhook?hub.mode=subscribe&hub.verify_token={S}&hub.challenge=1",
        f"/live?ticket={S}",
        f"?key={S}&secret={S}&password={S}&client_secret={S}&api_key={S}&sig={S}&token={S}",
        f"refresh_token={S} fb_exchange_token={S}",
        f'{{"access_token": "{S}", "n": 1}}',
        f'{{"password":"two words {S}"}}',
        f'{{"secret":"quote \\" inside {S}"}}',
        f'{{"body": "{{\\"access_token\\": \\"{S}\\"}}"}}',
        f'{{"signing_secrets": ["{S}", "{S}"]}}',
        f'{{"token": 7{"1" * 20}}}'.replace("7" + "1" * 20, S),
        f"{{'verify_token': '{S}'}}",
        f"Account(password='{S}')",
        f"clientSecret={S} apiKey={S} accessToken={S}",
        f"password: {S}",
        f"access_token: {S}",
        f"X-Hub-Signature-256: sha256={S.encode().hex()}",
        f"x-hub-signature-256: sha256={HEX}",
        f"X-Telegram-Bot-Api-Secret-Token={S}",
        f"'x-telegram-bot-api-secret-token': '{S}'",
        f"postgresql://inbox:{S}@db.internal:5432/inbox",
        f"http://user:{S}@proxy:3128",
        f"ibx_pat_{S}",
        f"url(ibx_pat_{S})",
        f"whsec_{S}",
        f"EAAG{S}{S}",
        f"IGAA{S}{S}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJ{S}.{S}",
        f'"token": "never closed {S}',
    ],
)
def test_secrets_disappear(text: str) -> None:
    shown = redact(text)
    assert S not in shown
    assert HEX not in shown
    assert S.encode().hex() not in shown
    assert TELEGRAM not in shown
    assert "***" in shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            f"POST https://api.telegram.org/bot7123456789:{S}/sendMessage failed",
            "POST https://api.telegram.org/bot7123456789:***/sendMessage failed",
        ),
        (f"/me?access_token={S}&fields=id", "/me?access_token=***&fields=id"),
        (f'{{"token":"{S}","id":5}}', '{"token":"***","id":5}'),
        (f"postgresql://inbox:{S}@db:5432/inbox", "postgresql://***@db:5432/inbox"),
        (f"Authorization: Bearer {S}\nHost: example.com", "Authorization: ***\nHost: example.com"),
        (f"sha256={HEX}", "sha256=***"),
        (f"Bearer {S}", "Bearer ***"),
    ],
)
def test_what_is_left_is_still_of_use(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "conversation 0190a6e2-7b1c-7cc3-98c4-dc0c0c07398f assigned to agent 12",
        "12 tokens left in the bucket of +15551230001",
        "the access token expired (code 190, subcode 463)",
        "KeyError: 'wamid.HBgLMTU1NTEyMzAwMDEVAgARGBI5'",
        '127.0.0.1:51234 - "GET /conversations?after=12&limit=50 HTTP/1.1" 200',
        'File "/srv/inbox/kernel/secrets.py", line 12, in open',
        "primary_key=5 idempotency-key-length=12 keyword=x monkey=y",
        '{"token": null, "sequence": 3}',
        "no signature on the request of 10:15:30",
        "https://example.com:8443/a@b",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


def test_our_own_tokens_are_recognised() -> None:
    for prefix in ("ibx_pat_", "ibx_ticket_"):
        token, _ = new_token(prefix)
        assert redact(f"seen {token}.") == "seen ibx_***."


@given(st.text())
def test_redaction_never_raises_and_is_stable(text: str) -> None:
    shown = redact(text)
    assert redact(shown) == shown


@given(
    st.from_regex(r"\A[A-Za-z0-9]{12,40}\Z"), st.sampled_from(["access_token", "secret", "hub.verify_token", "ticket"])
)
def test_any_value_of_a_secret_parameter_is_hidden(value: str, name: str) -> None:
    for text in (f"/x?a=1&{name}={value}&b=2", json.dumps({"a": 1, name: value}), repr({name: value})):
        assert value not in redact(text)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "token",
        "token=",
        "\\",
        '"',
        '"token',
        "bot1",
        "bot1:",
        "a.",
        "-",
        "eyJaaaaaaaaaaa.",
        "://",
        "://a:",
        "= ",
        "[",
        "'",
        "Bearer ",
    ],
)
def test_time_is_linear(piece: str) -> None:
    small, large = (piece * (size // len(piece)) for size in (LONGEST_TEXT // 8, LONGEST_TEXT))
    assert _seconds(large) < 30 * max(_seconds(small), 0.0005)
    assert _seconds(large) < 1.0


def _seconds(text: str) -> float:
    start = time.perf_counter()
    redact(text)
    return time.perf_counter() - start


def test_very_long_text_is_cut() -> None:
    shown = redact("x" * LONGEST_TEXT + "y" * 10)
    assert shown.endswith("x… (10 more characters)")


# --- redaction of values ----------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class BrokenMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


def _loop() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"token": S, "id": 5}, {"token": "***", "id": 5}),
        ({"deep": [{"Secret": {"a": S}}]}, {"deep": [{"Secret": "***"}]}),
        ({"password": None}, {"password": None}),
        ({"url": f"/x?token={S}"}, {"url": "/x?token=***"}),
        ({1: 2, f"ibx_pat_{S}": 1}, {"1": 2, "ibx_***": 1}),
        ((1, 2.5, True), [1, 2.5, True]),
        (b"secret bytes", "<12 bytes>"),
        (2**70, str(2**70)),
        (UUID(int=1), str(UUID(int=1))),
        (Colour.RED, "red"),
        (Secret(S), "***"),
        (Broken(), "<unprintable Broken: RuntimeError>"),
        (BrokenMapping(), "<unreadable BrokenMapping: RuntimeError>"),
        ({Broken(): 1}, {"<unprintable Broken: RuntimeError>": 1}),
        (_loop(), [[[[[["…"]]]]]]),
    ],
)
def test_values(value: object, plain: object) -> None:
    assert redact_value(value) == plain


def test_names_of_secrets() -> None:
    for name in ("token", "access_token", "appsecret_proof", "Authorization", "x-hub-signature-256", "API_KEY", "key"):
        assert is_secret_name(name), name
    for name in ("message", "tokens_left", "primary_key", "monkey", "tokenizer", ""):
        assert not is_secret_name(name), name


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts the global state of logging back."""
    root = logging.getLogger()
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "apscheduler")
    handlers, level = list(root.handlers), root.level
    states = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, before in states:
        logger.setLevel(before)
        logger.handlers.clear()


Open = Any


@pytest.fixture
def lines(restored: None) -> Open:
    def open_(format: Literal["text", "json"], level: str | int = "info") -> io.StringIO:
        stream = io.StringIO()
        configure(format, level, stream)
        return stream

    return open_


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


log = logging.getLogger("inbox.test")


def test_json_lines(lines: Open) -> None:
    stream = lines("json")
    with bind(request_id="r1", workspace=UUID(int=1)):
        log.info("sent %d to %s", 2, "Ann", extra={"channel": "whatsapp", "token": S})
    log.debug("not shown")
    (entry,) = entries(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {
        "request_id": "r1",
        "workspace": str(UUID(int=1)),
        "channel": "whatsapp",
        "token": "***",
        "level": "info",
        "logger": "inbox.test",
        "message": "sent 2 to Ann",
    }


def test_text_lines(lines: Open) -> None:
    stream = lines("text")
    with bind(channel="whatsapp"):
        log.warning("two words", extra={"text": "a b", "n": 3})
    (line,) = stream.getvalue().splitlines()
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING inbox\.test  two words  channel=whatsapp text="a b" n=3', line
    )


def test_context_nests_and_ends(lines: Open) -> None:
    stream = lines("json")
    with bind(a=1, b=1):
        with bind(b=2, message="not this one"):
            log.info("inner", extra={"a": 3})
        log.info("outer")
    log.info("none")
    inner, outer, none = entries(stream)
    assert (inner["a"], inner["b"], inner["message"]) == (3, 2, "inner")
    assert (outer["a"], outer["b"]) == (1, 1)
    assert "a" not in none


async def test_context_belongs_to_its_task(lines: Open) -> None:
    stream = lines("json")

    async def work(name: str) -> None:
        with bind(task=name):
            await asyncio.sleep(0)
            log.info("at work")

    await asyncio.gather(work("a"), work("b"))
    assert [entry["task"] for entry in entries(stream)] == ["a", "b"]


@pytest.mark.parametrize("format", ["text", "json"])
def test_exceptions_and_their_causes_are_redacted(lines: Open, format: Literal["text", "json"]) -> None:
    stream = lines(format)
    try:
        try:
            raise ValueError(f"https://api.telegram.org/bot1:{S}/x")
        except ValueError as cause:
            raise RuntimeError(f"access_token={S}") from cause
    except RuntimeError:
        log.exception("failed with %s", f"Bearer {S}", stack_info=True)
    written = stream.getvalue()
    assert S not in written
    assert "Bearer ***" in written
    assert "RuntimeError: access_token=***" in written
    assert "bot1:***/x" in written
    assert "Stack (most recent call last)" in written
    if format == "json":
        (entry,) = entries(stream)
        assert entry["exception"].startswith("Traceback")


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_content_forges_a_record(lines: Open, format: Literal["text", "json"]) -> None:
    stream = lines(format)
    forged = "\n2026-01-01T00:00:00.000Z ERROR forged\r\u2028\x1b[31m\x85"
    log.info("a%s", forged, extra={"x": forged, forged: 1})
    try:
        raise ValueError(forged)
    except ValueError:
        log.exception("b")
    starts = [line for line in stream.getvalue().split("\n") if line and not line.startswith("    ")]
    assert len(starts) == 2
    assert all("inbox.test" in line for line in starts)
    assert "\x1b" not in stream.getvalue()


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def _odd_records() -> list[logging.LogRecord]:
    def make(msg: object, *args: object, **more: object) -> logging.LogRecord:
        return logging.makeLogRecord({"name": "odd", "msg": msg, "args": args, "levelname": "INFO", **more})

    return [
        make("%d apples", "three"),
        make("%s %s", 1),
        make("100%"),
        make("%s", Broken()),
        make(Broken()),
        make("%(a)s", {"a": 1}),
        make(b"bytes"),
        make(None),
        make("lone \ud800 surrogate"),
        make("x", extra_field="\udfff"),
        make("x", nan=float("nan"), big=10**400, endless=_loop()),
        make("x", exc_info=(BrokenError, BrokenError(), None)),
        make("x", exc_info=(None, None, None)),
        make("x", exc_info=True),
        make("x", exc_text="from elsewhere", stack_info=Broken()),
        make("x" * 200_000),
    ]


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("number", range(16))
def test_odd_input_is_written_anyway(lines: Open, format: Literal["text", "json"], number: int) -> None:
    stream = lines(format)
    (handler,) = [one for one in logging.getLogger().handlers if getattr(one, "stream", None) is stream]
    handler.handle(_odd_records()[number])
    written = stream.getvalue()
    assert written.endswith("\n")
    written.encode()
    if format == "json":
        assert entries(stream)[0]["logger"] == "odd"


def test_a_broken_stream_shows_no_arguments(lines: Open, capsys: pytest.CaptureFixture[str]) -> None:
    stream = lines("text")
    stream.close()
    log.error("token %s", S)
    assert capsys.readouterr().err == ""


def test_configuring_again_replaces(lines: Open) -> None:
    first, second = lines("json"), lines("text", logging.WARNING)
    log.info("quiet")
    log.warning("loud")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_uvicorn_and_warnings_come_along(lines: Open) -> None:
    access = logging.getLogger("uvicorn.access")
    access.addHandler(logging.StreamHandler(sys.stdout))
    access.propagate = False
    stream = lines("json")
    access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", f"/live?ticket={S}", "1.1", 101)
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted"})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    seen, started, warned = entries(stream)
    assert seen["message"] == '127.0.0.1:5 - "GET /live?ticket=*** HTTP/1.1" 101'
    assert set(started) == {"time", "level", "logger", "message"}
    assert "DeprecationWarning: old" in warned["message"]


# --- repeats ----------------------------------------------------------------------------------------------------------


def test_identical_records_are_counted(lines: Open) -> None:
    stream = lines("json")
    for _ in range(25):
        log.error("the database is away")
    for number in range(25):
        log.error("message %d", number)
    assert sum(entry["message"] == "the database is away" for entry in entries(stream)) == 10
    assert sum(entry["message"].startswith("message") for entry in entries(stream)) == 25


def test_what_was_left_out_is_told_with_the_next_record() -> None:
    now = [0.0]
    repeats = Repeats(most=2, window=10, clock=lambda: now[0])

    def emit(message: str, error: Exception | None = None) -> list[str]:
        record = logging.makeLogRecord(
            {"name": "x", "msg": message, "exc_info": (type(error), error, None) if error else None}
        )
        return [one.getMessage() for one in repeats.admit(record)]

    assert [emit("a") for _ in range(4)] == [["a"], ["a"], [], []]
    assert emit("b", ValueError("1")) == ["b"]
    assert [emit("b", ValueError("2")) for _ in range(3)] == [["b"], ["b"], []]
    now[0] = 10.0
    assert emit("100% new") == ["a (left out 2 times more)", "b (left out once more)", "100% new"]
    assert emit("a") == ["a"]


def test_memory_of_repeats_is_bounded() -> None:
    repeats = Repeats(clock=lambda: 0.0)
    for number in range(10_000):
        with suppress(ValueError):
            repeats.admit(logging.makeLogRecord({"name": "x", "msg": f"message {number}"}))
    assert len(repeats._seen) <= 2_000
