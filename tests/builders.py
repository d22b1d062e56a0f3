"""Small makers of rows, for tests that need something to be there. They use the product's own code where it exists."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
from prometheus_client import CollectorRegistry

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from channels.adapter import Adapter, Http
from channels.registry import ADAPTERS, PROVIDERS
from contacts.resolution import Resolver
from inbox.connections.directory import Channel, Directory
from inbox.connections.health import ChannelHealth
from inbox.conversations.profiles import ProfileRequests
from inbox.conversations.service import Conversations
from inbox.delivery.pausing import pause_buckets
from inbox.ingest.metrics import IngestMetrics
from inbox.ingest.processor import Processor
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Jobs
from inbox.kernel.partitions import ensure
from inbox.kernel.reactions import Reactions
from inbox.kernel.secrets import SecretBox
from inbox.kernel.wakeup import Wakeup
from inbox.media.attachments import Attachments
from inbox.messages.channel_news import ChannelNews
from inbox.messages.consequences import Consequences
from inbox.messages.joining import ThreadJoiner
from inbox.messages.receiving import Receiver
from inbox.templates.service import Templates
from inbox.templates.syncing import TemplateSync

APP_SECRET = "an app secret of the tests"
BOT_SECRET = "a_bot_secret_of_the_tests"


@dataclass
class Node:
    """The way in of one process, without HTTP: enough to receive, look up and count."""

    database: Database
    event_log: EventLog
    box: SecretBox
    directory: Directory
    conversations: Conversations
    receiver: Receiver
    processor: Processor
    syncing: TemplateSync
    templates: Templates
    tapped: list[tuple[Channel, str]] = field(default_factory=list)

    async def fetch(self, query: str, *args: object) -> list[Any]:
        async with self.database.session() as connection:
            return list(await connection.fetch(query, *args))

    async def fetchval(self, query: str, *args: object) -> Any:
        async with self.database.session() as connection:
            return await connection.fetchval(query, *args)


async def start_node(
    dsn: str, *, adapters: dict[str, Adapter] | None = None, connections: int = 8, reactions: Reactions | None = None
) -> Node:
    event_log = EventLog()
    database = Database(dsn, connections=connections, event_log=event_log, reactions=reactions)
    await database.start()
    async with database.session() as connection:
        await ensure(connection)
    box = SecretBox({"test": b"k" * 32}, "test")
    directory = Directory(database, box, adapters or dict(ADAPTERS), "v26.0")
    conversations = Conversations(database, event_log, directory)
    tapped: list[tuple[Channel, str]] = []
    jobs = Jobs(Wakeup())
    health = ChannelHealth(directory, lambda: None)
    syncing = TemplateSync(database, directory, cast(Http, None), jobs, health.token_refused)
    templates = Templates(database, directory, adapters or dict(ADAPTERS), syncing)
    receiver = Receiver(
        Resolver(ThreadJoiner(conversations).join),
        conversations,
        Attachments(jobs),
        ProfileRequests(jobs),
        lambda channel, token: tapped.append((channel, token)),
        ChannelNews(health, syncing),
        Consequences(conversations, health, pause_buckets),
    )
    metrics = IngestMetrics(CollectorRegistry())
    processor = Processor(database, directory, PROVIDERS, receiver, metrics)
    return Node(database, event_log, box, directory, conversations, receiver, processor, syncing, templates, tapped)


async def make_workspace(node: Node, name: str = "Test") -> UUID:
    workspace_id = new_id()
    async with node.database.session() as connection:
        await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, $2)", workspace_id, name)
        await connection.execute("INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", workspace_id, uuid4())
    return workspace_id


async def make_app(
    node: Node, workspace_id: UUID | None, provider: str, *, account_id: str | None = None, key: str | None = None
) -> UUID:
    app_id = new_id()
    signing = [BOT_SECRET if provider == "telegram" else APP_SECRET]
    secrets = node.box.seal(
        orjson.dumps({"signing": signing, "verify_token": "verify me"}),
        table="provider_apps",
        row=app_id,
        column="secrets",
    )
    async with node.database.session() as connection:
        await connection.execute(
            """INSERT INTO provider_apps (id, workspace_id, provider, name, endpoint_key, account_id, secrets)
               VALUES ($1, $2, $3, $4, $5, $6, $7)""",
            app_id,
            workspace_id,
            provider,
            f"{provider} app",
            key or app_id.hex,
            account_id,
            secrets,
        )
    return app_id


async def make_channel(
    node: Node,
    workspace_id: UUID,
    app_id: UUID,
    kind: str,
    account_id: str,
    *,
    api_base: str | None = None,
    options: dict[str, str] | None = None,
) -> Channel:
    channel_id = new_id()
    token = node.box.seal(f"token-of-{account_id}", table="channels", row=channel_id, column="token")
    async with node.database.session() as connection:
        await connection.execute(
            """
            INSERT INTO channels (workspace_id, id, provider_app_id, kind, account_id, name, token, api_base, options)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            workspace_id,
            channel_id,
            app_id,
            kind,
            account_id,
            f"{kind} {account_id}",
            token,
            api_base,
            options or {},
        )
    node.directory.forget()
    return await node.directory.get(workspace_id, channel_id)


# --- Webhook bodies ---------------------------------------------------------------------------------------------------


def sign(body: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def whatsapp_body(account_id: str, *messages: dict[str, Any], statuses: list[dict[str, Any]] | None = None) -> bytes:
    contacts = [{"profile": {"name": f"Customer {m['from']}"}, "wa_id": m["from"]} for m in messages if m.get("from")]
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550000001", "phone_number_id": account_id},
    }
    if messages:
        value |= {"contacts": contacts, "messages": list(messages)}
    if statuses:
        value["statuses"] = statuses
    change = {"field": "messages", "value": value}
    entry = {"id": "WABA", "changes": [change]}
    return orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def whatsapp_text(sender: str, external_id: str, text: str, at: int = 1_790_000_000) -> dict[str, Any]:
    return {"from": sender, "id": external_id, "timestamp": str(at), "type": "text", "text": {"body": text}}


def whatsapp_status(external_id: str, status: str, *, to: str = "15551230001", **more: Any) -> dict[str, Any]:
    return {"id": external_id, "status": status, "timestamp": "1790000100", "recipient_id": to, **more}
