"""Real server processes on a real PostgreSQL: started, killed without warning, stopped in order. Helpers, no tests."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import asyncpg
import orjson

from channels.simulator.client import SimulatorClient
from inbox.agents.workspaces import Workspaces
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.secrets import Passwords
from inbox.realtime.client import StreamClient

ROOT = Path(__file__).parents[2]
APP_SECRET = "app-secret-of-the-acceptance-tests"
BOT_SECRET = "bot-secret-of-the-acceptance-tests"
VERIFY_TOKEN = "verify-token-of-the-acceptance-tests"
PASSWORD = "correct-horse-battery-acceptance"
ACCOUNTS = {"whatsapp": "111", "messenger": "222", "instagram": "333", "telegram": "4242"}
TOKENS = {
    "whatsapp": "wa-token-acceptance",
    "messenger": "page-token-acceptance",
    "instagram": "ig-token-acceptance",
    "telegram": "4242:acceptance-token",
}
PROVIDER_AWAY = "a job failed and is tried again: ConnectFailed"
"""Without a simulator nobody answers those who ask for profiles."""
START_SECONDS = 45.0
STOP_SECONDS = 45.0
Json = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status


class ServerProcess:
    """`inbox serve` on a port that it keeps over restarts."""

    def __init__(self, name: str, dsn: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.kills = 0
        self._log_file = folder / f"{name}.log"
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("INBOX_")},
            "PYTHONPATH": str(ROOT),
            "INBOX_DATABASE_URL": dsn,
            "INBOX_DATA_FOLDER": str(folder),
            "INBOX_PORT": str(self.port),
            "INBOX_SECRET_KEYS": "test:" + base64.b64encode(b"k" * 32).decode(),
            "INBOX_ALLOW_PRIVATE_NETWORKS": '["127.0.0.0/8"]',
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None

    def clock_is_off(self, seconds: float) -> None:
        """From its next start on, its wall clock is wrong by so much."""
        folder = Path(__file__).parent / "wrong_clock"
        self._environment |= {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "CLOCK_IS_OFF": str(seconds)}

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, *, wait: bool = True) -> None:
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "inbox",
                "serve",
                "--end-with-parent",  # nothing of ours outlives an aborted test session
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._log_file.parent,
                start_new_session=True,
            )
        if wait:
            await self.until_ready()

    async def until_ready(self, within: float = START_SECONDS) -> None:
        async with asyncio.timeout(within), aiohttp.ClientSession() as session:
            while True:
                assert self.running, f"{self.name} ended by itself:\n{self.log[-3000:]}"
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        assert self._process is not None
        if self.running:
            self._process.kill()
            self.kills += 1
        await self._process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """In order. The exit code."""
        assert self._process is not None
        if self.running:
            self._process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            return await self._process.wait()


class Api:
    """One caller of one node."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self.url = url
        self.token = token

    def at(self, node: ServerProcess) -> Api:
        return Api(self._session, node.url, self.token)

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
        data = None if body is None else orjson.dumps(body)
        async with self._session.request(method, self.url + path, data=data, headers=sent) as answer:
            raw = await answer.read()
            if answer.status >= 400:
                raise Refused(answer.status, raw.decode(errors="replace"))
            return orjson.loads(raw) if raw else None

    async def get(self, path: str) -> Any:
        return await self.call("GET", path)

    async def post(self, path: str, body: object = None, **headers: str) -> Any:
        return await self.call("POST", path, body, **headers)

    async def patch(self, path: str, body: object) -> Any:
        return await self.call("PATCH", path, body)

    async def ticket(self) -> str:
        """Connection errors are raised as ``OSError``, which a stream client takes for a server that is away."""
        try:
            return str((await self.post("/v1/socket-tickets"))["ticket"])
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error
        except Refused as refused:
            if refused.status >= 500:
                raise ConnectionError(str(refused)) from refused
            raise

    async def send(self, conversation_id: str, text: str, key: str | None = None) -> Json:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"parts": [{"type": "text", "text": text}]}
        sent: Json = await self.post(f"/v1/conversations/{conversation_id}/messages", body, **headers)
        return sent


