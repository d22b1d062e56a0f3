"""The one client for outbound HTTP: guarded, bounded in time and size; every failure says whether anything was sent.

The errors are those of `http_errors`. They are raised outside of the handler that caught the library's own exception,
because that one shows the whole URL and would stay attached as context.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace, TracebackType
from typing import Final, Generic, Self, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter
from yarl import URL

from inbox.kernel.http_errors import (
    TRANSPORT_ERRORS,
    AnswerTooLarge,
    Exchange,
    HttpError,
    Refused,
    failure_of,
    origin_of,
)
from inbox.kernel.http_guard import GuardedResolver, Network, NotAllowed, guarded_socket, parse_url
from inbox.kernel.http_request import Call, FilePart, check_headers, payload, with_query

MIB: Final = 1024 * 1024
MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS_FOR_STRANGERS: Final = frozenset({"accept", "accept-encoding", "accept-language", "range", "user-agent"})


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Times in seconds, sizes in bytes. `proxy` is explicit; the environment is never asked.

    With a proxy, names are resolved there and it has to keep calls away from private networks itself.
    """

    connect_timeout: float = 5.0
    timeout: float = 30.0
    stream_timeout: float = 300.0
    silence_timeout: float = 30.0
    max_bytes: int = 4 * MIB
    max_stream_bytes: int = 128 * MIB
    connections: int = 512
    connections_per_host: int = 64
    keep_alive: float = 15.0
    allow_private: tuple[Network, ...] = ()
    proxy: str | None = field(default=None, repr=False)


A = TypeVar("A")

_running: ContextVar[Exchange] = ContextVar("http_exchange")


class _Request(aiohttp.ClientRequest):
    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: aiohttp.connector.Connection, content_length: int | None = None
    ) -> None:
        # The head is buffered until the first byte of the body. A kept connection that the other side closed in
        # between takes neither, and then it is safe to say so.
        transport = writer.transport
        if transport is None or transport.is_closing():
            _running.get().sent = False
        await super().write_bytes(writer, conn, content_length)


