"""Taking due deliveries into the air: budget, order, gate and state in one transaction.

Invariants, each held by a row lock or constraint and not by this process:
- one conversation has at most one request in the air (``uq_deliveries_in_flight``), and its deliveries go in the order
  of their ids: only the first in line is taken, under the lock of the conversation;
- a channel and a recipient never get more than their buckets hold, on however many nodes: the channel's bucket is
  locked for the length of the claim;
- the gate has said yes in this very transaction (P8).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from channels.outbound import Piece
from channels.types import Address, Fault
from inbox.connections.directory import Channel, ChannelUnknown, Directory
from inbox.delivery import gate
from inbox.delivery import repository as rows
from inbox.delivery.gate import Facts, Go, Later, Refused
from inbox.delivery.rates import Bucket, ChannelLimits, limits_of
from inbox.delivery.repository import Candidate, Waiting
from inbox.kernel.database import CONTENDED, Database, DatabaseUnavailable, UnitOfWork
from inbox.kernel.hours import Quiet
from inbox.messages.outgoing import BULK_PRIORITY
from inbox.messages.statuses import StatusChange, advance, refresh_messages, stored_fault

log = logging.getLogger(__name__)

REST_NOT_SENT = Fault("piece_skipped", "Not sent, because an earlier part of this message did not go out for certain.")


@dataclass(frozen=True, slots=True)
class Claim:
    """One provider message that this process has to send now, and nobody else."""

    workspace_id: UUID
    delivery_id: UUID
    message_id: UUID
    ordinal: int
    conversation_id: UUID
    identity_id: UUID
    channel: Channel
    piece: Piece
    recipient: tuple[Address, ...]
    reply_to: str | None
    purpose: str
    deadline: datetime
    started_at: datetime
    attempt: int
    tries: int


@dataclass(slots=True)
class Claimed:
    claims: list[Claim] = field(default_factory=list)
    more: bool = False
    """Something was due that this round did not settle: look again soon."""
    next_due_at: datetime | None = None


@dataclass(slots=True)
class _Work:
    """What one workspace's transaction decided."""

    go: list[Candidate] = field(default_factory=list)
    refused: list[tuple[Candidate, Refused]] = field(default_factory=list)
    later: list[tuple[UUID, datetime]] = field(default_factory=list)
    behind: list[Candidate] = field(default_factory=list)
    buckets: dict[tuple[UUID, str], Bucket] = field(default_factory=dict)


