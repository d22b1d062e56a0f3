"""The body of an upload, raw or as a form, in pieces: read within the limit and never held in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from inbox.kernel.errors import Invalid, TooLarge
from inbox.media.content import bare

_CHUNK: Final = 256 * 1024
_FORM: Final = "multipart/form-data"
_AROUND: Final = 64 * 1024
"""Bytes of a form beside the file itself."""


@dataclass(frozen=True, slots=True)
class Upload:
    chunks: AsyncIterator[bytes]
    claimed: str | None
    filename: str | None


@asynccontextmanager
async def opened(request: Request, *, limit: int) -> AsyncIterator[Upload]:
    """Raises ``TooLarge`` as soon as it shows, ``Invalid`` for a form without one file, ``ClientDisconnect``."""
    content_type = bare(request.headers.get("content-type"))
    if content_type != _FORM:
        _check_length(request, limit)
        yield Upload(request.stream(), content_type, None)
        return
    _check_length(request, limit + _AROUND)
    file = await _form_file(request, limit)
    try:
        yield Upload(_pieces(file), bare(file.content_type), file.filename or None)
    finally:
        await file.close()


async def _form_file(request: Request, limit: int) -> UploadFile:
    stream = _within(request.stream(), limit + _AROUND, limit)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=8, max_part_size=_AROUND)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Invalid.at("/body", error.message, "form") from None
    for _, value in form.multi_items():
        if isinstance(value, UploadFile):
            return value
    raise Invalid.at("/body/file", "the form holds no file", "missing")


async def _within(chunks: AsyncIterator[bytes], most: int, limit: int) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise _too_large(limit)
        yield chunk


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(_CHUNK):
        yield chunk


def _check_length(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a file may hold at most {limit} bytes", limit=limit)
