"""Puts the handling of files of one process together, from what it needs of the rest."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from channels.adapter import Http
from inbox.kernel.clock import SystemClock
from inbox.kernel.database import Database
from inbox.kernel.jobs import Jobs
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.secrets import SecretBox
from inbox.kernel.settings import Settings
from inbox.media.attachments import FETCH, REMOVE
from inbox.media.avatars import Avatars
from inbox.media.fetching import Channels, Fetcher
from inbox.media.links import PURPOSE, Links
from inbox.media.retention import Retention
from inbox.media.service import Media, Messages
from inbox.media.serving import MediaEndpoint
from inbox.media.spool import Spool
from inbox.media.store import LocalStore, Store


class Parts(Protocol):
    """What the runtime has by then."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def directory(self) -> Channels: ...
    @property
    def http(self) -> Http: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def box(self) -> SecretBox: ...


class MediaRoom:
    """``service`` and ``endpoint`` are for whoever takes requests, ``register`` and ``retention`` for workers."""

    def __init__(
        self, service: Media, endpoint: MediaEndpoint, fetcher: Fetcher, retention: Retention, avatars: Avatars
    ) -> None:
        self.service = service
        self.endpoint = endpoint
        self.fetcher = fetcher
        self.retention = retention
        self.avatars = avatars

    def register(self, worker: Worker) -> None:
        worker.register(FETCH, self.fetcher.run, concurrency=8, time_limit=330.0)
        worker.register(REMOVE, self.retention.remove, concurrency=2, time_limit=60.0)


def build_media(parts: Parts, messages: Messages) -> MediaRoom:
    """Raises ``ValueError`` or ``ImportError``, which say what to do, for a store that cannot be used."""
    settings, database, jobs = parts.settings, parts.database, parts.jobs
    folder = settings.data_folder / "media"
    # Beside the files of the local store: what is taken in can be renamed into it.
    spool = Spool(folder / "incoming")
    store = build_store(settings)
    links = Links(parts.box.derive(PURPOSE), SystemClock(), seconds=settings.media_link_seconds)
    service = Media(
        database,
        jobs,
        store,
        spool,
        links,
        messages,
        max_bytes=settings.media_max_bytes,
        default_days=settings.media_retention_days,
    )
    fetcher = Fetcher(
        database, parts.directory, parts.http, jobs, store, spool, messages, max_bytes=settings.media_max_bytes
    )
    retention = Retention(database, jobs, store, spool, messages, fetcher, default_days=settings.media_retention_days)
    avatars = Avatars(database, jobs, store, spool, links)
    return MediaRoom(service, MediaEndpoint(service, store, links), fetcher, retention, avatars)


def build_store(settings: Settings) -> Store:
    """Where the bytes of files are kept. Raises ``ValueError``, ``ImportError``."""
    if settings.media_store is None:
        return LocalStore(settings.data_folder / "media" / "files")
    address = urlsplit(settings.media_store)
    if address.scheme != "s3" or not address.netloc:
        raise ValueError("INBOX_MEDIA_STORE: write s3://bucket or s3://bucket/prefix")
    try:
        from inbox.media.s3 import S3Store  # noqa: PLC0415 - needs the optional package obstore
    except ImportError as error:
        raise ImportError("INBOX_MEDIA_STORE needs the extra s3: pip install omnichannel-inbox[s3]") from error
    secret = settings.media_s3_secret
    config = {
        "endpoint": settings.media_s3_endpoint,
        "region": settings.media_s3_region,
        "access_key_id": settings.media_s3_key_id,
        "secret_access_key": None if secret is None else secret.get_secret_value(),
    }
    return S3Store(address.netloc, address.path.strip("/"), {name: value for name, value in config.items() if value})
