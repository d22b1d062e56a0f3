"""Connecting for real: the provider is told where to deliver, and asked whether it does and what else is wrong.

Nothing is held while a provider is asked. What an answer says about a token that was replaced meanwhile is dropped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias
from uuid import UUID

from channels.abilities import Endpoint
from channels.adapter import AccountFacts, Http
from channels.types import Account
from inbox.agents.principal import Principal
from inbox.connections import asking
from inbox.connections import repository as rows
from inbox.connections.directory import OWNER_OPTION, RESTRICTION, Channel, ChannelUnknown, Directory
from inbox.connections.health import BILLING, EXPIRY, TOKEN, ChannelHealth, Report
from inbox.connections.repository import AppRow, ChannelRow
from inbox.connections.schemas import CheckedAccount, CheckFault, CheckOut, ConnectOut, FindingView
from inbox.connections.views import view
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict

SETUP: Final = "setup"
"""Aspect of a channel's health: something at the provider is not set up as it has to be."""
DECIDED_BY_THE_PROVIDER: Final = frozenset({"throughput"})
"""Options that follow what each check finds."""

Connected: TypeAlias = Callable[[UnitOfWork, Channel], Awaitable[None]]


class PublicUrlUnset(Conflict):
    code, title = "public_url_unset", "The provider cannot be told where to deliver"


class Connecting:
    """``public_url``: how providers reach us. ``connected``: told in the transaction that records a connection."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        http: Http,
        health: ChannelHealth,
        connected: Sequence[Connected],
        *,
        public_url: str | None,
    ) -> None:
        self._database = database
        self._directory = directory
        self._http = http
        self._health = health
        self._connected = connected
        self._public_url = None if public_url is None else public_url.rstrip("/")

    async def check(self, caller: Principal, channel_id: UUID) -> CheckOut:
        """Ask the provider about the stored credentials and all that can be looked at; the health follows.

        Raises ``ChannelUnknown``.
        """
        caller.require("channels.write")
        row, app = await self._read(caller, channel_id)
        channel = self._directory.unseal_channel(row)
        found = await asking.ask(self._http, channel.adapter, channel.account)
        account = _known_better(channel.account, found)
        findings = await asking.inspect(self._http, channel.adapter, account, self._endpoint(app))
        await self._note(row, channel, found, findings)
        if isinstance(found, CheckFault):
            return CheckOut(False, None, found, findings)
        return CheckOut(True, CheckedAccount(found.account_id, found.name, found.options), None, findings)

    async def connect(self, caller: Principal, channel_id: UUID) -> ConnectOut:
        """Check the credentials and have the provider deliver to us; again does no harm.

        Raises ``ChannelUnknown``, ``PublicUrlUnset``.
        """
        caller.require("channels.write")
        row, app = await self._read(caller, channel_id)
        endpoint = self._endpoint(app)
        if endpoint is None:
            raise PublicUrlUnset("set INBOX_PUBLIC_URL to the https address at which providers reach this installation")
        channel = self._directory.unseal_channel(row)
        found = await asking.ask(self._http, channel.adapter, channel.account)
        findings: list[FindingView] = []
        fault = found if isinstance(found, CheckFault) else None
        if fault is None:
            account = _known_better(channel.account, found)
            done = await asking.subscribe(self._http, channel.adapter, account, endpoint)
            if isinstance(done, CheckFault):
                fault = done
            else:
                findings = done
        await self._note(row, channel, fault or found, findings, connected=fault is None)
        after, _ = await self._read(caller, channel_id)
        shared = app.workspace_id is None
        return ConnectOut(
            ok=fault is None and all(one.state != "broken" for one in findings),
            channel=view(after),
            fault=fault,
            findings=findings,
            webhook_url=None if shared else endpoint.url,
            verify_token=None if shared else endpoint.verify_token,
        )

    async def _note(
        self,
        asked: ChannelRow,
        channel: Channel,
        found: AccountFacts | CheckFault,
        findings: Sequence[FindingView],
        *,
        connected: bool = False,
    ) -> None:
        async with self._database.transaction() as unit:
            row = await rows.lock_channel(unit, channel.workspace_id, channel.id)
            if row is None or row.token_version != asked.token_version:
                return
            if isinstance(found, CheckFault):
                if found.reauthorise:
                    await self._health.token_refused(unit, channel, found.reason)
                return
            fields: dict[str, object] = {}
            if found.expires_at is not None and found.expires_at != row.token_expires_at:
                fields["token_expires_at"] = found.expires_at
            if (options := _options(row.options, found.options, connected=connected)) != row.options:
                fields["options"] = options
            if fields:
                await self._health.save(unit, row, fields)
            await self._health.report(unit, row.workspace_id, row.id, *_reports(found, findings))
            if connected:
                for tell in self._connected:
                    await tell(unit, channel)

    async def _read(self, caller: Principal, channel_id: UUID) -> tuple[ChannelRow, AppRow]:
        async with self._database.session() as connection:
            row = await rows.find_channel(connection, caller.workspace_id, channel_id)
            app = None if row is None else await rows.find_app_by_id(connection, row.app_id)
        if row is None or app is None:
            raise ChannelUnknown("this workspace has no such channel")
        return row, app

    def _endpoint(self, app: AppRow) -> Endpoint | None:
        if self._public_url is None:
            return None
        secrets = self._directory.unseal_app(app).secrets
        url = f"{self._public_url}/webhooks/{app.provider}/{app.endpoint_key}"
        return Endpoint(url, secrets.verify_token, secrets.signing[0] if secrets.signing else None)


def _reports(facts: AccountFacts, findings: Sequence[FindingView]) -> list[Report]:
    reports = [Report(TOKEN, "ok")]
    if facts.expires_at is not None:
        reports.append(Report(EXPIRY, "ok"))  # the upkeep says it again where it is still near
    broken = next((one for one in findings if one.state == "broken"), None)
    if broken is not None:
        reports.append(Report(SETUP, "degraded", f"{broken.reason} {broken.remedy or ''}".strip()))
    elif not any(one.code == "not_inspected" for one in findings):
        reports += (Report(SETUP, "ok"), Report(BILLING, "ok"), Report(RESTRICTION, "ok"))
    return reports


def _known_better(account: Account, found: AccountFacts | CheckFault) -> Account:
    """With the owner that the provider has just named, where nobody had entered one."""
    if isinstance(found, CheckFault) or OWNER_OPTION not in found.options or OWNER_OPTION in account.options:
        return account
    return replace(account, options={**account.options, OWNER_OPTION: found.options[OWNER_OPTION]})


def _options(own: Mapping[str, str], found: Mapping[str, str], *, connected: bool) -> dict[str, str]:
    """What somebody entered stands, but for what the provider alone decides and may change: the throughput."""
    granted = {name: value for name, value in found.items() if name in DECIDED_BY_THE_PROVIDER}
    filled = {name: value for name, value in found.items() if connected or name == OWNER_OPTION}
    return {**filled, **own, **granted}