class Claims:
    def __init__(self, database: Database, directory: Directory, *, node: str) -> None:
        self._database = database
        self._directory = directory
        self._node = node
        self._turn = 0

    async def claim(self, free: int, in_air: Mapping[UUID, int]) -> Claimed:
        """Up to ``free`` deliveries. ``in_air``: how many this process has under way, by channel id."""
        result = Claimed()
        async with self._database.session() as connection:
            waiting = await rows.waiting(connection)
        for row in waiting:
            ready_at = row.due_at if row.paused_until is None else max(row.due_at, row.paused_until)
            if row.paused_until is not None or not row.due:
                result.next_due_at = ready_at if result.next_due_at is None else min(result.next_due_at, ready_at)
        by_workspace: dict[UUID, list[Waiting]] = {}
        for row in waiting:
            if row.due and row.paused_until is None:
                by_workspace.setdefault(row.workspace_id, []).append(row)
        for workspace_id in self._in_turn(list(by_workspace)):
            left = free - len(result.claims)
            if left <= 0:
                break
            try:
                await self._claim(workspace_id, by_workspace[workspace_id], left, in_air, result)
            except (DatabaseUnavailable, *CONTENDED) as error:
                # What was claimed for other workspaces is in the air since its commit: it has to reach its senders.
                if not result.claims:
                    raise
                log.info("a claim is repeated (%s)", type(error).__name__)
                result.more = True
                break
            except Exception:
                # One workspace whose rows cannot be used must not hold up all others.
                log.exception("messages of a workspace cannot be claimed", extra={"workspace": str(workspace_id)})
        return result

    def _in_turn(self, workspaces: list[UUID]) -> list[UUID]:
        """Another one begins each time, so that none is always served with what others left over."""
        self._turn += 1
        start = self._turn % len(workspaces) if workspaces else 0
        return workspaces[start:] + workspaces[:start]

    async def _claim(
        self, workspace_id: UUID, waiting: Sequence[Waiting], free: int, in_air: Mapping[UUID, int], result: Claimed
    ) -> None:
        # Channels are looked up before the transaction begins: reading one may need a connection of its own.
        channels: dict[UUID, Channel] = {}
        for channel_id in {row.channel_id for row in waiting}:
            quota = allowance(free, in_air.get(channel_id, 0))
            if quota > 0 and (channel := await self._find_channel(workspace_id, channel_id)) is not None:
                channels[channel_id] = channel
        if not channels:
            return
        try:
            async with self._database.transaction() as unit:
                claims, more = await self._take(unit, workspace_id, channels, waiting, free, in_air)
        except asyncpg.UniqueViolationError:
            # The constraint held against something that wrote without the conversation's lock. Nothing was claimed.
            log.exception("a conversation already had a request in the air", extra={"workspace": str(workspace_id)})
            return
        result.claims += claims
        result.more = result.more or more

    async def _find_channel(self, workspace_id: UUID, channel_id: UUID) -> Channel | None:
        try:
            return await self._directory.get(workspace_id, channel_id)
        except ChannelUnknown:
            return None
        except Exception:
            # One channel that cannot be read (a lost key, an unknown kind) must not hold up all others.
            log.exception("a channel with queued messages cannot be used", extra={"channel": str(channel_id)})
            return None

    async def _take(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        channels: Mapping[UUID, Channel],
        waiting: Sequence[Waiting],
        free: int,
        in_air: Mapping[UUID, int],
    ) -> tuple[list[Claim], bool]:
        limits = {channel_id: limits_of(channel.capabilities.rates) for channel_id, channel in channels.items()}
        now, locked = await rows.lock_channel_buckets(unit, workspace_id, list(channels))
        general = {
            channel_id: rows.channel_bucket(row, limits[channel_id].channel.get(None), now)
            for channel_id, row in locked.items()
        }
        quotas = []
        for row in waiting:
            bucket = general.get(row.channel_id)
            if bucket is not None and not bucket.is_paused(now):
                quota = bucket.whole_tokens(allowance(free, in_air.get(row.channel_id, 0)))
                if quota > 0:
                    quotas.append((row.channel_id, row.priority, quota))
        picked = await rows.pick(unit, workspace_id, quotas, now, free) if quotas else []
        if not picked:
            return [], False
        mine = await rows.lock(unit, workspace_id, picked)
        candidates = await rows.load_facts(unit, workspace_id, mine) if mine else []
        work = await self._decide(unit, workspace_id, candidates, channels, limits, now)
        for candidate in work.go:
            general[candidate.channel_id].take()
        drawn = {candidate.channel_id for candidate in work.go}
        await self._write(unit, workspace_id, work, [(key, general[key]) for key in drawn], now)
        begun = await rows.begin(unit, workspace_id, [one.id for one in work.go], self._node, now) if work.go else {}
        await refresh_messages(unit, workspace_id, sorted({c.message_id for c in (*work.go, *_seen(work))}))
        claims = [
            _claim(workspace_id, one, channels[one.channel_id], begun[one.id], now)
            for one in work.go
            if one.id in begun
        ]
        return claims, len(candidates) < len(picked) or bool(work.behind or work.refused) or len(picked) == free

    async def _decide(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        candidates: Sequence[Candidate],
        channels: Mapping[UUID, Channel],
        limits: Mapping[UUID, ChannelLimits],
        now: datetime,
    ) -> _Work:
        work = _Work()
        allowed: list[Candidate] = []
        for candidate in candidates:
            if not candidate.first:
                work.behind.append(candidate)
                continue
            verdict = gate.decide(_facts(candidate, channels[candidate.channel_id], now))
            match verdict:
                case Go():
                    allowed.append(candidate)
                case Refused():
                    work.refused.append((candidate, verdict))
                case Later():
                    work.later.append((candidate.id, verdict.until))
        needed = {
            (one.channel_id, key): limit
            for one in allowed
            for key, limit in limits[one.channel_id].keys(one.conversation_id, _lane(one), is_group=one.is_group)
        }
        wanted = [(channel_id, key, limit) for (channel_id, key), limit in needed.items()]
        work.buckets = await rows.find_buckets(unit, workspace_id, wanted, now) if wanted else {}
        self._draw(work, allowed, limits, now)
        return work

    def _draw(
        self, work: _Work, allowed: Sequence[Candidate], limits: Mapping[UUID, ChannelLimits], now: datetime
    ) -> None:
        """Tokens of lanes and recipients. Who finds none is due again when its turn there has come."""
        short: dict[tuple[UUID, str], int] = {}
        drawn: set[tuple[UUID, str]] = set()
        for one in allowed:
            keys = limits[one.channel_id].keys(one.conversation_id, _lane(one), is_group=one.is_group)
            buckets = [work.buckets[one.channel_id, key] for key, _ in keys]
            missing = [bucket for bucket in buckets if bucket.available_at(now) > now]
            if not missing:
                work.go.append(one)
                for bucket in buckets:
                    bucket.take()
                    drawn.add((one.channel_id, bucket.key))
                continue
            until = now
            for bucket in missing:
                place = short[one.channel_id, bucket.key] = short.get((one.channel_id, bucket.key), 0) + 1
                until = max(until, bucket.available_at(now, place))
            work.later.append((one.id, until))
        work.buckets = {key: bucket for key, bucket in work.buckets.items() if key in drawn}

    async def _write(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        work: _Work,
        general: Sequence[tuple[UUID, Bucket]],
        now: datetime,
    ) -> None:
        """Everything but the sends themselves."""
        if work.behind:
            await rows.stand_in_line(unit, workspace_id, [one.id for one in work.behind])
        if work.later:
            await rows.postpone(unit, workspace_id, work.later)
        drawn = [(channel_id, bucket) for (channel_id, _), bucket in work.buckets.items()]
        await rows.save_buckets(unit, workspace_id, [*general, *drawn])
        if work.refused:
            changes = [
                StatusChange(one.id, verdict.state, now, Fault(verdict.code, verdict.reason))
                for one, verdict in work.refused
            ]
            await advance(unit, workspace_id, changes)
            ends = [(one.message_id, one.ordinal) for one, _ in work.refused]
            await rows.cancel_rest(unit, workspace_id, ends, stored_fault(REST_NOT_SENT), now)
        left = {one.conversation_id for one in (*(one for one, _ in work.refused), *work.behind)}
        if left:
            # Also for those that stand behind: whoever is first may itself have been told to wait.
            await rows.call_next(unit, workspace_id, sorted(left - {one.conversation_id for one in work.go}))