@dataclass
class Installation:
    """A workspace with a channel of each kind, the processes that serve it, and a look at its tables."""

    dsn: str
    folder: Path
    nodes: list[ServerProcess]
    db: asyncpg.Pool[asyncpg.Record]
    workspace_id: UUID
    api: Api
    session: aiohttp.ClientSession
    provider_is_there: bool
    paths: dict[str, str] = field(default_factory=dict)
    """Of the webhook endpoint, by kind of channel."""
    channels: dict[str, str] = field(default_factory=dict)
    """Ids by kind."""
    secrets: set[str] = field(default_factory=set)

    @property
    def node(self) -> ServerProcess:
        return self.nodes[0]

    def stream(self, node: ServerProcess, api: Api | None = None, **more: Any) -> StreamClient:
        api = (api or self.api).at(node)
        return StreamClient(f"ws://127.0.0.1:{node.port}/v1/stream", api.ticket, **more)

    async def agent(self, name: str, role: str = "agent") -> Api:
        """Another person, logged in."""
        email = f"{name.lower()}@example.com"
        await self.api.post("/v1/agents", {"role": role, "name": name, "email": email, "password": PASSWORD})
        return await self._log_in(email)

    async def log_in(self, email: str = "ada@example.com") -> None:
        self.api = await self._log_in(email)

    async def _log_in(self, email: str) -> Api:
        anonymous = Api(self.session, self.node.url, "none")
        made = await anonymous.post("/v1/sessions", {"email": email, "password": PASSWORD})
        self.secrets.add(made["token"])
        return Api(self.session, self.node.url, made["token"])

    async def connect_channels(self, simulator_url: str | None) -> None:
        meta = await self._app("meta", {"signing_secrets": [APP_SECRET], "verify_token": VERIFY_TOKEN})
        bot = await self._app("telegram", {"signing_secrets": [BOT_SECRET], "account_id": ACCOUNTS["telegram"]})
        base = simulator_url or "http://127.0.0.1:9"  # the port where nobody listens
        for kind, account_id in ACCOUNTS.items():
            app = bot if kind == "telegram" else meta
            made = await self.api.post(
                "/v1/channels",
                {
                    "kind": kind,
                    "provider_app_id": app["id"],
                    "account_id": account_id,
                    "name": f"Our {kind}",
                    "token": TOKENS[kind],
                    "api_base": base if kind == "telegram" else f"{base}/graph",
                    "options": {"stack": "login"} if kind == "instagram" else {},
                },
            )
            self.channels[kind] = made["id"]
            self.paths[kind] = urlsplit(app["webhook_url"]).path

    async def join(self, simulator: SimulatorClient) -> None:
        """Tell the simulator of our accounts; its webhooks go to the first node."""
        for kind, account_id in ACCOUNTS.items():
            secret: Json = {"secret_token": BOT_SECRET} if kind == "telegram" else {"app_secret": APP_SECRET}
            await simulator.register(
                cast(Any, kind),
                account_id,
                TOKENS[kind],
                webhook_url=self.node.url + self.paths[kind],
                verify_token=VERIFY_TOKEN,
                verify=kind != "telegram",
                **secret,
            )

    async def _app(self, provider: str, fields: Json) -> Json:
        made = await self.api.post("/v1/provider-apps", {"provider": provider, "name": provider, **fields})
        app: Json = made["app"]
        return app

    async def fetch(self, query: str, *args: object) -> list[Any]:
        return list(await self.db.fetch(query, *args))

    async def fetchval(self, query: str, *args: object) -> Any:
        return await self.db.fetchval(query, *args)

    async def until(self, query: str, *args: object, within: float = 20) -> Any:
        """Until the query answers something true."""
        try:
            async with asyncio.timeout(within):
                while not (found := await self.fetchval(query, *args)):
                    await asyncio.sleep(0.05)
                return found
        except TimeoutError:
            raise AssertionError(f"not within {within} s: {query} {args}\n{self.tails()}") from None

    def tails(self) -> str:
        return "\n".join(f"--- {node.name}\n{node.log[-2500:]}" for node in self.nodes)

    def check_logs(self, *, expected: Iterable[str] = ()) -> None:
        """No secret, and no traceback but under a record with one of the words ``expected``."""
        words = [*expected, *([] if self.provider_is_there else [PROVIDER_AWAY])]
        for node in self.nodes:
            for secret in (APP_SECRET, BOT_SECRET, PASSWORD, *TOKENS.values(), *self.secrets):
                assert secret not in node.log, f"{node.name} logged a secret"
            lines = node.log.splitlines()
            for number, line in enumerate(lines):
                record = lines[number - 1]
                if "Traceback" in line and not any(word in record for word in words):
                    raise AssertionError(f"{node.name} logged a traceback:\n" + "\n".join(lines[number - 1 :][:60]))


@asynccontextmanager
async def installation(
    dsn: str,
    folder: Path,
    *,
    nodes: int = 1,
    simulator_url: str | None = None,
    workspace: str = "Acceptance",
    **settings: object,
) -> AsyncIterator[Installation]:
    """``settings`` are those of the product: ``webhook_lease=1``. Every process is gone when the block ends."""
    given = {f"INBOX_{name.upper()}": str(value) for name, value in settings.items()}
    servers = [ServerProcess(f"node-{number}", dsn, folder, given) for number in range(1, nodes + 1)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        try:
            await asyncio.gather(*(server.start() for server in servers))  # all at once, as a deployment does
            pool = await asyncpg.create_pool(dsn, min_size=1, max_size=4)
            assert pool is not None
            try:
                workspace_id = await _make_workspace(dsn, workspace)
                made = Installation(
                    dsn, folder, servers, pool, workspace_id, Api(session, "", ""), session, simulator_url is not None
                )
                await made.log_in()
                await made.connect_channels(simulator_url)
                yield made
            finally:
                pool.terminate()
        finally:
            for server in servers:
                if server.running:
                    await server.kill()


async def _make_workspace(dsn: str, name: str) -> UUID:
    database = Database(dsn, connections=4, event_log=EventLog())
    await database.start()
    try:
        made = await Workspaces(database, Passwords()).create_workspace(name, "Ada", "ada@example.com", PASSWORD)
        return made.workspace.id
    finally:
        await database.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
