"""Subscriptions over HTTP."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.errors import Fault, Forbidden, Invalid
from inbox.kernel.pages import ListQuery, Page
from inbox.kernel.web import Query, delete, get, patch, post
from inbox.subscriptions.registry import (
    OwnerDisabled,
    SubscriptionInUse,
    SubscriptionUnknown,
    TooManySubscriptions,
)
from inbox.subscriptions.schemas import (
    AttemptDetail,
    AttemptQuery,
    AttemptView,
    EnableIn,
    ReplayIn,
    ReplayView,
    RotateIn,
    SecretRotated,
    SubscriptionCreated,
    SubscriptionIn,
    SubscriptionPatch,
    SubscriptionView,
)
from inbox.subscriptions.service import AttemptUnknown, SubscriptionDisabled, Subscriptions, TooManyReplays


class SubscriptionRoutes:
    """Outgoing webhooks: signed, ordered for each conversation, at least once.

    ``kinds`` are those of the event log, so that a filter which could never match is refused.
    """

    def __init__(self, subscriptions: Subscriptions, kinds: Collection[str]) -> None:
        self._subscriptions = subscriptions
        self._kinds = {*kinds, *(f"{kind.partition('.')[0]}.*" for kind in kinds)}

    @get("/v1/subscriptions", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[ListQuery, Query()]) -> Page[SubscriptionView]:
        """List subscriptions, oldest first."""
        return query.page(await self._subscriptions.list(caller, after=query.last_id(), limit=query.limit + 1))

    @post("/v1/subscriptions", status=201, errors=(Forbidden, TooManySubscriptions))
    async def create(self, caller: Principal, body: SubscriptionIn) -> SubscriptionCreated:
        """Subscribe to what happens from now on. The secret is shown this one time."""
        caller.require("subscriptions.write")
        self._check_kinds(body.kinds)
        return await self._subscriptions.create(caller, body)

    @get("/v1/subscriptions/{subscription_id}", errors=(Forbidden, SubscriptionUnknown))
    async def read(self, caller: Principal, subscription_id: UUID) -> SubscriptionView:
        """Read one subscription."""
        return await self._subscriptions.get(caller, subscription_id)

    @patch("/v1/subscriptions/{subscription_id}", errors=(Forbidden, SubscriptionUnknown))
    async def change(self, caller: Principal, subscription_id: UUID, body: SubscriptionPatch) -> SubscriptionView:
        """Rename it, point it elsewhere, filter, or disable it; what it has not delivered yet waits."""
        caller.require("subscriptions.write")
        self._check_kinds(body.kinds)
        return await self._subscriptions.change(caller, subscription_id, body)

    @delete("/v1/subscriptions/{subscription_id}", errors=(Forbidden, SubscriptionUnknown, SubscriptionInUse))
    async def remove(self, caller: Principal, subscription_id: UUID) -> None:
        """Delete a subscription. What is in the air may still arrive."""
        await self._subscriptions.delete(caller, subscription_id)

    @post(
        "/v1/subscriptions/{subscription_id}/enable", status=200, errors=(Forbidden, SubscriptionUnknown, OwnerDisabled)
    )
    async def enable(self, caller: Principal, subscription_id: UUID, body: EnableIn) -> SubscriptionView:
        """Enable it again: it goes on where it stopped, or with `skip` where the log is now."""
        return await self._subscriptions.enable(caller, subscription_id, body)

    @post("/v1/subscriptions/{subscription_id}/rotate-secret", status=200, errors=(Forbidden, SubscriptionUnknown))
    async def rotate(self, caller: Principal, subscription_id: UUID, body: RotateIn) -> SecretRotated:
        """Make a new secret. Until the overlap ends, messages are signed with the previous one as well."""
        return await self._subscriptions.rotate(caller, subscription_id, body)

    @post("/v1/subscriptions/{subscription_id}/ping", status=200, errors=(Forbidden, SubscriptionUnknown))
    async def ping(self, caller: Principal, subscription_id: UUID) -> AttemptView:
        """Send a test message of kind `ping` now. When it arrives, what waits is tried at once."""
        return await self._subscriptions.ping(caller, subscription_id)

    @post(
        "/v1/subscriptions/{subscription_id}/replay",
        status=202,
        errors=(Forbidden, SubscriptionUnknown, SubscriptionDisabled, TooManyReplays),
    )
    async def replay(self, caller: Principal, subscription_id: UUID, body: ReplayIn) -> ReplayView:
        """Send one event or a range again, in order, under the same ids, beside the live ones."""
        return await self._subscriptions.replay(caller, subscription_id, body)

    @get("/v1/subscriptions/{subscription_id}/deliveries", errors=(Forbidden, SubscriptionUnknown))
    async def deliveries(
        self, caller: Principal, subscription_id: UUID, query: Annotated[AttemptQuery, Query()]
    ) -> Page[AttemptView]:
        """The delivery log, newest first: every request with its outcome."""
        found = await self._subscriptions.deliveries(
            caller, subscription_id, outcome=query.outcome, before=query.last_id(), limit=query.limit + 1
        )
        return query.page(found)

    @get(
        "/v1/subscriptions/{subscription_id}/deliveries/{attempt_id}",
        errors=(Forbidden, SubscriptionUnknown, AttemptUnknown),
    )
    async def delivery(self, caller: Principal, subscription_id: UUID, attempt_id: UUID) -> AttemptDetail:
        """One entry of the delivery log, with the request as it was sent."""
        return await self._subscriptions.attempt(caller, subscription_id, attempt_id)

    def _check_kinds(self, kinds: Collection[str] | None) -> None:
        unknown = [n for n, kind in enumerate(kinds or ()) if kind not in self._kinds]
        if unknown:
            raise Invalid(
                [Fault(f"/body/kinds/{n}", "there is no such kind of event", "unknown_kind") for n in unknown]
            )