def allowance(free: int, in_air: int) -> int:
    """How many more a channel may take of ``free`` places: never more in the air than are left for the others.

    So a channel whose requests hang takes half of the places, the next such channel half of the rest, and so on; one
    that answers quickly always finds some.
    """
    return max(0, math.ceil((free - in_air) / 2))


def _seen(work: _Work) -> list[Candidate]:
    return [one for one, _ in work.refused]


def _lane(candidate: Candidate) -> str:
    return str(candidate.piece.get("lane", "message"))


def _facts(candidate: Candidate, channel: Channel, now: datetime) -> Facts:
    return Facts(
        now=now,
        purpose=candidate.purpose,
        bulk=candidate.purpose == "bulk" or candidate.priority >= BULK_PRIORITY,
        template=candidate.template,
        deadline=candidate.deadline,
        lease_epoch=candidate.lease_epoch,
        conversation_epoch=candidate.conversation_epoch,
        conversation_status=candidate.conversation_status,
        hold_after_number=candidate.hold_after_number,
        last_inbound_number=candidate.last_inbound_number,
        stop_when_closed=candidate.stop_when_closed,
        quiet=None if candidate.quiet is None else Quiet.of(candidate.quiet),
        blocked=candidate.blocked,
        unreachable=candidate.unreachable,
        marketing_stopped=candidate.marketing_stopped,
        channel_state=candidate.channel_state,
        channel_health=candidate.channel_health,
        window_opened_at=candidate.window_opened_at,
        window_closed_at=candidate.window_closed_at,
        window=channel.capabilities.window,
    )


def _piece(stored: Mapping[str, Any]) -> Piece:
    """Lists were tuples before they were stored; ``media_id`` is what the first version kept."""
    fields = dict(stored)
    earlier = fields.pop("media_id", None)
    media_ids = tuple(fields.pop("media_ids", ())) or ((earlier,) if earlier else ())
    return Piece(**fields, media_ids=media_ids)


def _claim(workspace_id: UUID, one: Candidate, channel: Channel, begun: rows.Begun, now: datetime) -> Claim:
    return Claim(
        workspace_id=workspace_id,
        delivery_id=one.id,
        message_id=one.message_id,
        ordinal=one.ordinal,
        conversation_id=one.conversation_id,
        identity_id=one.identity_id,
        channel=channel,
        piece=_piece(one.piece),
        recipient=tuple(Address(*address) for address in one.addresses),
        reply_to=one.reply_to,
        purpose=one.purpose,
        deadline=one.deadline,
        started_at=now,
        attempt=begun.attempt,
        tries=begun.tries,
    )
