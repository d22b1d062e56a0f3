"""Hands out a file to whoever shows a signed link. The one route that needs no log-in: the link is the permission.

What a stranger sent is never trusted with our origin: only pictures, sound and films are shown, all else is a download;
no sniffing, and a sandbox without scripts around whatever a browser may still make of it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from inbox.kernel.boundary import problem_response
from inbox.kernel.errors import Forbidden, InboxError, MethodNotAllowed, NotFound
from inbox.media.content import name_for, shown_inline
from inbox.media.links import Links
from inbox.media.repository import StoredFile
from inbox.media.service import Media, StoreAway
from inbox.media.store import NoSuchObject, Store, StoreError

PATH: Final = "/media/{workspace_id}/{media_id}"
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    # Opened by itself, a picture or a film is a small page of the browser's: that much is allowed.
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src 'self'; media-src 'self'",
    "Referrer-Policy": "no-referrer",
    "Accept-Ranges": "bytes",
}


class LinkRefused(Forbidden):
    """Made elsewhere, changed, or past its time: which of them is not said."""

    code = "media_link_refused"


class FileGone(NotFound):
    """The link is good, the file is not here any more."""

    code = "media_gone"


class MediaEndpoint:
    def __init__(self, media: Media, store: Store, links: Links) -> None:
        self._media = media
        self._store = store
        self._links = links

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except InboxError as error:
            response = problem_response(scope, error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(["GET", "HEAD"])
        workspace_id, media_id = _ids(request)
        query = request.query_params
        left = self._links.opens(workspace_id, media_id, query.get("expires"), query.get("signature"))
        if left is None:
            raise LinkRefused("this link is not valid, or its time is over")
        file = await self._media.find_stored(workspace_id, media_id)
        if file is None:
            raise FileGone("this file is not kept any more")
        headers = _headers(file, left)
        if headers["ETag"] in _tags(request.headers.get("if-none-match")):
            return Response(status_code=304, headers=headers)
        return await self._respond(request, file, headers)

    async def _respond(self, request: Request, file: StoredFile, headers: dict[str, str]) -> Response:
        wanted = request.headers.get("range")
        if wanted is not None and request.headers.get("if-range") not in (None, headers["ETag"]):
            wanted = None  # what the client has a part of is not this file
        part = _part(wanted, file.size)
        if part is None:
            return Response(status_code=416, headers=_SAFE | {"Content-Range": f"bytes */{file.size}"})
        start, end = part
        status = 206 if wanted is not None and _RANGE.fullmatch(wanted) else 200
        headers["Content-Length"] = str(end - start)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        media_type = file.mime_type if shown_inline(file.mime_type) or _harmless(file) else "application/octet-stream"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=media_type)
        chunks = await self._opened(file, start, end)
        return StreamingResponse(chunks, status, headers, media_type)

    async def _opened(self, file: StoredFile, start: int, end: int) -> AsyncIterator[bytes]:
        """The stream with its first piece already here: a store that is away shows while there is still a status."""
        chunks = self._store.read(file.store_key, start, end)
        try:
            first = await anext(chunks, b"")
        except NoSuchObject:
            raise FileGone("this file is not kept any more") from None
        except StoreError:
            raise StoreAway("the file cannot be read now", retry_after=5) from None

        async def whole() -> AsyncIterator[bytes]:
            yield first
            async for chunk in chunks:
                yield chunk

        return whole()


def _ids(request: Request) -> tuple[UUID, UUID]:
    try:
        return UUID(request.path_params["workspace_id"]), UUID(request.path_params["media_id"])
    except ValueError:
        raise LinkRefused("this link is not valid, or its time is over") from None


def _headers(file: StoredFile, seconds: int) -> dict[str, str]:
    way = "inline" if shown_inline(file.mime_type) else "attachment"
    return {
        **_SAFE,
        "ETag": f'"{file.sha256.hex()}"',
        "Cache-Control": f"private, max-age={seconds}, immutable",
        "Content-Disposition": disposition(way, file.filename or name_for(file.kind, file.mime_type)),
    }


def disposition(way: str, name: str) -> str:
    """RFC 6266: a plain name for old clients, and the whole one."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"{way}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _harmless(file: StoredFile) -> bool:
    """Downloads that keep their type, because a program that opens it wants it; never one that a browser runs."""
    return file.mime_type in ("application/pdf", "text/plain", "text/csv") or file.mime_type.startswith(
        ("application/vnd.openxmlformats-", "application/vnd.oasis.", "application/zip")
    )


def _tags(header: str | None) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in header.split(",")] if header else []


def _part(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end of what is wanted; all of it where the header asks for what is not understood (RFC 9110, 14.2).

    ``None``: nothing of the file is in the range.
    """
    match = _RANGE.fullmatch(header) if header is not None else None
    if match is None or (not match[1] and not match[2]):
        return 0, size
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
    return (start, end) if start < end else None
