"""Subscriptions: making, changing, pausing, replaying, and looking at what became of deliveries.

What is changed here is noticed by the node that delivers: at once through the wake-up, within a second without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.clock import Clock
from inbox.kernel.database import Database
from inbox.kernel.encoding import encode
from inbox.kernel.errors import Conflict, Invalid, NotFound
from inbox.kernel.eventlog import EventLog
from inbox.kernel.http_guard import Network
from inbox.kernel.ids import new_id
from inbox.subscriptions import attempts, leases
from inbox.subscriptions import repository as rows
from inbox.subscriptions.posting import Poster, body_of
from inbox.subscriptions.registry import Registry, SubscriptionUnknown
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
from inbox.subscriptions.vault import Vault
from inbox.subscriptions.views import view

MOST_REPLAYS: Final = 5


class AttemptUnknown(NotFound):
    code = "attempt_not_found"


class TooManyReplays(Conflict):
    code, title = "too_many_replays", f"A subscription has at most {MOST_REPLAYS} replays at a time"


class SubscriptionDisabled(Conflict):
    code, title = "subscription_disabled", "The subscription is disabled"


class Subscriptions:
    """``changed`` is called after every commit, with the workspace. ``registry``: for rooms with some of their own."""

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
        self.registry = Registry(vault, clock, changed, allow_private=allow_private)

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
                if (
                    stored
                    and f"_{state.epoch.hex[:8]}_" in found.message_id
                    and caller.sees(stored[0].audience, stored[0].holder_id)
                ):
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
        async with self._database.transaction() as unit:
            return await self.registry.create(unit, caller, fields)

    async def change(self, caller: Principal, subscription_id: UUID, patch: SubscriptionPatch) -> SubscriptionView:
        """Raises ``SubscriptionUnknown``, ``Invalid``. Disabled, it keeps its place in the log."""
        caller.require("subscriptions.write")
        async with self._database.transaction() as unit:
            row = await self.registry.change(unit, caller, subscription_id, patch)
        return self._view(caller, row)

    async def enable(self, caller: Principal, subscription_id: UUID, fields: EnableIn) -> SubscriptionView:
        """Go on where it stopped, or with the next event. Raises ``SubscriptionUnknown``, ``OwnerDisabled``."""
        caller.require("subscriptions.write")
        async with self._database.transaction() as unit:
            row = await self.registry.enable(unit, caller, subscription_id, skip=fields.skip)
        return self._view(caller, row)

    async def rotate(self, caller: Principal, subscription_id: UUID, fields: RotateIn) -> SecretRotated:
        """A new secret; the one before goes on signing for a while. Raises ``SubscriptionUnknown``."""
        caller.require("subscriptions.write")
        async with self._database.transaction() as unit:
            return await self.registry.rotate(unit, caller, subscription_id, fields)

    async def delete(self, caller: Principal, subscription_id: UUID) -> None:
        """Raises ``SubscriptionUnknown``, ``SubscriptionInUse``."""
        caller.require("subscriptions.write")
        async with self._database.transaction() as unit:
            await self.registry.delete(unit, caller, subscription_id)

    # --- sending again, and trying out --------------------------------------------------------------------------------

    async def replay(self, caller: Principal, subscription_id: UUID, fields: ReplayIn) -> ReplayView:
        """Send events again, in order, beside the live ones.

        Raises ``SubscriptionUnknown``, ``SubscriptionDisabled``, ``TooManyReplays``, ``Invalid``.
        """
        caller.require("subscriptions.write")
        first, last = fields.bounds
        async with self._database.transaction() as unit:
            row = await self.registry.lock(unit, caller, subscription_id)
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
            self.registry.announce(unit, caller.workspace_id)
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
        entry = attempts.of_ping(row.workspace_id, row.id, attempt_id, message_id, exchange)
        async with self._database.transaction() as unit:
            await leases.log_attempts(unit, [entry])
            if exchange.delivered:
                await rows.try_now(unit, row.workspace_id, row.id, self._clock.now())
                self.registry.announce(unit, caller.workspace_id)
        return AttemptView(**{name: getattr(entry, name) for name in AttemptView.__dataclass_fields__})

    # --- parts --------------------------------------------------------------------------------------------------------

    def _view(self, caller: Principal, row: SubscriptionRow) -> SubscriptionView:
        return view(row, self._vault.url(row.id, row.url) if caller.may("subscriptions.write") else None)

    async def _row(self, caller: Principal, subscription_id: UUID) -> SubscriptionRow:
        async with self._database.session() as connection:
            row = await rows.find(connection, caller.workspace_id, subscription_id)
        if row is None:
            raise SubscriptionUnknown("there is no such subscription")
        return row
