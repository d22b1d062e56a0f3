"""Channels: adding, renaming, disabling, deleting.

One provider account is connected at most once in an installation; a refusal tells nothing about who has it. Who
connects an account through an app of the installation has to prove with its token that it is theirs, since the webhooks
of all such accounts come in at one endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from channels.adapter import Adapter, Http
from channels.capabilities import Capabilities
from channels.types import Account
from inbox.agents.principal import Principal
from inbox.connections import events
from inbox.connections import repository as rows
from inbox.connections.asking import ask
from inbox.connections.directory import ChannelUnknown, Directory
from inbox.connections.health import OF_THE_TOKEN, ChannelHealth, columns, without
from inbox.connections.repository import AppRow, ChannelRow
from inbox.connections.schemas import (
    ChannelIn,
    ChannelKind,
    ChannelPatch,
    ChannelView,
    CheckFault,
)
from inbox.connections.views import view
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict, Fault, Invalid
from inbox.kernel.http_guard import Network, NotAllowed, parse_url
from inbox.kernel.ids import new_id
from inbox.kernel.secrets import SecretBox


class AccountAlreadyConnected(Conflict):
    code, title = "account_already_connected", "This account is connected already"


class ChannelInUse(Conflict):
    code, title = "channel_has_conversations", "The channel has conversations: it can be disabled, not deleted"


class Channels:
    """``changed`` is called after every commit, to tell other nodes. ``http`` is the guarded client."""

    def __init__(
        self,
        database: Database,
        box: SecretBox,
        directory: Directory,
        adapters: Mapping[str, Adapter],
        http: Http,
        changed: Callable[[], None],
        *,
        graph_version: str,
        allow_private: Sequence[Network] = (),
    ) -> None:
        self._database = database
        self._box = box
        self._directory = directory
        self._adapters = adapters
        self._http = http
        self.health = ChannelHealth(directory, changed)
        self._graph_version = graph_version
        self._allow_private = allow_private

    # --- reading ------------------------------------------------------------------------------------------------------

    def kinds(self, caller: Principal) -> list[ChannelKind]:
        """What can be connected in this installation."""
        caller.require("channels.read")
        return [
            ChannelKind(kind, adapter.provider, adapter.capabilities)
            for kind, adapter in sorted(self._adapters.items())
        ]

    async def list(self, caller: Principal, *, after: UUID | None, limit: int) -> list[ChannelView]:
        """Oldest first, behind ``after``. Raises ``Forbidden``."""
        caller.require("channels.read")
        async with self._database.session() as connection:
            found = await rows.channel_page(connection, caller.workspace_id, after=after, limit=limit)
        return [view(row) for row in found]

    async def get(self, caller: Principal, channel_id: UUID) -> ChannelView:
        """Raises ``ChannelUnknown``."""
        caller.require("channels.read")
        return view(await self._row(caller, channel_id))

    async def capabilities(self, caller: Principal, channel_id: UUID) -> Capabilities:
        """Raises ``ChannelUnknown``."""
        caller.require("channels.read")
        return (await self._directory.get(caller.workspace_id, channel_id)).capabilities

    # --- changing -----------------------------------------------------------------------------------------------------

    async def create(self, caller: Principal, fields: ChannelIn) -> ChannelView:
        """Raises ``AccountAlreadyConnected``, ``Invalid``."""
        caller.require("channels.write")
        adapter = self._adapters.get(fields.kind)
        if adapter is None:
            raise Invalid.at("/body/kind", "there is no such kind of channel here", "unknown_kind")
        async with self._database.session() as connection:
            app = await rows.find_visible_app(connection, caller.workspace_id, fields.provider_app_id)
        account_id = _account_id(fields, adapter, app)
        api_base = self._api_base(fields.api_base)
        token = fields.token.get_secret_value()
        if app is not None and app.workspace_id is None:
            if api_base is not None:
                raise Invalid.at("/body/api_base", "a shared app speaks to the provider itself", "shared_app")
            account = Account(fields.kind, account_id, token, None, self._graph_version, fields.options)
            await self._prove(adapter, account)
        channel_id = new_id()
        sealed = self._box.seal(token, table="channels", row=channel_id, column="token")
        async with self._database.transaction() as unit:
            # Again, and held: the app may have been deleted meanwhile.
            if (
                await rows.find_visible_app(
                    unit.connection, caller.workspace_id, fields.provider_app_id, lock="key share"
                )
                is None
            ):
                raise _no_such_app()
            row = await rows.insert_channel(
                unit,
                caller.workspace_id,
                channel_id,
                app_id=fields.provider_app_id,
                kind=fields.kind,
                account_id=account_id,
                name=fields.name,
                token=sealed,
                api_base=api_base,
                options=fields.options,
            )
            if row is None:
                raise AccountAlreadyConnected("this account is connected already")
            unit.record(events.created(caller.workspace_id, view(row)))
            self._announce(unit)
        return view(row)

    async def change(self, caller: Principal, channel_id: UUID, patch: ChannelPatch) -> ChannelView:
        """A new token makes the channel healthy until the provider says otherwise. Raises ``ChannelUnknown``."""
        caller.require("channels.write")
        async with self._database.transaction() as unit:
            before = await rows.lock_channel(unit, caller.workspace_id, channel_id)
            if before is None:
                raise ChannelUnknown("this workspace has no such channel")
            given = patch.model_dump(include={"name", "state", "options"}, exclude_none=True)
            fields: dict[str, object] = {name: value for name, value in given.items() if getattr(before, name) != value}
            if patch.token is not None:
                fields["token"] = self._box.seal(
                    patch.token.get_secret_value(), table="channels", row=channel_id, column="token"
                )
                fields["token_expires_at"] = None
                fields |= columns(without(before.health_aspects, OF_THE_TOKEN))
            if not fields:
                return view(before)
            row = await rows.update_channel(unit, caller.workspace_id, channel_id, fields)
            unit.record(events.updated(caller.workspace_id, view(row)))
            self._announce(unit)
        return view(row)

    async def delete(self, caller: Principal, channel_id: UUID) -> None:
        """Raises ``ChannelUnknown``, ``ChannelInUse``."""
        caller.require("channels.write")
        async with self._database.transaction() as unit:
            outcome = await rows.delete_channel(unit, caller.workspace_id, channel_id)
            if outcome == "unknown":
                raise ChannelUnknown("this workspace has no such channel")
            if outcome == "used":
                raise ChannelInUse("the channel has conversations; disable it instead")
            unit.record(events.deleted(caller.workspace_id, channel_id))
            self._announce(unit)

    async def _prove(self, adapter: Adapter, account: Account) -> None:
        found = await ask(self._http, adapter, account)
        if isinstance(found, CheckFault):
            raise Invalid([Fault("/body/token", found.reason, found.code)])

    async def _row(self, caller: Principal, channel_id: UUID) -> ChannelRow:
        async with self._database.session() as connection:
            row = await rows.find_channel(connection, caller.workspace_id, channel_id)
        if row is None:
            raise ChannelUnknown("this workspace has no such channel")
        return row

    def _api_base(self, given: str | None) -> str | None:
        """Names are judged when they are resolved: the guarded client has the last word."""
        if given is None:
            return None
        try:
            url = parse_url(given, self._allow_private)
        except NotAllowed as no:
            raise Invalid.at("/body/api_base", f"this cannot be called: {no.reason}", "not_allowed") from None
        if url.query_string or url.fragment:
            raise Invalid.at("/body/api_base", "a base has no query and no fragment", "not_allowed")
        return given.rstrip("/?#")

    def _announce(self, unit: UnitOfWork) -> None:
        self.health.announce(unit)


def _no_such_app() -> Invalid:
    return Invalid.at("/body/provider_app_id", "there is no such provider app", "unknown_app")


def _account_id(fields: ChannelIn, adapter: Adapter, app: AppRow | None) -> str:
    """The account to connect, after a look at whether kind, app and account go together."""
    if app is None:
        raise _no_such_app()
    if app.provider != adapter.provider:
        raise Invalid.at("/body/provider_app_id", f"{fields.kind} needs an app of {adapter.provider}", "other_provider")
    account_id = fields.account_id or app.account_id
    if account_id is None:
        raise Invalid.at("/body/account_id", "the account to connect is needed", "missing")
    if app.account_id is not None and account_id != app.account_id:
        raise Invalid.at("/body/account_id", "the app belongs to another account", "other_account")
    return account_id
