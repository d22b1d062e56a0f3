"""Provider apps: webhook endpoints with their secrets, which are sealed here and never shown again.

A workspace sees its own apps and those of the installation; only its own can be changed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from pydantic import SecretStr

from channels.adapter import WebhookSecrets
from inbox.agents.principal import Principal
from inbox.connections import repository as rows
from inbox.connections.directory import Directory
from inbox.connections.repository import AppRow
from inbox.connections.schemas import (
    MOST_SECRETS,
    ProviderAppCreated,
    ProviderAppIn,
    ProviderAppPatch,
    ProviderAppView,
)
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from inbox.kernel.ids import new_id
from inbox.kernel.secrets import SecretBox

KEY_BYTES: Final = 24
"""192 random bits in the path of an endpoint."""


class AppUnknown(NotFound):
    code = "provider_app_not_found"


class AppInUse(Conflict):
    code, title = "provider_app_in_use", "Channels are connected through this app"


class AppShared(Forbidden):
    code, title = "provider_app_shared", "The app belongs to the installation"


@dataclass(frozen=True, slots=True)
class AppRules:
    """What the endpoint of a provider needs. ``account``: bodies name no account, so the app has to."""

    generates_secret: bool
    verify_token: bool
    account: bool
    secret: re.Pattern[str] = re.compile(r"[!-~]+")


RULES: Final = {
    "meta": AppRules(generates_secret=False, verify_token=True, account=False),
    # channel facts, 4.1: the characters that setWebhook takes.
    "telegram": AppRules(
        generates_secret=True, verify_token=False, account=True, secret=re.compile(r"[A-Za-z0-9_-]{1,256}")
    ),
}
OTHER_RULES: Final = AppRules(generates_secret=True, verify_token=False, account=False)
"""For a provider that an installation brought along."""


class ProviderApps:
    """``providers``: names of the installed ones. ``changed`` is called after every commit, to tell other nodes."""

    def __init__(
        self,
        database: Database,
        box: SecretBox,
        directory: Directory,
        providers: Sequence[str],
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._box = box
        self._directory = directory
        self._providers = frozenset(providers)
        self._changed = changed

    async def list(self, caller: Principal, *, base: str, after: UUID | None, limit: int) -> list[ProviderAppView]:
        """The workspace's own and those of the installation, oldest first. Raises ``Forbidden``."""
        caller.require("channels.read")
        async with self._database.session() as connection:
            found = await rows.app_page(connection, caller.workspace_id, after=after, limit=limit)
        return [self._view(caller, row, base) for row in found]

    async def get(self, caller: Principal, app_id: UUID, *, base: str) -> ProviderAppView:
        """Raises ``AppUnknown``."""
        caller.require("channels.read")
        async with self._database.session() as connection:
            row = await rows.find_visible_app(connection, caller.workspace_id, app_id)
        if row is None:
            raise AppUnknown("there is no such provider app")
        return self._view(caller, row, base)

    async def create(self, caller: Principal, fields: ProviderAppIn, *, base: str) -> ProviderAppCreated:
        """Raises ``Invalid`` for what the provider does not take."""
        caller.require("channels.write")
        if fields.provider not in self._providers:
            raise Invalid.at("/body/provider", "there is no such provider here", "unknown_provider")
        rules = RULES.get(fields.provider, OTHER_RULES)
        if faults := _faults(fields, rules):
            raise Invalid(faults)
        signing = _plain(fields.signing_secrets)
        generated = None
        if not signing:
            generated = secrets.token_urlsafe(KEY_BYTES)
            signing = [generated]
        verify_token = None
        if rules.verify_token:
            given = fields.verify_token
            verify_token = given.get_secret_value() if given else secrets.token_urlsafe(KEY_BYTES)
        app_id = new_id()
        async with self._database.transaction() as unit:
            row = await rows.insert_app(
                unit,
                caller.workspace_id,
                app_id,
                provider=fields.provider,
                name=fields.name,
                endpoint_key=secrets.token_urlsafe(KEY_BYTES),
                account_id=fields.account_id,
                secrets=self._seal(app_id, signing, verify_token),
            )
            self._announce(unit)
        return ProviderAppCreated(self._view(caller, row, base), generated)

    async def change(self, caller: Principal, app_id: UUID, patch: ProviderAppPatch, *, base: str) -> ProviderAppView:
        """Raises ``AppUnknown``, ``AppShared``, ``Invalid``."""
        caller.require("channels.write")
        async with self._database.transaction() as unit:
            row = await self._own(unit, caller, app_id)
            sealed = row.secrets
            if patch.signing_secrets is not None:
                if faults := _secret_faults(patch.signing_secrets, RULES.get(row.provider, OTHER_RULES)):
                    raise Invalid(faults)
                before = self._open(row)
                signing = _plain(patch.signing_secrets)
                if patch.keep_previous_secrets:
                    signing = list(dict.fromkeys([*signing, *before.signing]))[:MOST_SECRETS]
                sealed = self._seal(app_id, signing, before.verify_token)
            row = await rows.update_app(unit, app_id, name=patch.name or row.name, secrets=sealed)
            self._announce(unit)
        return self._view(caller, row, base)

    async def delete(self, caller: Principal, app_id: UUID) -> None:
        """Raises ``AppUnknown``, ``AppShared``, ``AppInUse``."""
        caller.require("channels.write")
        async with self._database.transaction() as unit:
            await self._own(unit, caller, app_id)
            if not await rows.delete_app(unit, app_id):
                raise AppInUse("delete the channels that are connected through this app first")
            self._announce(unit)

    async def _own(self, unit: UnitOfWork, caller: Principal, app_id: UUID) -> AppRow:
        row = await rows.find_visible_app(unit.connection, caller.workspace_id, app_id, lock="update")
        if row is None:
            raise AppUnknown("there is no such provider app")
        if row.workspace_id is None:
            raise AppShared("the app belongs to the installation")
        return row

    def _announce(self, unit: UnitOfWork) -> None:
        unit.after_commit(self._directory.forget)
        unit.after_commit(self._changed)

    def _open(self, row: AppRow) -> WebhookSecrets:
        return self._directory.unseal_app(row).secrets

    def _seal(self, app_id: UUID, signing: Sequence[str], verify_token: str | None) -> bytes:
        document = orjson.dumps({"signing": signing, "verify_token": verify_token})
        return self._box.seal(document, table="provider_apps", row=app_id, column="secrets")

    def _view(self, caller: Principal, row: AppRow, base: str) -> ProviderAppView:
        shared = row.workspace_id is None
        shown = caller.may("channels.write") and not shared
        return ProviderAppView(
            id=row.id,
            provider=row.provider,
            name=row.name,
            account_id=row.account_id,
            shared=shared,
            webhook_url=f"{base}/webhooks/{row.provider}/{row.endpoint_key}" if shown else None,
            verify_token=self._open(row).verify_token if shown else None,
            created_at=row.created_at,
        )


def _plain(given: Sequence[SecretStr] | None) -> list[str]:
    return list(dict.fromkeys(secret.get_secret_value() for secret in given or ()))


def _faults(fields: ProviderAppIn, rules: AppRules) -> list[Fault]:
    faults = _secret_faults(fields.signing_secrets or (), rules)
    if not fields.signing_secrets and not rules.generates_secret:
        faults.append(
            Fault("/body/signing_secrets", "this provider signs with a secret of its own: give it", "missing")
        )
    if fields.verify_token is not None and not rules.verify_token:
        faults.append(Fault("/body/verify_token", "this provider has no such token", "unexpected"))
    if fields.account_id is None and rules.account:
        faults.append(Fault("/body/account_id", "the webhooks of this provider do not name the account", "missing"))
    if fields.account_id is not None and fields.provider in RULES and not rules.account:
        faults.append(Fault("/body/account_id", "one app of this provider serves many accounts", "unexpected"))
    return faults


def _secret_faults(given: Sequence[SecretStr], rules: AppRules) -> list[Fault]:
    return [
        Fault(f"/body/signing_secrets/{index}", "this has a character that the provider does not take", "characters")
        for index, secret in enumerate(given)
        if not rules.secret.fullmatch(secret.get_secret_value())
    ]
