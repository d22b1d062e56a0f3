"""What a refusal says about more than its own message: the person, the window, the pace, the channel.

Invariant: a refusal means the same whether the provider answers with it or tells it in a webhook later (WhatsApp takes
nearly everything and refuses afterwards), and it means it once: who calls says so only of a delivery that it settled.

Runs under the locks of the conversations; then identities, buckets and channels are locked, in this order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from channels.types import Fault
from contacts import reachability
from inbox.connections.directory import Channel
from inbox.connections.health import ChannelHealth, Report
from inbox.conversations import events as thread_events
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, touch
from inbox.kernel.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class Refused:
    """A send that a provider refused. ``began_at``: when it left us, by our clock; ``at``: when it was refused."""

    channel: Channel
    thread: Thread
    fault: Fault
    began_at: datetime
    at: datetime
    rests_until: datetime | None = None
    """Until when its bucket rests, where that was decided before; otherwise whoever pauses decides."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A send that nobody can refuse any more: the channel sends."""

    channel: Channel
    began_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelRest:
    until: datetime
    reason: str


Pause: TypeAlias = Callable[[UnitOfWork, UUID, Sequence[Refused]], Awaitable[Mapping[UUID, ChannelRest]]]
"""Lets the buckets that the refusals name rest. Returns which channels rest as a whole."""


class Consequences:
    def __init__(self, conversations: Conversations, health: ChannelHealth, pause: Pause) -> None:
        self._conversations = conversations
        self._health = health
        self._pause = pause

    async def draw(
        self, unit: UnitOfWork, workspace_id: UUID, refusals: Sequence[Refused], arrived: Iterable[Arrived] = ()
    ) -> None:
        """Costs nothing where nothing was refused, and nothing that arrived says anything new."""
        if refusals:
            await self._draw(unit, workspace_id, refusals)
        newest: dict[UUID, datetime] = {}
        for one in arrived:
            if one.channel.restricted_since is not None and one.channel.restricted_since < one.began_at:
                newest[one.channel.id] = max(one.began_at, newest.get(one.channel.id, one.began_at))
        for channel_id in sorted(newest):
            await self._health.sends_again(unit, workspace_id, channel_id, newest[channel_id])

    async def _draw(self, unit: UnitOfWork, workspace_id: UUID, refusals: Sequence[Refused]) -> None:
        await self._close_windows(unit, workspace_id, refusals)
        for one in sorted(refusals, key=lambda one: one.thread.identity_id):
            await _person(unit, workspace_id, one)
        resting = await self._pause(unit, workspace_id, refusals)
        dead = {one.channel.id: one for one in refusals if one.fault.reauthorise}
        troubled = _troubled(refusals)
        for channel_id in sorted({*resting, *dead, *troubled}):
            if (rest := resting.get(channel_id)) is not None:
                await self._health.paused(unit, workspace_id, channel_id, rest.until, rest.reason)
            if channel_id in troubled:
                await self._health.report(unit, workspace_id, channel_id, *troubled[channel_id])
            if channel_id in dead:
                await self._health.token_refused(unit, dead[channel_id].channel, dead[channel_id].fault.reason)

    async def _close_windows(self, unit: UnitOfWork, workspace_id: UUID, refusals: Sequence[Refused]) -> None:
        closed: dict[UUID, Thread] = {}
        for one in refusals:
            if one.fault.closes_window and _close_window(one.thread, one.began_at, one.at):
                closed[one.thread.id] = one.thread
        for thread in closed.values():
            touch(thread, datetime.now(UTC))
            unit.record(thread_events.updated(workspace_id, await self._conversations.view(workspace_id, thread)))
        await self._conversations.save(unit, workspace_id, list(closed.values()))


def _troubled(refusals: Sequence[Refused]) -> dict[UUID, list[Report]]:
    """Never ``paused``: that would hold back the very send that shows that the trouble is over."""
    found: dict[UUID, list[Report]] = {}
    for one in refusals:
        if one.fault.troubles is not None:
            found.setdefault(one.channel.id, []).append(Report(one.fault.troubles, "degraded", one.fault.reason))
    return found


def _close_window(thread: Thread, began_at: datetime, at: datetime) -> bool:
    """Whether that changed anything. What the customer opened after the send had left stays open."""
    opened_at, closed_at = thread.window_opened_at, thread.window_closed_at
    if opened_at is None:
        thread.window_closed_at = at
        return closed_at is None
    if began_at < opened_at or (closed_at is not None and closed_at > opened_at):
        return False
    # The provider's clock may show nothing below a second: the refusal comes after what it answers all the same.
    thread.window_closed_at = max(at, opened_at + timedelta(microseconds=1))
    return True


async def _person(unit: UnitOfWork, workspace_id: UUID, one: Refused) -> None:
    identity_id = one.thread.identity_id
    match one.fault.ends_contact:
        case None:
            return
        case "opted_out":
            await reachability.stop_marketing(unit, workspace_id, identity_id, "refused")
        case reason:
            await reachability.set_unreachable(unit, workspace_id, identity_id, reason)
