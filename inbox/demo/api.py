"""The REST API as any program outside would call it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import aiohttp
import orjson

from inbox.demo.errors import Away, Refused

Json = dict[str, Any]
SECONDS = aiohttp.ClientTimeout(total=45, connect=5)
PAGE = "200"


class Api:
    """One caller. ``token`` is set by ``log_in``, or given."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._session: aiohttp.ClientSession | None = None
        self._logged_in_as: tuple[str, str] | None = None

    @property
    def stream_url(self) -> str:
        return "ws" + self.url.removeprefix("http") + "/v1/stream"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: Json | None = None, *, key: str | None = None) -> Any:
        """``key`` makes a repeated call harmless."""
        return await self._call("POST", path, body, headers=None if key is None else {"Idempotency-Key": key})

    async def put(self, path: str, body: Json) -> Any:
        return await self._call("PUT", path, body)

    async def patch(self, path: str, body: Json) -> Any:
        return await self._call("PATCH", path, body)

    async def all(self, path: str) -> list[Json]:
        """Every page of a list."""
        found: list[Json] = []
        query = {"limit": PAGE}
        while True:
            page = await self.get(path, query)
            found += page["items"]
            if page["next"] is None:
                return found
            query["after"] = page["next"]

    async def log_in(self, email: str, password: str) -> UUID:
        """The agent's id. Raises ``Refused`` with status 401 when one of the two is wrong."""
        session = await self._call("POST", "/v1/sessions", {"email": email, "password": password}, anonymous=True)
        self.token = session["token"]
        self._logged_in_as = (email, password)
        return UUID(session["agent"]["id"])

    async def log_out(self) -> None:
        await self._call("DELETE", "/v1/sessions/current")
        self.token = None

    async def ticket(self) -> str:
        """Opens one socket. A session that ended meanwhile is begun anew where we know the password."""
        try:
            return str((await self.post("/v1/socket-tickets"))["ticket"])
        except Refused as refused:
            if refused.status != 401 or self._logged_in_as is None:
                raise
        await self.log_in(*self._logged_in_as)
        return str((await self.post("/v1/socket-tickets"))["ticket"])

    async def alive(self) -> bool:
        try:
            await self._call("GET", "/healthz", anonymous=True)
        except (Away, Refused):
            return False
        return True

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=SECONDS)
        sent = dict(headers or {})
        if self.token is not None and not anonymous:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(
                method, self.url + path, data=data, params=query, headers=sent, allow_redirects=False
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Away(f"{self.url} does not answer ({type(error).__name__})") from error
        if answer.status >= 400:
            raise _problem(answer.status, raw)
        return orjson.loads(raw) if raw else {}


def _problem(status: int, raw: bytes) -> Refused | Away:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    problem: Json = found if isinstance(found, dict) else {}
    detail = str(problem.get("detail") or f"the server answered {status}")
    return Away(detail) if status == 503 else Refused(status, str(problem.get("code", "")), detail)
