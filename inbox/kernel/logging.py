"""Logs as JSON lines for machines or one readable line for terminals, on the standard library's loggers.

Whatever is written has passed redaction, exceptions and tracebacks included. A log call never raises, a record is one
line (text: plus indented traceback lines), so that no content can forge another record.
"""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from time import monotonic
from types import MappingProxyType
from typing import Final, Literal, TextIO

import orjson

from inbox.kernel.redaction import Plain, redact, redact_value, shown

LogFormat = Literal["text", "json"]

IDENTICAL_PER_WINDOW: Final = 10
WINDOW_SECONDS: Final = 30.0
_MOST_REMEMBERED: Final = 2_000

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BARE_FIELD: Final = re.compile(r"[\w.:/@+*-]+")
_NOISY: Final = MappingProxyType({"apscheduler": logging.WARNING, "asyncio": logging.WARNING})
_UVICORN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access")

_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=MappingProxyType({}))


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Add fields to every record written inside, also by tasks that are started there."""
    outer = _context.get()
    _context.set({**outer, **fields})
    try:
        yield
    finally:
        # Set, not reset: an async generator may be closed in another context than it began in.
        _context.set(outer)


def configure(format: LogFormat, level: str | int, stream: TextIO | None = None) -> None:
    """Send every logger's records, uvicorn's and warnings too, to one stream (standard error). May be called again."""
    handler = _Handler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, _Handler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper() if isinstance(level, str) else level)
    for name in _UVICORN:
        # Start uvicorn with log_config=None; otherwise it gives these loggers handlers of its own again.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(True)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: context and extra fields, then time, level, logger, message and exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Plain] = fields_of(record)
        line |= {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(message_of(record)),
        }
        if trace := trace_of(record):
            line["exception"] = trace
        try:
            return orjson.dumps(line).decode()
        except (TypeError, ValueError):  # a lone surrogate, which UTF-8 cannot say
            return orjson.dumps(_encodable(line)).decode()


class TextFormatter(logging.Formatter):
    """`time LEVEL logger message field=value …`, traceback lines indented below."""

    def format(self, record: logging.LogRecord) -> str:
        message = _one_line(redact(message_of(record)))
        fields = "".join(f" {_one_line(name)}={_field(value)}" for name, value in fields_of(record).items())
        line = f"{_time_of(record)} {record.levelname:<7} {record.name}  {message}{' ' if fields else ''}{fields}"
        if trace := trace_of(record):
            line += "".join(f"\n    {_one_line(part)}" for part in trace.splitlines())
        return line


def message_of(record: logging.LogRecord) -> str:
    """The message with its arguments; when they do not fit together, both of them side by side."""
    try:
        return record.getMessage()
    except Exception:
        return f"{shown(record.msg, str)} {shown(record.args)}"


def fields_of(record: logging.LogRecord) -> dict[str, Plain]:
    """Context and extra fields, redacted. The extra of a single call wins."""
    fields = {**_context.get(), **{name: value for name, value in vars(record).items() if name not in _STANDARD}}
    return {str(name): redact_value(value, name=str(name)) for name, value in fields.items()}


def trace_of(record: logging.LogRecord) -> str:
    """Traceback, chained exceptions and stack, redacted; empty when there is none."""
    parts = []
    error = _error_of(record)
    if error is not None:
        # Its own traceback is the same as the record's, and the exception alone cannot be malformed.
        parts.append(shown(error, lambda _: "".join(traceback.format_exception(error)).rstrip()))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(shown(record.stack_info, str))
    return redact("\n".join(parts))


def _error_of(record: logging.LogRecord) -> BaseException | None:
    info: object = record.exc_info
    return info[1] if isinstance(info, tuple) and len(info) == 3 and isinstance(info[1], BaseException) else None


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _one_line(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _field(value: Plain) -> str:
    if isinstance(value, str):
        return value if _BARE_FIELD.fullmatch(value) else _one_line(f'"{value}"')
    return _one_line(shown(value, str))


def _encodable(value: Plain) -> Plain:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_encodable(one) for one in value]
    if isinstance(value, dict):
        return {str(_encodable(name)): _encodable(one) for name, one in value.items()}
    return value


class Repeats:
    """Lets an identical record pass a few times per window, then counts what it leaves out.

    Identical means logger, level, finished message and exception. Not thread-safe: the handler's lock is around it.
    """

    def __init__(
        self, most: int = IDENTICAL_PER_WINDOW, window: float = WINDOW_SECONDS, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most = most
        self._window = window
        self._clock = clock
        self._seen: dict[tuple[object, ...], tuple[int, logging.LogRecord]] = {}
        self._ends = clock() + window

    def admit(self, record: logging.LogRecord) -> list[logging.LogRecord]:
        """What to write now: this record or nothing, and before it what the last window left out."""
        written: list[logging.LogRecord] = []
        if self._clock() >= self._ends or len(self._seen) >= _MOST_REMEMBERED:
            written = [
                _left_out(first, count - self._most) for count, first in self._seen.values() if count > self._most
            ]
            self._seen.clear()
            self._ends = self._clock() + self._window
        error = _error_of(record)
        key = (record.name, record.levelno, message_of(record), type(error), shown(error, str) if error else "")
        count, first = self._seen.get(key, (0, record))
        # Without the exception: it would keep its frames, and all they refer to, alive.
        self._seen[key] = (count + 1, first if count else _bare(record))
        return [*written, record] if count < self._most else written


def _bare(record: logging.LogRecord) -> logging.LogRecord:
    known = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
    return logging.makeLogRecord({**known, "msg": message_of(record)})


def _left_out(first: logging.LogRecord, count: int) -> logging.LogRecord:
    times = "once" if count == 1 else f"{count} times"
    first.msg = f"{first.msg} (left out {times} more)"
    first.__dict__["left_out"] = count
    return first


class _Handler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            written = self._repeats.admit(record)
        except Exception:
            written = [record]
        for one in written:
            super().emit(one)

    def handleError(self, record: logging.LogRecord) -> None:
        # The library's own would print the unredacted arguments. A closed pipe is nobody's to repair from here.
        return
