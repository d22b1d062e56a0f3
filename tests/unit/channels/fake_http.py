"""The adapters' HTTP client without a network: queued answers out, recorded requests in.

A request without a queued answer fails the test; ``assert_used_up`` fails it for an answer nobody asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from channels.adapter import HttpAnswer, HttpStream, Upload
from channels.types import JsonValue


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    json: JsonValue = None
    form: Mapping[str, str] | None = None
    files: tuple[Upload, ...] = ()


@dataclass(slots=True)
class FakeStream:
    status: int
    headers: Mapping[str, str]
    body: bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 4):
            yield self.body[start : start + 4]


@dataclass(slots=True)
class FakeHttp:
    requests: list[Request] = field(default_factory=list)
    _answers: deque[HttpAnswer | Exception] = field(default_factory=deque)

    def answer(self, body: JsonValue | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Queue an answer; ``bytes`` go out as they are, anything else as JSON."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        self._answers.append(HttpAnswer(status, dict(headers or {}), raw))

    def fail(self, error: Exception) -> None:
        """Queue a transport error."""
        self._answers.append(error)

    @property
    def last(self) -> Request:
        return self.requests[-1]

    def assert_used_up(self) -> None:
        assert not self._answers, f"{len(self._answers)} queued answers were never asked for"

    def _next(self, request: Request) -> HttpAnswer:
        self.requests.append(request)
        assert self._answers, f"no answer was queued for {request.method} {request.url}"
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        json: JsonValue = None,
        form: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
        timeout: float | None = None,
        max_bytes: int | None = None,
    ) -> HttpAnswer:
        return self._next(Request(method, url, dict(headers or {}), dict(query or {}), json, form, tuple(files)))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[HttpStream]:
        answer = self._next(Request(method, url, dict(headers or {})))
        yield FakeStream(answer.status, answer.headers, answer.body)
