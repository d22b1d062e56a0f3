"""What can go wrong on the way out, as facts to decide on.

    HttpError             origin, reason, sent, status
    ├── Refused           the guard or a limit of ours forbids the call
    ├── ConnectFailed     no connection: name, network, TLS. Nothing was sent, a retry is safe
    ├── TimedOut          `sent` tells whether the request had begun to leave
    ├── Broken            the connection or the answer broke off; when `sent`, the outcome is unknown
    └── AnswerTooLarge    the other side acted, its answer is over the limit

URLs carry secrets (a Telegram token stands in the path): no error shows more of one than its origin.
"""

import errno
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from inbox.kernel.http_guard import NotAllowed

TRANSPORT_ERRORS: Final = (aiohttp.ClientError, OSError, NotAllowed)
"""What the library and the guard raise; `failure_of` turns each into an `HttpError`."""


class HttpError(Exception):
    """Base of all failures. `status` is known when the head of an answer had arrived; `origin` is scheme and host."""

    def __init__(self, origin: str, reason: str, *, sent: bool = False, status: int | None = None) -> None:
        super().__init__(f"{origin}: {reason}")
        self.origin = origin
        self.reason = reason
        self.sent = sent
        self.status = status


class Refused(HttpError):
    """Forbidden before a connection was made, or (`sent`) because of where a redirect led."""


class ConnectFailed(HttpError):
    """There never was a connection: nothing was sent."""


class TimedOut(HttpError):
    """No complete answer in time."""


class Broken(HttpError):
    """The connection was lost, or what came back is not HTTP."""


class AnswerTooLarge(HttpError):
    """More bytes than the caller wants, counted after decompression."""


@dataclass(slots=True)
class Exchange:
    """What is known about one call while it runs."""

    origin: str
    sent: bool = False
    status: int | None = None


def failure_of(caught: Exception, exchange: Exchange) -> HttpError:
    """The typed error for what went wrong below, with nothing of the URL but its origin."""
    origin, sent, status = exchange.origin, exchange.sent, exchange.status
    if isinstance(caught, NotAllowed):
        return Refused(origin, caught.reason, sent=sent, status=status)
    if isinstance(caught, aiohttp.InvalidURL):
        return Refused(origin, "malformed URL", sent=sent, status=status)
    if isinstance(caught, aiohttp.ClientConnectorError) and not sent:
        return ConnectFailed(origin, _why_not_connected(caught))
    if isinstance(caught, TimeoutError):
        return TimedOut(origin, "no answer in time" if sent else "no connection in time", sent=sent, status=status)
    return Broken(origin, type(caught).__name__, sent=sent, status=status)


def _why_not_connected(caught: aiohttp.ClientConnectorError) -> str:
    # Built from codes: the library's own text names the address that was tried.
    if isinstance(caught, aiohttp.ClientConnectorDNSError):
        return "name not found"
    if isinstance(caught, aiohttp.ClientConnectorCertificateError):
        return "certificate refused"
    if isinstance(caught, aiohttp.ClientSSLError):
        return "TLS handshake failed"
    code = caught.os_error.errno
    name = errno.errorcode.get(code) if code is not None else None
    return f"no connection ({name})" if name else "no connection"


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL: all of it that may be shown."""
    try:
        parsed = URL(url)
        origin = parsed.origin() if parsed.is_absolute() else None
    except ValueError:
        origin = None
    return str(origin) if origin is not None else "(malformed URL)"
