"""What one call of the HTTP client sends: its address, headers and body, checked and shaped before anything leaves."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlencode

import aiohttp
import orjson

from inbox.kernel.http_errors import Exchange, Refused

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_OUR_HEADERS: Final = frozenset({"connection", "content-length", "host", "te", "transfer-encoding", "upgrade"})
_LARGE_BODY: Final = 512 * 1024


class FilePart(Protocol):
    """One file of a multipart request."""

    @property
    def name(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def data(self) -> bytes: ...


Body: TypeAlias = bytes | io.BytesIO | aiohttp.FormData | None


@dataclass(frozen=True, slots=True)
class Call:
    """`total` and `silence` in seconds: for the whole exchange, and between two pieces of the answer."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    data: Body = field(repr=False)
    total: float
    silence: float | None
    max_bytes: int


def with_query(url: str, query: Mapping[str, str] | None) -> str:
    """The URL with these added to its query, in front of its fragment."""
    if not query:
        return url
    bare, hash_sign, fragment = url.partition("#")
    return f"{bare}{'&' if '?' in bare else '?'}{urlencode(query)}{hash_sign}{fragment}"


def check_headers(headers: Mapping[str, str], exchange: Exchange) -> None:
    """Raises `Refused`."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise Refused(exchange.origin, "header with a character that HTTP forbids")
        if name.lower() in _OUR_HEADERS:
            raise Refused(exchange.origin, f"header {name.lower()} is not the caller's to set")


def payload(
    head: dict[str, str], json: object, form: Mapping[str, str] | None, files: Sequence[FilePart], body: bytes | None
) -> Body:
    """The body, with its content type added to `head`. Raises `ValueError` for more than one body."""
    if sum((json is not None, form is not None or bool(files), body is not None)) > 1:
        raise ValueError("a request has one body: json, form (with files) or bytes")
    if files:
        parts = aiohttp.FormData(quote_fields=False)
        for name, value in (form or {}).items():
            parts.add_field(name, value)
        for file in files:
            # As a file object, since large bytes would be written in one piece.
            parts.add_field(file.name, io.BytesIO(file.data), filename=file.filename, content_type=file.content_type)
        return parts
    if json is not None:
        body, content_type = orjson.dumps(json), "application/json"
    elif form is not None:
        body, content_type = urlencode(form).encode(), "application/x-www-form-urlencoded"
    elif body is not None:
        content_type = "application/octet-stream"
    else:
        return None
    if not any(name.lower() == "content-type" for name in head):
        head["Content-Type"] = content_type
    return io.BytesIO(body) if len(body) > _LARGE_BODY else body
