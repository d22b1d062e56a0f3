"""What no webhook tells: channels that have fallen silent, tokens that end soon, and renewing those that can be.

Harmless on several nodes at once: reports that change nothing write nothing, and renewals are jobs with keys.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from channels.abilities import NewToken, RenewsToken
from channels.adapter import Adapter, Http
from channels.errors import FetchError
from inbox.connections import repository as rows
from inbox.connections.directory import Channel, Directory
from inbox.connections.health import EXPIRY, OF_THE_TOKEN, RENEWAL, SILENT, ChannelHealth, Report, columns, without
from inbox.connections.repository import ChannelRow
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.http_errors import HttpError
from inbox.kernel.jobs import Job, Jobs
from inbox.kernel.jobs_worker import GiveUp, RetryLater, Worker
from inbox.kernel.secrets import SecretBox

log = logging.getLogger(__name__)

QUEUE: Final = "token.renew"
SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 3600.0
MOST_TRIES: Final = 5
RENEW_BEFORE: Final = timedelta(days=14)
"""How long before its end a token is renewed: long enough for people to act when it fails."""
YOUNGEST: Final = timedelta(hours=24)
"""Channel facts, 3.1: a younger token cannot be renewed. How old it was when it was entered here, nobody knows."""
WARN_BEFORE: Final = timedelta(days=7)


class ChannelUpkeep:
    """``silent_after``: how long nothing may come for a channel that used to be busy."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        box: SecretBox,
        http: Http,
        health: ChannelHealth,
        jobs: Jobs,
        adapters: Mapping[str, Adapter],
        *,
        silent_after: timedelta,
    ) -> None:
        self._database = database
        self._directory = directory
        self._box = box
        self._http = http
        self._health = health
        self._jobs = jobs
        self._renewable = [kind for kind, adapter in adapters.items() if isinstance(adapter, RenewsToken)]
        self._silent_after = silent_after

    def register(self, worker: Worker) -> None:
        worker.register(QUEUE, self.renew, concurrency=2, time_limit=SECONDS)

    async def watch(self) -> None:
        """Silence, and ends of tokens that nobody renews."""
        async with self._database.session() as connection:
            silent = await rows.silent_channels(connection, self._silent_after)
            ending = await rows.ending_tokens(connection, WARN_BEFORE)
        for workspace_id, channel_id, last_at in silent:
            reason = f"No webhook has come since {_day(last_at)}: run `inbox channel check {channel_id}`."
            await self._report(workspace_id, channel_id, Report(SILENT, "degraded", reason))
        for workspace_id, channel_id, expires_at in ending:
            verb = "ended" if expires_at <= datetime.now(UTC) else "ends"
            reason = f"The access token {verb} on {_day(expires_at)}: connect the channel with a new one."
            await self._report(workspace_id, channel_id, Report(EXPIRY, "degraded", reason))

    async def _report(self, workspace_id: UUID, channel_id: UUID, report: Report) -> None:
        async with self._database.transaction() as unit:
            await self._health.report(unit, workspace_id, channel_id, report)

    # --- renewal ------------------------------------------------------------------------------------------------------

    async def ask_for_renewals(self) -> None:
        """One job for each channel whose token soon runs out, or of which nobody knows when it does."""
        async with self._database.session() as connection:
            found = await rows.renewable_tokens(connection, self._renewable, before=RENEW_BEFORE, youngest=YOUNGEST)
        for workspace_id, channel_id in found:
            async with self._database.transaction() as unit:
                await self._ask(unit, workspace_id, channel_id)

    async def ask_on_connecting(self, unit: UnitOfWork, channel: Channel) -> None:
        """Where nobody knows when the token ends, only its renewal tells; it may end tomorrow."""
        if isinstance(channel.adapter, RenewsToken):
            row = await rows.find_channel(unit.connection, channel.workspace_id, channel.id)
            if row is not None and row.token_expires_at is None:
                await self._ask(unit, channel.workspace_id, channel.id)

    async def _ask(self, unit: UnitOfWork, workspace_id: UUID, channel_id: UUID) -> None:
        payload = {"channel_id": str(channel_id)}
        await self._jobs.enqueue(unit, workspace_id, QUEUE, payload, key=str(channel_id), max_attempts=MOST_TRIES)

    async def renew(self, job: Job) -> None:
        """A job handler. Raises ``GiveUp``, ``RetryLater``."""
        workspace_id, channel_id = job.workspace_id, UUID(str(job.payload["channel_id"]))
        async with self._database.session() as connection:
            row = await rows.find_channel(connection, workspace_id, channel_id)
        if row is None:
            raise GiveUp("the channel is gone")
        channel = self._directory.unseal_channel(row)
        if not isinstance(channel.adapter, RenewsToken):
            raise GiveUp("tokens of this kind are not renewed")
        try:
            renewed = await channel.adapter.renew(self._http, channel.account)
        except FetchError as error:
            if _may_be_too_young(row) and not (error.fault.reauthorise or error.fault.retryable):
                await self._tried(channel)
                return
            await self._failed(channel, error.fault.reason, refused=error.fault.reauthorise)
            if error.fault.retryable:
                raise RetryLater(error.fault.retry_after or AGAIN_SECONDS, error.fault.reason) from error
            raise GiveUp(error.fault.reason) from error
        except HttpError as error:
            await self._failed(channel, f"the provider did not answer ({error.reason})", refused=False)
            raise RetryLater(AGAIN_SECONDS, str(error)) from error
        await self._keep(channel, renewed)

    async def _keep(self, channel: Channel, renewed: NewToken | None) -> None:
        async with self._database.transaction() as unit:
            row = await rows.lock_channel(unit, channel.workspace_id, channel.id)
            if row is None or row.token_version != channel.token_version:
                return  # a person was faster: theirs is the newer one
            await rows.note_renewal(unit, channel.workspace_id, channel.id)
            if renewed is None:
                return
            token = self._box.seal(renewed.token, table="channels", row=channel.id, column="token")
            fields: dict[str, object] = {"token": token, "token_expires_at": renewed.expires_at}
            fields |= columns(without(row.health_aspects, OF_THE_TOKEN))
            await self._health.save(unit, row, fields)
        log.info("a token was renewed", extra={"channel": str(channel.id)})

    async def _tried(self, channel: Channel) -> None:
        async with self._database.transaction() as unit:
            await rows.note_renewal(unit, channel.workspace_id, channel.id)

    async def _failed(self, channel: Channel, why: str, *, refused: bool) -> None:
        async with self._database.transaction() as unit:
            row = await rows.lock_channel(unit, channel.workspace_id, channel.id)
            if row is None or row.token_version != channel.token_version:
                return
            await rows.note_renewal(unit, channel.workspace_id, channel.id)
            if refused:
                await self._health.token_refused(unit, channel, why)
            ends = "" if row.token_expires_at is None else f" It ends on {_day(row.token_expires_at)}."
            report = Report(RENEWAL, "degraded", f"The access token could not be renewed: {why.rstrip('.')}.{ends}")
            await self._health.report(unit, channel.workspace_id, channel.id, report)


def _may_be_too_young(row: ChannelRow) -> bool:
    """Then a refusal says nothing about the token; it is asked again the next day."""
    return row.token_expires_at is None and datetime.now(UTC) - row.token_set_at < YOUNGEST


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
