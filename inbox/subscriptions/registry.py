"""Making and changing subscriptions inside a transaction of the caller, who has decided that it may be.

Invariant: whatever changes here is said in the log and the audit trail, and running nodes notice it after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from inbox.agents.principal import Principal
from inbox.audit import service as audit
from inbox.kernel.clock import Clock
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import Conflict, Invalid, NotFound
from inbox.kernel.http_guard import Network, NotAllowed, parse_url
from inbox.kernel.ids import new_id
from inbox.subscriptions import events
from inbox.subscriptions import repository as rows
from inbox.subscriptions.repository import SubscriptionRow
from inbox.subscriptions.schemas import RotateIn, SecretRotated, SubscriptionCreated, SubscriptionIn, SubscriptionPatch
from inbox.subscriptions.signing import new_secret
from inbox.subscriptions.vault import StoredSecret, Vault
from inbox.subscriptions.views import view

MOST_PER_WORKSPACE: Final = 500
MOST_SECRETS: Final = 4


class SubscriptionUnknown(NotFound):
    code = "subscription_not_found"


class TooManySubscriptions(Conflict):
    code, title = "too_many_subscriptions", f"A workspace has at most {MOST_PER_WORKSPACE} subscriptions"


class OwnerDisabled(Conflict):
    code, title = "owner_disabled", "The agent whose events it gets is disabled"


class SubscriptionInUse(Conflict):
    code, title = "subscription_in_use", "Something else lives on this subscription"


class Registry:
    """``changed`` is called after every commit, with the workspace."""

    def __init__(
        self, vault: Vault, clock: Clock, changed: Callable[[UUID], None], *, allow_private: Sequence[Network] = ()
    ) -> None:
        self._vault = vault
        self._clock = clock
        self._changed = changed
        self._allow_private = allow_private

    def url_of(self, subscription_id: UUID, sealed: bytes) -> str:
        return self._vault.url(subscription_id, sealed)

    async def create(self, unit: UnitOfWork, caller: Principal, fields: SubscriptionIn) -> SubscriptionCreated:
        """It begins with the next event. Raises ``Invalid``, ``TooManySubscriptions``."""
        origin = self._origin(fields.url)
        subscription_id, secret = new_id(), new_secret()
        if await rows.count(unit, caller.workspace_id) >= MOST_PER_WORKSPACE:
            raise TooManySubscriptions("delete one that is not used any more")
        row = await rows.insert(
            unit,
            caller.workspace_id,
            subscription_id,
            agent_id=fields.agent_id or caller.agent_id,
            name=fields.name,
            url=self._vault.seal_url(subscription_id, fields.url),
            origin=origin,
            secrets=self._vault.seal_secrets(subscription_id, [StoredSecret(secret)]),
            kinds=fields.kinds,
        )
        if row is None:
            raise Invalid.at("/body/agent_id", "there is no such agent, or it is disabled", "unknown_agent")
        unit.record(events.created(caller.workspace_id, view(row)))
        await self._note(unit, caller, "subscription.created", subscription_id, {"origin": origin})
        return SubscriptionCreated(view(row, fields.url), secret)

    async def change(
        self, unit: UnitOfWork, caller: Principal, subscription_id: UUID, patch: SubscriptionPatch
    ) -> SubscriptionRow:
        """Raises ``SubscriptionUnknown``, ``Invalid``. Disabled, it keeps its place in the log."""
        fields: dict[str, object] = {}
        if patch.name is not None:
            fields["name"] = patch.name
        if patch.kinds is not None or patch.all_kinds:
            fields["kinds"] = patch.kinds
        if patch.url is not None:
            fields |= {"url": self._vault.seal_url(subscription_id, patch.url), "origin": self._origin(patch.url)}
        row = await self.lock(unit, caller, subscription_id)
        if fields:
            row = await rows.update(unit, caller.workspace_id, subscription_id, fields)
            unit.record(events.updated(caller.workspace_id, view(row)))
            detail = {"fields": sorted(fields.keys() - {"origin"})}
            await self._note(unit, caller, "subscription.changed", subscription_id, detail)
        if patch.url is not None:
            await rows.try_now(unit, caller.workspace_id, subscription_id, self._clock.now())
        if patch.state == "disabled":
            paused = await rows.disable(unit, caller.workspace_id, subscription_id, "paused")
            if paused is not None:
                row = paused
                unit.record(events.disabled(caller.workspace_id, view(row)))
                await self._note(unit, caller, "subscription.disabled", subscription_id)
        return row

    async def enable(
        self, unit: UnitOfWork, caller: Principal, subscription_id: UUID, *, skip: bool
    ) -> SubscriptionRow:
        """Go on where it stopped, or with the next event. Raises ``SubscriptionUnknown``, ``OwnerDisabled``."""
        row = await self.lock(unit, caller, subscription_id)
        if row.agent_disabled:
            raise OwnerDisabled("enable the agent first, or make a subscription for another one")
        if row.state == "disabled":
            row = await rows.enable(unit, caller.workspace_id, subscription_id, self._clock.now(), skip=skip)
            unit.record(events.updated(caller.workspace_id, view(row)))
            await self._note(unit, caller, "subscription.enabled", subscription_id, {"skip": skip})
        return row

    async def rotate(
        self, unit: UnitOfWork, caller: Principal, subscription_id: UUID, fields: RotateIn
    ) -> SecretRotated:
        """A new secret; the one before goes on signing for a while. Raises ``SubscriptionUnknown``."""
        now = self._clock.now()
        until, secret = now + timedelta(hours=fields.overlap_hours), new_secret()
        row = await self.lock(unit, caller, subscription_id)
        known = self._vault.secrets(row.id, row.secrets)
        kept = [StoredSecret(one.secret, _earlier(one.until, until)) for one in known]
        valid = [one for one in kept if one.until is not None and one.until > now][: MOST_SECRETS - 1]
        sealed = self._vault.seal_secrets(row.id, [StoredSecret(secret), *valid])
        row = await rows.update(unit, caller.workspace_id, subscription_id, {"secrets": sealed})
        unit.record(events.updated(caller.workspace_id, view(row)))
        await self._note(unit, caller, "subscription.secret_rotated", subscription_id, {"previous_until": until})
        return SecretRotated(secret, until)

    async def delete(self, unit: UnitOfWork, caller: Principal, subscription_id: UUID) -> None:
        """Raises ``SubscriptionUnknown``, ``SubscriptionInUse``."""
        try:
            gone = await rows.delete(unit, caller.workspace_id, subscription_id)
        except asyncpg.ForeignKeyViolationError:
            raise SubscriptionInUse("this is how a bot gets its events: delete the bot") from None
        if not gone:
            raise SubscriptionUnknown("there is no such subscription")
        unit.record(events.deleted(caller.workspace_id, subscription_id))
        await self._note(unit, caller, "subscription.deleted", subscription_id)

    async def lock(self, unit: UnitOfWork, caller: Principal, subscription_id: UUID) -> SubscriptionRow:
        """Raises ``SubscriptionUnknown``."""
        row = await rows.find(unit.connection, caller.workspace_id, subscription_id, lock=True)
        if row is None:
            raise SubscriptionUnknown("there is no such subscription")
        return row

    def announce(self, unit: UnitOfWork, workspace_id: UUID) -> None:
        """Nodes that deliver look at it once this is committed."""
        unit.after_commit(lambda: self._changed(workspace_id))

    async def _note(
        self,
        unit: UnitOfWork,
        caller: Principal,
        action: str,
        subscription_id: UUID,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        await audit.record(unit, caller.workspace_id, caller, action, "subscription", subscription_id, detail)
        self.announce(unit, caller.workspace_id)

    def _origin(self, url: str) -> str:
        try:
            parsed = parse_url(url, self._allow_private)
        except NotAllowed as no:
            raise Invalid.at("/body/url", f"this address is not allowed: {no.reason}", "address_refused") from None
        if parsed.scheme != "https" and not self._allow_private:
            raise Invalid.at("/body/url", "events are sent over https only", "https_required")
        return str(parsed.origin())


def _earlier(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)
