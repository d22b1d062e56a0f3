"""Streaming a file of Meta. The token goes along only to hosts of Meta (or the configured stand-in), never elsewhere:
the link came out of a message's data, and whoever could forge one would collect tokens.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from channels.adapter import Http, HttpStream
from channels.errors import FetchError
from channels.types import Account, Fault

_HOSTS: Final = (".facebook.com", ".fbsbx.com", ".fbcdn.net", ".whatsapp.net", ".whatsapp.com")

_HOST_NAME: Final = re.compile(r"[a-z0-9.-]+")

_NO_LINK: Final = Fault("not_found", "Meta named no link to the file.")
_REFUSED: Final = {
    401: Fault("token_invalid", "The access token does not open the file.", reauthorise=True),
    403: Fault("permission_missing", "The connected account may not read the file."),
    # The link may just have run out: the next try asks for a new one.
    404: Fault("not_found", "The file is no longer there, or its link has run out.", retryable=True),
    410: Fault("not_found", "The file is no longer there."),
    429: Fault("rate_limited", "Meta asks to slow down.", retryable=True, pauses="channel"),
}


@asynccontextmanager
async def open_file(http: Http, account: Account, url: str | None, *, max_bytes: int) -> AsyncIterator[HttpStream]:
    """The stream of the file at ``url``. Raises ``FetchError`` on entering where it cannot be had."""
    if not url:
        raise FetchError(_NO_LINK)
    headers = {"authorization": f"Bearer {account.token}"} if _may_see_token(url, account) else {}
    async with http.stream("GET", url, headers=headers, max_bytes=max_bytes) as stream:
        if not 200 <= stream.status < 300:
            raise FetchError(_fault(stream.status))
        yield stream


def _may_see_token(url: str, account: Account) -> bool:
    try:
        link, own = urlsplit(url), urlsplit(account.api_base or "")
        if account.api_base and (link.scheme, link.netloc) == (own.scheme, own.netloc):
            return True
        host = link.hostname or ""
        plain = _HOST_NAME.fullmatch(host) is not None  # other characters are read differently by different clients
        return link.scheme == "https" and link.port in (None, 443) and plain and host.endswith(_HOSTS)
    except ValueError:
        return False


def _fault(status: int) -> Fault:
    code = f"http {status}"
    known = _REFUSED.get(status)
    if known is None and status >= 500:
        return Fault("temporary", "Meta could not hand out the file just now.", provider_code=code, retryable=True)
    if known is None:
        return Fault("unknown_error", "Meta did not hand out the file.", provider_code=code)
    return replace(known, provider_code=code)
