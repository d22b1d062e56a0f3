"""The outbound client against real sockets on 127.0.0.1: time-outs, limits, redirects, and what each error says."""

import asyncio
import gzip
import ipaddress
import socket
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from channels.adapter import Http, HttpAnswer, HttpStream, Upload
from inbox.kernel.http import HttpClient, HttpSettings
from inbox.kernel.http_errors import AnswerTooLarge, Broken, ConnectFailed, HttpError, Refused, TimedOut

SECRET = "bot12345:TOPSECRET"
SETTINGS = HttpSettings(
    connect_timeout=1.0, timeout=3.0, max_bytes=64 * 1024, allow_private=(ipaddress.ip_network("127.0.0.0/8"),)
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def http_server(handler: Handler) -> AsyncIterator[str]:
    application = web.Application(client_max_size=10_000_000)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(handler: RawHandler) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def client(
    settings: HttpSettings = SETTINGS, resolver: AbstractResolver | None = None
) -> AsyncIterator[HttpClient[HttpAnswer]]:
    async with HttpClient(settings, HttpAnswer, resolver=resolver) as opened:
        yield opened


class Names(AbstractResolver):
    """A name server that answers what it is told, one answer per question."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if not self.answers:
            raise OSError(None, f"no answer for {host}")
        addresses = self.answers.pop(0)
        return [
            ResolveResult(hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0)
            for one in addresses
        ]

    async def close(self) -> None: ...


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")), 0
    )
    return head + await reader.readexactly(length)


# --- what an exchange carries -----------------------------------------------------------------------------------------


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    seen = {
        "method": request.method,
        "target": request.raw_path,
        "type": request.headers.get("Content-Type", "").split(";")[0],
        "agent": request.headers["User-Agent"],
        "body": body.decode("latin-1"),
    }
    return web.json_response(seen, headers={"X-Multi": "one", "X-App-Usage": "x" * 20_000})


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ({"json": {"a": "ä"}}, ("application/json", '{"a":"Ã¤"}')),
        ({"form": {"a": "1 2", "b": "&"}}, ("application/x-www-form-urlencoded", "a=1+2&b=%26")),
        ({"body": b"\x00raw"}, ("application/octet-stream", "\x00raw")),
        ({"body": b"{}", "headers": {"content-type": "application/json"}}, ("application/json", "{}")),
        ({}, ("application/octet-stream", "")),
    ],
)
async def test_bodies(arguments: dict[str, object], seen: tuple[str, str]) -> None:
    async with http_server(echo) as base, client() as http:
        answer = await http.request("POST", f"{base}/x?a=%2B", query={"b": "ä &"}, **arguments)  # type: ignore[arg-type]
    assert answer.status == 200
    assert answer.headers["x-multi"] == "one"
    assert answer.headers["content-type"].startswith("application/json")
    got = orjson.loads(answer.body)
    assert (got["type"], got["body"]) == seen
    assert got["target"] == "/x?a=%2B&b=%C3%A4+%26"
    assert got["agent"].startswith("omnichannel-inbox/")


async def test_multipart_with_a_large_file() -> None:
    async def upload(request: web.Request) -> web.Response:
        assert request.content_length is not None  # not chunked: some providers refuse that
        fields = [(part.name, part.filename, await part.read()) async for part in await request.multipart()]  # type: ignore[union-attr]
        assert fields[0] == ("messaging_product", None, b"whatsapp")
        name, filename, data = fields[1]
        return web.Response(text=f"{name} {filename} {len(data)}")

    files = [Upload(name="file", filename="größe.png", content_type="image/png", data=b"\x89" * 3_000_000)]
    async with http_server(upload) as base, client() as http:
        contract: Http = http
        answer = await contract.request("POST", base, form={"messaging_product": "whatsapp"}, files=files)
    assert answer.body.decode() == "file größe.png 3000000"


async def test_a_request_has_one_body() -> None:
    async with client() as http:
        with pytest.raises(ValueError, match="one body"):
            await http.request("POST", "http://127.0.0.1/", json={}, body=b"")


async def test_error_statuses_are_answers() -> None:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=503, text="later")

    async with http_server(fail) as base, client() as http:
        answer = await http.request("POST", base, json={})
    assert (answer.status, answer.body) == (503, b"later")


async def test_connections_are_kept_and_bounded() -> None:
    ports: list[int] = []
    together = most = 0

    async def note(request: web.Request) -> web.Response:
        nonlocal together, most
        together += 1
        most = max(most, together)
        ports.append(request.transport.get_extra_info("peername")[1])  # type: ignore[union-attr]
        await asyncio.sleep(0.01)
        together -= 1
        return web.Response(text="ok")

    async with http_server(note) as base, client(replace(SETTINGS, connections_per_host=2)) as http:
        for _ in range(3):
            await http.request("GET", base)
        assert len(set(ports)) == 1
        await asyncio.gather(*(http.request("GET", base) for _ in range(8)))
    assert most == 2
    assert len(set(ports)) == 2


async def test_no_cookies_are_kept() -> None:
    async def cookies(request: web.Request) -> web.Response:
        answer = web.Response(text=str(len(request.cookies)))
        answer.set_cookie("a", "b")
        return answer

    async with http_server(cookies) as base, client() as http:
        await http.request("GET", base)
        assert (await http.request("GET", base)).body == b"0"


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    async with http_server(echo) as base, client() as http:
        assert (await http.request("GET", base)).status == 200


async def test_a_proxy_by_setting_is_used() -> None:
    async def proxy(request: web.Request) -> web.Response:
        return web.Response(text=f"proxied {request.raw_path}")

    async with http_server(proxy) as base, client(HttpSettings(proxy=base)) as http:
        assert (await http.request("GET", "http://example.com/x")).body == b"proxied http://example.com/x"
        with pytest.raises(Refused, match="private"):
            await http.request("GET", "http://10.0.0.1/")


# --- the facts of a failure -------------------------------------------------------------------------------------------


async def failure(http: HttpClient[HttpAnswer], url: str, method: str = "POST", **arguments: object) -> HttpError:
    """The error of one call, after checking that nothing in it or attached to it shows the secret."""
    if method == "POST":
        arguments.setdefault("json", {"a": 1})
    with pytest.raises(HttpError) as caught:
        await http.request(method, f"{url}/{SECRET}/send?token=TOPSECRET", **arguments)  # type: ignore[arg-type]
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = [str(error), repr(error), *traceback.format_exception_only(error)]
    assert not any("TOPSECRET" in text for text in shown)
    return error


async def test_nobody_listens() -> None:
    async with client() as http:
        error = await failure(http, f"http://127.0.0.1:{unused_port()}")
    assert isinstance(error, ConnectFailed)
    assert not error.sent
    assert error.reason == "no connection (ECONNREFUSED)"


async def test_the_name_does_not_exist() -> None:
    async with client(resolver=Names()) as http:
        error = await failure(http, "http://nowhere.example")
    assert isinstance(error, ConnectFailed)
    assert (error.sent, error.reason) == (False, "name not found")


async def test_the_other_side_does_not_speak_tls() -> None:
    async with http_server(echo) as base, client() as http:
        error = await failure(http, base.replace("http:", "https:"))
    assert isinstance(error, ConnectFailed)
    assert (error.sent, error.reason) == (False, "TLS handshake failed")


async def test_time_out_before_anything_was_sent() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    # TCP connects, the TLS handshake never ends: no byte of the request has left.
    async with raw_server(silent) as base, client(replace(SETTINGS, connect_timeout=0.2)) as http:
        error = await failure(http, base.replace("http:", "https:"))
    assert isinstance(error, TimedOut)
    assert not error.sent


async def test_time_out_while_waiting_for_a_free_connection() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with raw_server(silent) as base, client(replace(SETTINGS, connections_per_host=1)) as http:
        first, second = await asyncio.gather(failure(http, base, timeout=0.6), failure(http, base, timeout=0.3))
    assert isinstance(first, TimedOut)
    assert isinstance(second, TimedOut)
    assert (first.sent, second.sent) == (True, False)


async def test_time_out_after_the_request_was_accepted() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(30)

    async with raw_server(swallow) as base, client() as http:
        error = await failure(http, base, timeout=0.2)
    assert isinstance(error, TimedOut)
    assert (error.sent, error.status) == (True, None)


async def test_time_out_within_the_answer() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(30)

    async with raw_server(stall) as base, client() as http:
        error = await failure(http, base, timeout=0.2)
    assert isinstance(error, TimedOut)
    assert (error.sent, error.status) == (True, 200)


async def test_lost_without_an_answer() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with raw_server(hang_up) as base, client() as http:
        error = await failure(http, base)
    assert isinstance(error, Broken)
    assert (error.sent, error.status) == (True, None)


@pytest.mark.parametrize("reset", [False, True])
async def test_lost_within_the_answer(reset: bool) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        if reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    async with raw_server(half) as base, client() as http:
        error = await failure(http, base)
    assert isinstance(error, Broken)
    assert (error.sent, error.status) == (True, 200)


async def test_an_answer_that_is_not_http() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()

    async with raw_server(babble) as base, client() as http:
        error = await failure(http, base)
    assert isinstance(error, Broken)
    assert error.sent


async def test_a_kept_connection_that_closed_before_the_request_left() -> None:
    async with http_server(echo) as base, client() as http:
        await http.request("GET", base)
        _abort_kept_connections_on_reuse(http)
        error = await failure(http, base)
    assert isinstance(error, Broken)
    assert not error.sent


def _abort_kept_connections_on_reuse(http: HttpClient[HttpAnswer]) -> None:
    """Let the connection die after it was taken from the pool and before the body task writes: the narrowest window."""
    session = http._session
    assert session is not None
    connector = session.connector
    assert connector is not None

    async def reused(_: aiohttp.ClientSession, __: SimpleNamespace, ___: object) -> None:
        for protocol in [entry[0] for kept in connector._conns.values() for entry in kept] + list(connector._acquired):
            assert protocol.transport is not None
            asyncio.get_running_loop().call_soon(protocol.transport.abort)

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(reused)
    tracing.freeze()
    session._trace_configs.append(tracing)


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False])
async def test_an_answer_over_the_limit(declared: bool) -> None:
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        if declared:
            answer.content_length = 50_000_000
        await answer.prepare(request)
        for _ in range(500):
            await answer.write(b"x" * 100_000)
            written += 100_000
        return answer

    async with http_server(flood) as base, client() as http:
        error = await failure(http, base)
    assert isinstance(error, AnswerTooLarge)
    assert (error.sent, error.status) == (True, 200)
    assert written < 20_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_decompression_bomb(encoding: str) -> None:
    zeros = bytes(100_000_000)
    bomb = gzip.compress(zeros, 9) if encoding == "gzip" else zlib.compress(zeros, 9)
    del zeros
    assert len(bomb) < 200_000

    async def explode(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": encoding})

    async with http_server(explode) as base, client(replace(SETTINGS, max_bytes=500_000)) as http:
        tracemalloc.start()
        error = await failure(http, base)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(error, AnswerTooLarge)
    assert peak < 8_000_000


async def test_a_compressed_answer_within_the_limit() -> None:
    async def small(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"y" * 60_000), headers={"Content-Encoding": "gzip"})

    async with http_server(small) as base, client() as http:
        assert (await http.request("GET", base)).body == b"y" * 60_000


async def test_a_head_answer_has_no_body_to_be_too_large() -> None:
    async def describe(_: web.Request) -> web.Response:
        return web.Response(headers={"Content-Length": "99999999"})

    async with http_server(describe) as base, client() as http:
        assert (await http.request("HEAD", base)).headers["content-length"] == "99999999"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X-A": "b\r\nX-C: d"}, "header with a character that HTTP forbids"),
        ({"X A": "b"}, "header with a character that HTTP forbids"),
        ({"Host": "10.0.0.1"}, "header host is not the caller's to set"),
        ({"Transfer-Encoding": "chunked"}, "header transfer-encoding is not the caller's to set"),
    ],
)
async def test_refused_headers(headers: dict[str, str], reason: str) -> None:
    async with client() as http:
        error = await failure(http, "http://127.0.0.1", headers=headers)
    assert isinstance(error, Refused)
    assert (error.sent, error.reason) == (False, reason)


# --- the guard --------------------------------------------------------------------------------------------------------


async def test_a_private_address_is_refused_without_a_connection() -> None:
    connected = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1

    async with raw_server(count) as base, client(HttpSettings()) as http:
        error = await failure(http, base)
    assert isinstance(error, Refused)
    assert (error.sent, error.reason) == (False, "loopback address")
    assert connected == 0


@pytest.mark.parametrize("answer", [("8.8.8.8", "127.0.0.1"), ("10.0.0.1",), ("169.254.169.254",)])
async def test_a_name_with_a_bad_address_is_refused(answer: tuple[str, ...]) -> None:
    async with client(HttpSettings(), Names(answer)) as http:
        error = await failure(http, "http://rebind.example")
    assert isinstance(error, Refused)
    assert not error.sent
    assert "10.0" not in str(error)


async def test_the_checked_address_is_the_one_connected_to() -> None:
    # The second answer points inside; the connection must use the first one, and ask only once.
    names = Names(("127.0.0.1",), ("10.0.0.1",))
    async with http_server(echo) as base, client(resolver=names) as http:
        answer = await http.request("GET", base.replace("127.0.0.1", "shop.example"))
    assert answer.status == 200
    assert names.asked == ["shop.example"]


async def test_a_name_that_is_rebound_later_is_checked_again() -> None:
    names = Names(("127.0.0.1",), ("10.0.0.1",))
    async with http_server(echo) as base, client(resolver=names) as http:
        url = base.replace("127.0.0.1", "shop.example")
        await http.request("GET", url)
        session = http._session
        assert session is not None
        assert isinstance(session.connector, aiohttp.TCPConnector)
        session.connector.clear_dns_cache()
        for protocol, *_ in [entry for kept in session.connector._conns.values() for entry in kept]:
            protocol.close()
        error = await failure(http, url)
    assert isinstance(error, Refused)
    assert error.reason == "private address"


# --- redirects --------------------------------------------------------------------------------------------------------


def to(location: str, status: int = 302) -> Handler:
    async def redirect(request: web.Request) -> web.Response:
        if request.path == "/end":
            return web.Response(text=request.headers.get("Authorization", "nothing"))
        return web.Response(status=status, headers={"Location": location})

    return redirect


async def test_a_redirect_is_an_answer_unless_allowed() -> None:
    async with http_server(to("/end")) as base, client() as http:
        assert (await http.request("GET", base)).status == 302
        assert (await http.request("GET", base, redirects=1)).body == b"nothing"
        assert (await http.request("POST", base, redirects=1)).status == 302


async def test_a_redirect_keeps_authority_on_the_same_origin_only() -> None:
    headers = {"Authorization": "Bearer x", "X-Api-Key": "y"}
    async with http_server(to("/end")) as there, http_server(to(f"{there}/end")) as here, client() as http:
        assert (await http.request("GET", there, headers=headers, redirects=1)).body == b"Bearer x"
        assert (await http.request("GET", here, headers=headers, redirects=1)).body == b"nothing"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://10.0.0.1/", "private address"),
        ("http://[::1]/", "loopback address"),
        ("//169.254.169.254/latest", "link-local address"),
        ("file:///etc/passwd", "scheme other than http and https"),
        ("/loop", "more than 3 redirects"),
    ],
)
async def test_a_redirect_that_is_not_followed(location: str, reason: str) -> None:
    async with http_server(to(location)) as base, client() as http:
        error = await failure(http, base, "GET", redirects=9)
    assert isinstance(error, Refused)
    assert (error.sent, error.status, error.reason) == (True, 302, reason)


async def test_a_redirect_to_a_name_with_a_private_address() -> None:
    async with http_server(to("http://inside.example/")) as base, client(resolver=Names(("10.0.0.1",))) as http:
        error = await failure(http, base, "GET", redirects=1)
    assert isinstance(error, Refused)
    assert error.reason == "private address"


# --- streams ----------------------------------------------------------------------------------------------------------


async def file(request: web.Request) -> web.StreamResponse:
    assert request.headers["Accept-Encoding"] == "identity"
    answer = web.StreamResponse(headers={"Content-Type": "image/png"})
    await answer.prepare(request)
    for _ in range(30):
        await answer.write(b"z" * 10_000)
    return answer


async def test_a_download_comes_in_pieces() -> None:
    async with http_server(file) as base, client() as http:
        contract: Http = http
        async with contract.stream("GET", base) as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, "image/png")
            sizes = [len(chunk) async for chunk in stream.chunks()]
    assert sum(sizes) == 300_000
    assert len(sizes) > 1


async def test_a_download_stops_at_its_limit() -> None:
    sizes: list[int] = []

    async def read(stream: HttpStream) -> None:
        async for chunk in stream.chunks():
            sizes.append(len(chunk))

    async with http_server(file) as base, client() as http, http.stream("GET", base, max_bytes=250_000) as stream:
        with pytest.raises(AnswerTooLarge):
            await read(stream)
    assert 0 < sum(sizes) <= 250_000


async def test_a_download_that_falls_silent() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(30)

    async with raw_server(stall) as base, client(replace(SETTINGS, silence_timeout=0.2)) as http:
        with pytest.raises(TimedOut) as caught:
            async with http.stream("GET", f"{base}/{SECRET}") as stream:
                _ = [chunk async for chunk in stream.chunks()]
    assert caught.value.status == 200
    assert "TOPSECRET" not in str(caught.value)


async def test_a_download_left_early_does_not_poison_the_pool() -> None:
    async with http_server(file) as base, client() as http:
        async with http.stream("GET", base) as stream:
            async for _ in stream.chunks():
                break
        async with http.stream("GET", base) as stream:
            assert sum([len(chunk) async for chunk in stream.chunks()]) == 300_000


async def test_not_started() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        await HttpClient(SETTINGS, HttpAnswer).request("GET", "http://127.0.0.1/")
