"""Subscriptions: making, changing, pausing, replaying, and looking at what became of deliveries.

What is changed here is noticed by the node that delivers: at once through the wake-up, within a second without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.clock import Clock
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.encoding import encode
from inbox.kernel.errors import Conflict, Invalid, NotFound
from inbox.kernel.eventlog import EventLog
from inbox.kernel.http_guard import Network, NotAllowed, parse_url
from inbox.kernel.ids import new_id
from inbox.subscriptions import events, leases
from inbox.subscriptions import repository as rows
from inbox.subscriptions.leases import AttemptRow
from inbox.subscriptions.posting import Exchange, Poster, body_of
from inbox.subscriptions.repository import SubscriptionRow
from inbox.subscriptions.schemas import (
    AttemptDetail,
    AttemptView,
    EnableIn,
    Outcome,
    ReplayIn,
    ReplayView,
    RequestView,
    RotateIn,
    SecretRotated,
    SubscriptionCreated,
    SubscriptionIn,
    SubscriptionPatch,
    SubscriptionView,
)
from inbox.subscriptions.signing import new_secret
from inbox.subscriptions.vault import StoredSecret, Vault
from inbox.subscriptions.views import view

MOST_PER_WORKSPACE: Final = 500
MOST_REPLAYS: Final = 5
MOST_SECRETS: Final = 4


class SubscriptionUnknown(NotFound):
    code = "subscription_not_found"


class AttemptUnknown(NotFound):
    code = "attempt_not_found"


class TooManySubscriptions(Conflict):
    code, title = "too_many_subscriptions", f"A workspace has at most {MOST_PER_WORKSPACE} subscriptions"


class TooManyReplays(Conflict):
    code, title = "too_many_replays", f"A subscription has at most {MOST_REPLAYS} replays at a time"


class SubscriptionDisabled(Conflict):
    code, title = "subscription_disabled", "The subscription is disabled"


class OwnerDisabled(Conflict):
    code, title = "owner_disabled", "The agent whose events it gets is disabled"


class Subscriptions:
    """``changed`` is called after every commit, with the workspace."""

    def __init__(
        self,
        database: Database,
        event_log: EventLog,
        vault: Vault,
        poster: Poster,
        clock: Clock,
        changed: Callable[[UUID], None],
        *,
        allow_private: Sequence[Network] = (),
    ) -> None:
        self._database = database
        self._event_log = event_log
        self._vault = vault
        self._poster = poster
        self._clock = clock
        self._changed = changed
        self._allow_private = allow_private

    # --- reading ------------------------------------------------------------------------------------------------------

    async def get(self, caller: Principal, subscription_id: UUID) -> SubscriptionView:
        """Raises ``SubscriptionUnknown``."""
        caller.require("subscriptions.read")
        return self._view(caller, await self._row(caller, subscription_id))

    async def deliveries(
        self, caller: Principal, subscription_id: UUID, *, outcome: Outcome | None, before: UUID | None, limit: int
    ) -> list[AttemptView]:
        """The delivery log, newest first. Raises ``SubscriptionUnknown``."""
        caller.require("subscriptions.read")
        row = await self._row(caller, subscription_id)
        async with self._database.session() as connection:
            return await rows.attempts(
                connection, row.workspace_id, row.id, outcome=outcome, before=before, limit=limit
            )

    async def attempt(self, caller: Principal, subscription_id: UUID, attempt_id: UUID) -> AttemptDetail:
        """One request of the log, as it was sent; its body is made from the event log again.

        Raises ``SubscriptionUnknown``, ``AttemptUnknown``.
        """
        caller.require("subscriptions.read")
        row = await self._row(caller, subscription_id)
        async with self._database.session() as connection:
            found = await rows.find_attempt(connection, row.workspace_id, row.id, attempt_id)
            if found is None:
                raise AttemptUnknown("there is no such entry in the delivery log")
            body = None
            if found.position is not None:
                state = await self._event_log.state(connection, row.workspace_id)
                after, upto = found.position - 1, found.position
                stored = await self._event_log.read(connection, row.workspace_id, after=after, upto=upto)
                if stored and f"_{state.epoch.hex[:8]}_" in found.message_id and caller.sees(stored[0].audience, stored[0].holder_id):
                    body = body_of(stored[0], state.epoch).decode()
        headers = {
            "content-type": "application/json",
            "webhook-id": found.message_id,
            "webhook-timestamp": str(int(found.attempted_at.timestamp())),
        }
        return AttemptDetail(found, RequestView("POST", row.origin, headers, body))

    async def list(self, caller: Principal, *, after: UUID | None, limit: int) -> list[SubscriptionView]:
        caller.require("subscriptions.read")
        async with self._database.session() as connection:
            found = await rows.page(connection, caller.workspace_id, after=after, limit=limit)
        return [self._view(caller, row) for row in found]

    # --- changing -----------------------------------------------------------------------------------------------------

    async def create(self, caller: Principal, fields: SubscriptionIn) -> SubscriptionCreated:
        """It begins with the next event. Raises ``Invalid``, ``TooManySubscriptions``."""
        caller.require("subscriptions.write")
        origin = self._origin(fields.url)
        subscription_id, secret = new_id(), new_secret()
        async with self._database.transaction() as unit:
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
            self._announce(unit, caller.workspace_id)
        return SubscriptionCreated(view(row, fields.url), secret)

    async def change(self, caller: Principal, subscription_id: UUID, patch: SubscriptionPatch) -> SubscriptionView:
        """Raises ``SubscriptionUnknown``, ``Invalid``. Disabled, it keeps its place in the log."""
        caller.require("subscriptions.write")
        fields: dict[str, object] = {}
        if patch.name is not None:
            fields["name"] = patch.name
        if patch.kinds is not None or patch.all_kinds:
            fields["kinds"] = patch.kinds
        if patch.url is not None:
            fields |= {"url": self._vault.seal_url(subscription_id, patch.url), "origin": self._origin(patch.url)}
        async with self._database.transaction() as unit:
            row = await self._lock(unit, caller, subscription_id)
            if fields:
                row = await rows.update(unit, caller.workspace_id, subscription_id, fields)
                unit.record(events.updated(caller.workspace_id, view(row)))
            if patch.url is not None:
                await rows.try_now(unit, caller.workspace_id, subscription_id, self._clock.now())
            if patch.state == "disabled":
                paused = await rows.disable(unit, caller.workspace_id, subscription_id, "paused")
                if paused is not None:
                    row = paused
                    unit.record(events.disabled(caller.workspace_id, view(row)))
            self._announce(unit, caller.workspace_id)
        return self._view(caller, row)

    async def enable(self, caller: Principal, subscription_id: UUID, fields: EnableIn) -> SubscriptionView:
        """Go on where it stopped, or with the next event. Raises ``SubscriptionUnknown``, ``OwnerDisabled``."""
        caller.require("subscriptions.write")
        async with self._database.transaction() as unit:
            row = await self._lock(unit, caller, subscription_id)
            if row.agent_disabled:
                raise OwnerDisabled("enable the agent first, or make a subscription for another one")
            if row.state == "disabled":
                now = self._clock.now()
                row = await rows.enable(unit, caller.workspace_id, subscription_id, now, skip=fields.skip)
                unit.record(events.updated(caller.workspace_id, view(row)))
                self._announce(unit, caller.workspace_id)
        return self._view(caller, row)

    async def rotate(self, caller: Principal, subscription_id: UUID, fields: RotateIn) -> SecretRotated:
        """A new secret; the one before goes on signing for a while. Raises ``SubscriptionUnknown``."""
        caller.require("subscriptions.write")
        now = self._clock.now()
        until, secret = now + timedelta(hours=fields.overlap_hours), new_secret()
        async with self._database.transaction() as unit:
            row = await self._lock(unit, caller, subscription_id)
            known = self._vault.secrets(row.id, row.secrets)
            kept = [StoredSecret(one.secret, _earlier(one.until, until)) for one in known]
            valid = [one for one in kept if one.until is not None and one.until > now][: MOST_SECRETS - 1]
            sealed = self._vault.seal_secrets(row.id, [StoredSecret(secret), *valid])
            row = await rows.update(unit, caller.workspace_id, subscription_id, {"secrets": sealed})
            unit.record(events.updated(caller.workspace_id, view(row)))
            self._announce(unit, caller.workspace_id)
        return SecretRotated(secret, until)

    async def delete(self, caller: Principal, subscription_id: UUID) -> None:
        """Raises ``SubscriptionUnknown``."""
        caller.require("subscriptions.write")
        async with self._database.transaction() as unit:
            if not await rows.delete(unit, caller.workspace_id, subscription_id):
                raise SubscriptionUnknown("there is no such subscription")
            unit.record(events.deleted(caller.workspace_id, subscription_id))
            self._announce(unit, caller.workspace_id)

    # --- sending again, and trying out --------------------------------------------------------------------------------

    async def replay(self, caller: Principal, subscription_id: UUID, fields: ReplayIn) -> ReplayView:
        """Send events again, in order, beside the live ones.

        Raises ``SubscriptionUnknown``, ``SubscriptionDisabled``, ``TooManyReplays``, ``Invalid``.
        """
        caller.require("subscriptions.write")
        first, last = fields.bounds
        async with self._database.transaction() as unit:
            row = await self._lock(unit, caller, subscription_id)
            if row.state == "disabled":
                raise SubscriptionDisabled("enable it first")
            state = await self._event_log.state(unit.connection, caller.workspace_id)
            if first <= state.floor or last > state.head:
                detail = f"the log holds the positions {state.floor + 1} to {state.head}"
                raise Invalid.at("/body", detail, "beyond_retention")
            if await rows.replays(unit, caller.workspace_id, subscription_id) >= MOST_REPLAYS:
                raise TooManyReplays("wait for one to end")
            now = self._clock.now()
            lane = await rows.insert_replay(unit, caller.workspace_id, subscription_id, now, first=first, last=last)
            self._announce(unit, caller.workspace_id)
        return ReplayView(lane, first, last)

    async def ping(self, caller: Principal, subscription_id: UUID) -> AttemptView:
        """Send a signed test message now, also when it is disabled, and say what came of it."""
        caller.require("subscriptions.write")
        row = await self._row(caller, subscription_id)
        target = self._vault.target(row.id, row.url, row.secrets)
        attempt_id = new_id()
        message_id = f"msg_{row.id.hex}_ping_{attempt_id.hex}"
        document = {
            "workspace_id": row.workspace_id,
            "epoch": row.epoch,
            "position": None,
            "kind": "ping",
            "at": self._clock.now(),
            "conversation_id": None,
            "data": {"subscription_id": row.id},
        }
        exchange = await self._poster.post(target, message_id, encode(document))
        entry = _ping_entry(row, attempt_id, message_id, exchange)
        async with self._database.transaction() as unit:
            await leases.log_attempts(unit, [entry])
            if exchange.delivered:
                await rows.try_now(unit, row.workspace_id, row.id, self._clock.now())
                self._announce(unit, caller.workspace_id)
        return AttemptView(**{name: getattr(entry, name) for name in AttemptView.__dataclass_fields__})

    # --- parts --------------------------------------------------------------------------------------------------------

    def _origin(self, url: str) -> str:
        try:
            parsed = parse_url(url, self._allow_private)
        except NotAllowed as no:
            raise Invalid.at("/body/url", f"this address is not allowed: {no.reason}", "address_refused") from None
        if parsed.scheme != "https" and not self._allow_private:
            raise Invalid.at("/body/url", "events are sent over https only", "https_required")
        return str(parsed.origin())

    def _view(self, caller: Principal, row: SubscriptionRow) -> SubscriptionView:
        return view(row, self._vault.url(row.id, row.url) if caller.may("subscriptions.write") else None)

    async def _row(self, caller: Principal, subscription_id: UUID) -> SubscriptionRow:
        async with self._database.session() as connection:
            row = await rows.find(connection, caller.workspace_id, subscription_id)
        if row is None:
            raise SubscriptionUnknown("there is no such subscription")
        return row

    async def _lock(self, unit: UnitOfWork, caller: Principal, subscription_id: UUID) -> SubscriptionRow:
        row = await rows.find(unit.connection, caller.workspace_id, subscription_id, lock=True)
        if row is None:
            raise SubscriptionUnknown("there is no such subscription")
        return row

    def _announce(self, unit: UnitOfWork, workspace_id: UUID) -> None:
        unit.after_commit(lambda: self._changed(workspace_id))


def _earlier(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)


def _ping_entry(row: SubscriptionRow, attempt_id: UUID, message_id: str, exchange: Exchange) -> AttemptRow:
    return AttemptRow(
        workspace_id=row.workspace_id,
        subscription_id=row.id,
        id=attempt_id,
        attempted_at=exchange.at,
        purpose="ping",
        message_id=message_id,
        position=None,
        kind="ping",
        conversation_id=None,
        attempt=1,
        outcome="delivered" if exchange.delivered else "failed",
        status=exchange.status,
        error=exchange.error,
        milliseconds=exchange.milliseconds,
        bytes=exchange.bytes,
        answer=exchange.answer,
        next_at=None,
    )
