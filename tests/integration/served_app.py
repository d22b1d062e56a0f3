"""The API of agents, connections and contacts over a real PostgreSQL, called in process. Helpers, no tests."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
import orjson
from clock import FakeClock
from starlette.applications import Starlette
from starlette.middleware import Middleware

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from channels.adapter import HttpAnswer, HttpStream
from channels.registry import ADAPTERS
from contacts import routes as contact_routes
from contacts.service import Contacts
from inbox.agents.authentication import Authentication
from inbox.agents.origin import BaseUrl, ClientAddress, base_url, client_address
from inbox.agents.principal import Principal
from inbox.agents.routes import AgentRoutes, SessionRoutes, TokenRoutes, WorkspaceRoutes
from inbox.agents.service import Agents
from inbox.agents.sessions import Sessions
from inbox.agents.throttle import PER_ADDRESS, PER_EMAIL, PER_EMAIL_THERE, Allowance, LogInThrottle
from inbox.agents.tokens import Tickets, Tokens
from inbox.agents.workspaces import CreatedWorkspace, Workspaces
from inbox.connections.apps import ProviderApps
from inbox.connections.connecting import Connecting
from inbox.connections.directory import Channel, Directory
from inbox.connections.routes import ChannelRoutes, ProviderAppRoutes
from inbox.connections.service import Channels
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.eventlog import EventLog, StoredEvent
from inbox.kernel.http_errors import ConnectFailed
from inbox.kernel.operations import Operation
from inbox.kernel.partitions import ensure
from inbox.kernel.secrets import Passwords, SecretBox
from inbox.kernel.wakeup import Wakeup
from inbox.kernel.web import RequestBoundary, build_routes, exception_handlers

PASSWORD = "correct horse battery"
Json = dict[str, Any]


@dataclass
class Provider:
    """Stands in for the guarded client: queued answers out, requests in."""

    answers: deque[object] = field(default_factory=deque)
    urls: list[str] = field(default_factory=list)

    def answer(self, body: object, status: int = 200) -> None:
        self.answers.append(HttpAnswer(status, {}, orjson.dumps(body)))

    async def request(self, method: str, url: str, **_: object) -> HttpAnswer:
        self.urls.append(url)
        if not self.answers:
            raise ConnectFailed("https://provider.test", "nothing more is answered here")
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, HttpAnswer)
        return answer

    def stream(self, *_: object, **__: object) -> AbstractAsyncContextManager[HttpStream]:
        raise AssertionError("nothing is downloaded here")


@dataclass
class Node:
    """One process: its own caches and pool, over a database that others may share."""

    database: Database
    event_log: EventLog
    wakeup: Wakeup
    clock: FakeClock
    authentication: Authentication
    workspaces: Workspaces
    tickets: Tickets
    directory: Directory
    channels: Channels
    box: SecretBox
    provider: Provider
    operations: list[Operation]
    client: httpx2.AsyncClient
    changes: list[str]
    connections: list[UUID]
    """Channels that were connected for real, in order."""

    async def workspace(self, name: str = "Acme", email: str = "ada@example.com") -> CreatedWorkspace:
        return await self.workspaces.create_workspace(name, "Ada", email, PASSWORD)

    async def log_in(self, email: str = "ada@example.com", password: str = PASSWORD, **more: object) -> User:
        answer = await self.client.post("/v1/sessions", json={"email": email, "password": password, **more})
        assert answer.status_code == 201, answer.text
        return User(self, answer.json()["token"])

    async def admin(self, name: str = "Acme", email: str = "ada@example.com") -> User:
        """Logged in as the admin of a workspace of their own."""
        await self.workspace(name, email)
        return await self.log_in(email)

    async def events(self, workspace_id: object) -> list[tuple[str, Json]]:
        async with self.database.session() as connection:
            found: list[StoredEvent] = await self.event_log.read(connection, workspace_id, after=0)  # type: ignore[arg-type]
        return [(event.kind, orjson.loads(event.payload)) for event in found]

    async def fetchval(self, query: str, *args: object) -> Any:
        async with self.database.session() as connection:
            return await connection.fetchval(query, *args)


@dataclass(frozen=True)
class User:
    node: Node
    token: str

    async def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return await self.node.client.request(method, path, headers=sent, json=body)

    async def get(self, path: str) -> Any:
        return await self.call("GET", path)

    async def post(self, path: str, body: object = None) -> Any:
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Any:
        return await self.call("PATCH", path, body, headers)

    async def delete(self, path: str) -> Any:
        return await self.call("DELETE", path)

    async def made(self, path: str, body: object) -> Json:
        """What a POST that has to succeed answered."""
        answer = await self.post(path, body)
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    async def me(self) -> Json:
        answer = await self.get("/v1/me")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def colleague(self, role: str, email: str) -> User:
        """Another person of the workspace, logged in."""
        await self.made("/v1/agents", {"role": role, "name": role, "email": email, "password": PASSWORD})
        return await self.node.log_in(email)

    async def with_scopes(self, *scopes: str) -> User:
        made = await self.made("/v1/tokens", {"name": "scoped", "scopes": list(scopes)})
        return User(self.node, made["secret"])


@asynccontextmanager
async def serve(
    dsn: str,
    *,
    wakeup: Wakeup | None = None,
    trust_proxy: bool = False,
    public_url: str | None = None,
    per_email: Allowance = PER_EMAIL,
    per_email_there: Allowance = PER_EMAIL_THERE,
    per_address: Allowance = PER_ADDRESS,
    ticket_seconds: int = 30,
) -> AsyncIterator[Node]:
    event_log, wakeup, clock, changes = EventLog(), wakeup or Wakeup(), FakeClock(), list[str]()
    database = Database(dsn, connections=8, event_log=event_log)
    await database.start()
    async with database.session() as connection:
        await ensure(connection)
    authentication = Authentication(database, wakeup, clock)
    passwords = Passwords()
    throttle = LogInThrottle(database, per_email=per_email, per_email_there=per_email_there, per_address=per_address)
    agents = Agents(database, passwords, throttle, authentication.changed)
    workspaces = Workspaces(database, passwords)
    tickets = Tickets(database, seconds=ticket_seconds)
    box, provider = SecretBox({"k": bytes(32)}, "k"), Provider()
    directory = Directory(database, box, ADAPTERS, "v1")
    changed = lambda: changes.append("channels")  # noqa: E731
    providers = sorted({adapter.provider for adapter in ADAPTERS.values()})
    channels = Channels(database, box, directory, ADAPTERS, provider, changed, graph_version="v1")
    connections: list[UUID] = []

    async def connected(unit: UnitOfWork, channel: Channel) -> None:
        connections.append(channel.id)

    groups = [
        SessionRoutes(Sessions(database, passwords, throttle, authentication.changed, hours=24), agents, workspaces),
        TokenRoutes(Tokens(database, clock, authentication.changed), tickets),
        WorkspaceRoutes(workspaces),
        AgentRoutes(agents),
        ProviderAppRoutes(ProviderApps(database, box, directory, providers, changed)),
        ChannelRoutes(
            channels, Connecting(database, directory, provider, channels.health, [connected], public_url=public_url)
        ),
        contact_routes.ContactRoutes(Contacts(database)),
    ]
    routes = build_routes(
        groups,
        inject={
            Principal: authentication.authenticate,
            contact_routes.Caller: authentication.authenticate,
            ClientAddress: client_address(trust_proxy=trust_proxy),
            BaseUrl: base_url(public_url),
        },
    )
    app = Starlette(routes=routes, middleware=[Middleware(RequestBoundary)], exception_handlers=exception_handlers)
    transport = httpx2.ASGITransport(app=app, client=("192.0.2.7", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="https://inbox.test") as client:
        yield Node(
            database,
            event_log,
            wakeup,
            clock,
            authentication,
            workspaces,
            tickets,
            directory,
            channels,
            box,
            provider,
            routes[0].operations,  # type: ignore[attr-defined]
            client,
            changes,
            connections,
        )
    await database.stop()
