"""One frozen object with everything that can be set. Read from the environment (``INBOX_…``) once, at start.

Defaults run the product on one machine with an embedded PostgreSQL. Secrets are ``SecretStr`` and never printed.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Role = Literal["api", "worker"]


class Settings(BaseSettings):
    """Durations are in seconds and sizes in bytes unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="INBOX_", frozen=True, extra="ignore")

    data_folder: Path = Field(default=Path("data"), description="Embedded PostgreSQL, media and the generated key.")
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://… of your own server. Unset: an embedded PostgreSQL is started."
    )
    postgres_binaries: Path | None = Field(default=None, description="Folder with the embedded server's programs.")
    database_connections: int = Field(default=12, ge=4, le=200, description="Size of this process's pool.")
    secret_keys: SecretStr | None = Field(
        default=None,
        description="Keys that encrypt credentials: 'id:base64,…', the first one is used for new values. "
        "Unset: a key is generated in the data folder.",
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = Field(default=None, description="How providers and people reach this installation.")
    roles: tuple[Role, ...] = Field(default=("api", "worker"), description="What this process does.")
    trust_proxy: bool = Field(default=False, description="Take client addresses from X-Forwarded-For.")

    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    webhook_max_bytes: int = Field(
        default=3 * 1024 * 1024, ge=1, description="channel facts 1.1: WhatsApp sends up to 3 MB."
    )
    webhook_lease: float = Field(
        default=30.0, gt=0, description="How long the accepting node has for a webhook before another takes it over."
    )
    raw_retention_days: int = Field(default=14, ge=1, description="How long handled webhook bodies can be replayed.")
    event_retention_days: int = Field(default=30, ge=1, description="How far back a client may resume.")

    allow_private_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Private ranges that outgoing requests may reach, as a JSON list. Empty: none."
    )
    graph_version: str = Field(default="v26.0", description="Meta Graph API version.")
    send_timeout: float = Field(default=20.0, gt=0, description="One request to a provider.")
    uncertain_after: float = Field(default=60.0, gt=0, description="A send without an outcome becomes `uncertain`.")

    channel_silent_hours: int = Field(
        default=72, ge=1, description="After how long without a webhook a channel that used to be busy is `silent`."
    )

    media_store: str | None = Field(
        default=None, description="s3://bucket/prefix of an S3-compatible store. Unset: `media` in the data folder."
    )
    media_s3_endpoint: str | None = Field(
        default=None,
        description="https://… of a store that is not Amazon's. Unset, like the three below: AWS_… applies.",
    )
    media_s3_region: str | None = None
    media_s3_key_id: str | None = Field(default=None, description="Access key of the store.")
    media_s3_secret: SecretStr | None = Field(default=None, description="Secret of that access key.")
    media_max_bytes: int = Field(
        default=100 * 1024 * 1024, ge=1024, description="Larger files are neither kept nor sent."
    )
    media_link_seconds: int = Field(default=900, ge=10, le=86_400, description="Life of a link to a file.")
    media_retention_days: int | None = Field(
        default=None, ge=1, description="How long files are kept where a channel says nothing. Unset: for ever."
    )

    session_hours: int = Field(default=24 * 14, ge=1)
    ticket_seconds: int = Field(default=30, ge=1)
    heartbeat_seconds: float = Field(default=15.0, gt=0, description="Head of the log on each live socket.")
    socket_queue_bytes: int = Field(
        default=1024 * 1024, ge=256 * 1024, description="Unsent bytes at which a slow socket is closed."
    )