class HttpStream:
    """An answer whose body is read piece by piece, never more than the limit in all."""

    def __init__(self, response: aiohttp.ClientResponse, exchange: Exchange, max_bytes: int) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = {name.lower(): response.headers[name] for name in response.headers}
        self._response = response
        self._exchange = exchange
        self._max_bytes = max_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, decompressed. Raises `AnswerTooLarge`, `TimedOut`, `Broken`."""
        declared = self._response.content_length
        if declared is not None and declared > self._max_bytes and self._response.method != "HEAD":
            raise self._too_large()
        left = self._max_bytes
        failure: HttpError | None = None
        try:
            async for chunk in self._response.content.iter_any():
                left -= len(chunk)
                if left < 0:
                    failure = self._too_large()
                    break
                yield chunk
        except TRANSPORT_ERRORS as caught:
            failure = failure_of(caught, self._exchange)
        if failure is not None:
            raise failure

    def _too_large(self) -> AnswerTooLarge:
        # The rest is not worth reading, so this connection cannot be kept.
        self._response.close()
        reason = f"answer over {self._max_bytes} bytes"
        return AnswerTooLarge(self._exchange.origin, reason, sent=True, status=self.status)


class HttpClient(Generic[A]):
    """One per process. `answer` builds what `request` returns, which meets a caller's own contract without an import.

    A redirect is an answer like any other unless the call allows some (at most three, GET and HEAD only); each hop is
    checked like a first URL, and headers that might authorise do not follow to another origin.
    """

    def __init__(
        self,
        settings: HttpSettings,
        answer: Callable[[int, Mapping[str, str], bytes], A],
        *,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._settings = settings
        self._answer = answer
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool of connections. Call inside the running loop."""
        settings = self._settings
        guarded = settings.proxy is None
        allow = settings.allow_private
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(allow, self._resolver) if guarded else self._resolver,
            socket_factory=guarded_socket(allow) if guarded else None,
            limit=settings.connections,
            limit_per_host=settings.connections_per_host,
            keepalive_timeout=settings.keep_alive,
            ttl_dns_cache=30,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent()},
            request_class=_Request,
            trace_configs=[_tracing()],
            max_line_size=32 * 1024,
            max_field_size=32 * 1024,
            trust_env=False,
            raise_for_status=False,
        )

    async def stop(self) -> None:
        """Close every connection; calls under way end as `Broken`."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        files: Sequence[FilePart] = (),
        body: bytes | None = None,
        timeout: float | None = None,
        max_bytes: int | None = None,
        redirects: int = 0,
    ) -> A:
        """One exchange, the answer read in full. Any status is an answer; raises `HttpError` when there is none.

        `form` with `files` is sent as multipart, `form` alone urlencoded, `body` as it is. `timeout` in all.
        """
        head = dict(headers or {})
        call = Call(
            method=method.upper(),
            url=with_query(url, query),
            headers=head,
            data=payload(head, json, form, files, body),
            total=self._settings.timeout if timeout is None else timeout,
            silence=None,
            max_bytes=self._settings.max_bytes if max_bytes is None else max_bytes,
        )
        async with self._open(call, redirects) as stream:
            whole = b"".join([chunk async for chunk in stream.chunks()])
            return self._answer(stream.status, stream.headers, whole)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        timeout: float | None = None,
        redirects: int = 0,
    ) -> AsyncIterator[HttpStream]:
        """Open a download: status and headers are known inside, the body comes from `chunks()`.

        `timeout` covers the whole download; a silence of `silence_timeout` ends it earlier.
        """
        settings = self._settings
        call = Call(
            method=method.upper(),
            url=url,
            headers={"Accept-Encoding": "identity", **(headers or {})},
            data=None,
            total=settings.stream_timeout if timeout is None else timeout,
            silence=settings.silence_timeout,
            max_bytes=settings.max_stream_bytes if max_bytes is None else max_bytes,
        )
        async with self._open(call, redirects) as stream:
            yield stream

    @asynccontextmanager
    async def _open(self, call: Call, redirects: int) -> AsyncIterator[HttpStream]:
        exchange = Exchange(origin_of(call.url))
        target = self._checked(call.url, exchange)
        check_headers(call.headers, exchange)
        headers: Mapping[str, str] = {"Accept-Encoding": "gzip, deflate", **call.headers}
        follow = min(redirects, MOST_REDIRECTS) if call.method in ("GET", "HEAD") else 0
        left = follow
        deadline = asyncio.get_running_loop().time() + call.total
        while True:
            response = await self._send(call, target, headers, deadline, exchange)
            try:
                location = response.headers.get("Location") if follow and response.status in _REDIRECTS else None
                if location is None:
                    yield HttpStream(response, exchange, call.max_bytes)
                    return
            finally:
                response.release()
            if left == 0:
                raise Refused(exchange.origin, f"more than {follow} redirects", sent=True, status=response.status)
            left -= 1
            target, headers = self._next_hop(target, location, headers, exchange)

    async def _send(
        self, call: Call, target: URL, headers: Mapping[str, str], deadline: float, exchange: Exchange
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the HTTP client is not started")
        times = aiohttp.ClientTimeout(
            total=max(deadline - asyncio.get_running_loop().time(), 0.001),
            sock_connect=self._settings.connect_timeout,
            sock_read=call.silence,
        )
        token = _running.set(exchange)
        try:
            response = await self._session.request(
                call.method,
                target,
                headers=headers,
                data=call.data,
                timeout=times,
                allow_redirects=False,
                proxy=self._settings.proxy,
            )
        except TRANSPORT_ERRORS as caught:
            failure = failure_of(caught, exchange)
        else:
            exchange.status = response.status
            return response
        finally:
            _running.reset(token)
        raise failure

    def _checked(self, url: str, exchange: Exchange) -> URL:
        try:
            return parse_url(url, self._settings.allow_private)
        except NotAllowed as no:
            reason = no.reason
        raise Refused(exchange.origin, reason, sent=exchange.sent, status=exchange.status)

    def _next_hop(
        self, here: URL, location: str, headers: Mapping[str, str], exchange: Exchange
    ) -> tuple[URL, Mapping[str, str]]:
        try:
            there = str(here.join(URL(location, encoded=location.isascii())))
        except ValueError:
            there = ""
        target = self._checked(there, exchange)
        if here.scheme == "https" and target.scheme != "https":
            raise Refused(exchange.origin, "redirect from https to http", sent=True, status=exchange.status)
        if target.origin() != here.origin():
            headers = {name: value for name, value in headers.items() if name.lower() in _HEADERS_FOR_STRANGERS}
        return target, headers


async def _head_leaves(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    # Called just before the head is handed to the transport: from here on the other side may have seen the request.
    _running.get().sent = True


def _tracing() -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_head_leaves)
    return tracing


def user_agent() -> str:
    """The product and its version, as every request names them."""
    try:
        return f"omnichannel-inbox/{version('omnichannel-inbox')}"
    except PackageNotFoundError:  # running from a source tree that is not installed
        return "omnichannel-inbox"
