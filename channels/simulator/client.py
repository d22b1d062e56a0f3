"""The control API as Python calls, for tests, the demo and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal

import aiohttp
import orjson

from channels.types import JsonObject, JsonValue


class SimulatorError(Exception):
    """The simulator refused; ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class SimulatorClient:
    """Opened on first use; close it, or use it as an async context manager."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession | None = None) -> None:
        self._url = base_url.rstrip("/") + "/control"
        self._session = session
        self._owns = session is None

    async def __aenter__(self) -> SimulatorClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._owns and self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(
        self, method: str, path: str, body: JsonValue = None, query: Mapping[str, str] | None = None
    ) -> JsonObject:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        data = orjson.dumps(body) if body is not None else None
        async with self._session.request(method, self._url + path, data=data, params=query) as answer:
            raw = await answer.read()
            parsed: JsonValue = orjson.loads(raw) if raw and answer.content_type == "application/json" else None
            found = parsed if isinstance(parsed, dict) else {}
            if answer.status >= 400:
                raise SimulatorError(answer.status, str(found.get("error") or f"HTTP {answer.status}"))
            return found

    async def register(
        self,
        kind: Literal["whatsapp", "messenger", "instagram", "telegram"],
        account_id: str,
        token: str,
        *,
        app_secret: str | None = None,
        secret_token: str | None = None,
        webhook_url: str | None = None,
        verify_token: str | None = None,
        verify: bool = False,
        options: JsonObject | None = None,
    ) -> JsonObject:
        body: JsonObject = {"kind": kind, "account_id": account_id, "token": token, "verify": verify}
        optional: JsonObject = {
            "app_secret": app_secret,
            "secret_token": secret_token,
            "webhook_url": webhook_url,
            "verify_token": verify_token,
            "options": options,
        }
        body |= {key: value for key, value in optional.items() if value is not None}
        return await self._call("POST", "/accounts", body)

    async def forget(self, account_id: str) -> None:
        await self._call("DELETE", f"/accounts/{account_id}")

    async def accounts(self) -> list[JsonObject]:
        return _objects(await self._call("GET", "/accounts"), "accounts")

    async def customer(self, account_id: str, customer: JsonObject, **states: JsonValue) -> JsonObject:
        """``reachable``, ``blocked``, ``marketing_stopped``, ``has_profile``, ``started``, ``wrote_hours_ago``, …"""
        return await self._call("POST", "/customers", {"account_id": account_id, "customer": customer, **states})

    async def customers(self, account_id: str) -> list[JsonObject]:
        return _objects(await self._call("GET", "/customers", query={"account_id": account_id}), "customers")

    async def say(
        self, account_id: str, customer: JsonObject, text: str | None = None, *, kind: str = "text", **act: JsonValue
    ) -> JsonObject:
        """Answers ``{"id": external id or null, "customer": id}``; ``act`` as in ``SayWish``."""
        wish: JsonObject = {"account_id": account_id, "customer": customer, "kind": kind, **act}
        if text is not None:
            wish["text"] = text
        return await self._call("POST", "/say", wish)

    async def say_many(self, wishes: Sequence[JsonObject]) -> list[JsonObject]:
        return _objects(await self._call("POST", "/say", [*wishes]), "said")

    async def read(
        self, account_id: str, customer: JsonObject, message_id: str | None = None, *, played: bool = False
    ) -> JsonObject:
        body: JsonObject = {"account_id": account_id, "customer": customer, "played": played}
        if message_id is not None:
            body["message_id"] = message_id
        return await self._call("POST", "/read", body)

    async def native(
        self, account_id: str, customer: JsonObject, text: str | None = None, **act: JsonValue
    ) -> JsonObject:
        """``act``: ``kind``, ``message_id``, ``reply_to``."""
        wish: JsonObject = {"account_id": account_id, "customer": customer, "text": text, **act}
        return await self._call("POST", "/native", wish)

    async def event(self, account_id: str, event: str, **details: JsonValue) -> JsonObject:
        """What Meta does by itself: ``template_status``, ``account_update``, ``comment``, …, or ``raw``."""
        return await self._call("POST", "/events", {"account_id": account_id, "event": event, **details})

    async def state(self, account_id: str, **states: JsonValue) -> JsonObject:
        """Standing of a Meta account, after what is given was set; see ``StateWish``."""
        return await self._call("POST", "/state", {"account_id": account_id, **states})

    async def age(self, account_id: str, hours: float, **what: JsonValue) -> None:
        """One of ``customer`` (their last message), ``message_id``, ``comment_id``, ``media_id`` becomes older."""
        await self._call("POST", "/age", {"account_id": account_id, "hours": hours, **what})

    async def define_template(
        self, account_id: str, name: str, components: Sequence[JsonObject], **details: JsonValue
    ) -> JsonObject:
        """``language``, ``category``, ``status``, ``parameter_format``; one of the same name and language goes."""
        wish: JsonObject = {"account_id": account_id, "name": name, "components": [*components], **details}
        return await self._call("POST", "/templates", wish)

    async def templates(self, account_id: str) -> list[JsonObject]:
        return _objects(await self._call("GET", "/templates", query={"account_id": account_id}), "templates")

    async def inbox(
        self, account_id: str, customer: str | None = None, *, everything: bool = False
    ) -> list[JsonObject]:
        """What reached the customer (id, phone, BSUID, username or name), oldest first."""
        query = {"account_id": account_id, "all": "true" if everything else "false"}
        if customer is not None:
            query["customer"] = customer
        return _objects(await self._call("GET", "/inbox", query=query), "messages")

    async def requests(self, account_id: str | None = None, limit: int = 100) -> list[JsonObject]:
        query = {"limit": str(limit)} | ({"account_id": account_id} if account_id is not None else {})
        return _objects(await self._call("GET", "/requests", query=query), "requests")

    async def receipts(self, account_id: str | None = None, **policy: JsonValue) -> JsonObject:
        """``auto``, ``delivered_after``, ``read_after`` (seconds), ``order``."""
        return await self._call("POST", "/receipts", {"account_id": account_id, **policy})

    async def fault(self, scope: Literal["webhooks", "api"], kind: str, **details: JsonValue) -> JsonObject:
        """See ``FaultWish``; kind ``up`` ends ``down``."""
        return await self._call("POST", "/faults", {"scope": scope, "kind": kind, **details})

    async def clear_faults(self) -> None:
        await self._call("DELETE", "/faults")

    async def outbox(self, account_id: str | None = None, limit: int = 50) -> JsonObject:
        query = {"limit": str(limit)} | ({"account_id": account_id} if account_id is not None else {})
        return await self._call("GET", "/outbox", query=query)

    async def tune_outbox(self, **settings: JsonValue) -> JsonObject:
        """``concurrency``, ``retry_scale``."""
        return await self._call("POST", "/outbox", settings)

    async def flush(self, timeout: float = 5.0) -> bool:
        """Ends every wait; whether all webhooks have been accepted then."""
        return (await self._call("POST", "/outbox/flush", {"timeout": timeout}))["empty"] is True

    async def chatter(
        self, account_ids: Sequence[str] = (), *, per_minute: float = 20.0, customers: int = 6
    ) -> JsonObject:
        body: JsonObject = {"account_ids": [*account_ids], "per_minute": per_minute, "customers": customers}
        return await self._call("POST", "/chatter", body)

    async def reset(self) -> None:
        """Forget accounts, customers, faults and what waits: one simulator serves many tests."""
        await self._call("POST", "/reset")

    async def health(self) -> JsonObject:
        return await self._call("GET", "/health")


def _objects(answer: JsonObject, key: str) -> list[JsonObject]:
    found = answer.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
