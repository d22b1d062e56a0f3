"""Writing down what came of the tries, neighbours in one transaction.

Invariant: a result only ever moves a delivery forward on the line of statuses, or back to ``queued`` when it is certain
that the provider accepted nothing. It comes second to whatever receipts, echoes or the sweeper have said meanwhile.

Order of locks as everywhere: addresses and identities, conversations, external ids, buckets, channels, the log last.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from channels.outbound import Accepted
from channels.types import Address, Fault, Person
from contacts.resolution import Resolver, Sighting
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.delivery import change_rows, pausing, results
from inbox.delivery import repository as rows
from inbox.delivery.claims import REST_NOT_SENT, Claim
from inbox.delivery.outcomes import Next, NotSent, Outcome, Refusal, Unknown, follow
from inbox.delivery.rates import CHANNEL, recipient_key
from inbox.delivery.results import AttemptEnd, Requeued, Standing, Taken
from inbox.kernel.database import CONTENDED, Contended, Database, DatabaseUnavailable, UnitOfWork
from inbox.messages import reconciliation
from inbox.messages import repository as message_rows
from inbox.messages.consequences import Arrived, Consequences, Refused
from inbox.messages.receipts import refused
from inbox.messages.statuses import StatusChange, advance_each, refresh_messages, stored_fault

log = logging.getLogger(__name__)

ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Result:
    claim: Claim
    outcome: Outcome
    at: datetime


@dataclass(frozen=True, slots=True)
class _Entry:
    result: Result
    standing: Standing
    next: Next

    @property
    def current(self) -> bool:
        """Whether no later try has begun: only then may a refusal change anything."""
        return self.standing.attempt == self.result.claim.attempt


class Recorder:
    def __init__(
        self,
        database: Database,
        resolver: Resolver,
        consequences: Consequences,
    ) -> None:
        self._database = database
        self._resolver = resolver
        self._consequences = consequences

    async def record(self, batch: Sequence[Result]) -> list[None]:
        """Raises ``DatabaseUnavailable``; then nothing, or all of a workspace, was recorded, and again does no harm."""
        groups: dict[UUID, list[Result]] = {}
        for result in batch:
            groups.setdefault(result.claim.workspace_id, []).append(result)
        for workspace_id in sorted(groups):
            await self._record(workspace_id, groups[workspace_id])
        return [None] * len(batch)

    async def _record(self, workspace_id: UUID, group: Sequence[Result]) -> None:
        async def work(unit: UnitOfWork) -> None:
            await self._write(unit, workspace_id, group)

        try:
            await self._database.retrying(work, attempts=ATTEMPTS)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if len(group) > 1:
                log.info("a batch of results is taken apart: %s", type(error).__name__)
                for result in group:
                    await self._record(workspace_id, [result])
                return
            if isinstance(error, CONTENDED):
                raise
            # It stays in the air for the database; the sweeper makes it `uncertain`, which is what it is to us.
            log.exception("a result cannot be recorded", extra={"delivery": str(group[0].claim.delivery_id)})

    async def _write(self, unit: UnitOfWork, workspace_id: UUID, group: Sequence[Result]) -> None:
        await self._people(unit, workspace_id, group)
        ids = [result.claim.delivery_id for result in group]
        threads = {
            thread.id: thread
            for thread in await thread_rows.lock_many(
                unit, workspace_id, [], await message_rows.conversations_of_deliveries(unit, workspace_id, ids)
            )
        }
        standings = await results.standings(unit, workspace_id, ids)
        if any(standing.conversation_id not in threads for standing in standings.values()):
            raise Contended("a conversation was joined by another transaction")
        now = await unit.time()
        entries = await _entries(unit, workspace_id, group, standings, now)
        told_before = await self._settle(unit, workspace_id, entries, threads, now)
        concerned = {entry.standing.message_id for entry in entries}
        answered = [refusal for entry in entries if (refusal := _refused(entry, threads, now)) is not None]
        arrived = [Arrived(one.result.claim.channel, one.result.claim.started_at) for one in entries if _arrived(one)]
        await self._consequences.draw(unit, workspace_id, [*answered, *told_before], arrived)
        taken = [bucket for entry in entries for bucket in _taken(entry)]
        await results.end_attempts(unit, workspace_id, [_end(entry) for entry in entries], now, taken)
        await rows.call_next(unit, workspace_id, sorted(threads))
        await refresh_messages(unit, workspace_id, sorted(concerned))

    async def _settle(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        entries: Sequence[_Entry],
        threads: dict[UUID, Thread],
        now: datetime,
    ) -> list[Refused]:
        """The deliveries themselves. Returns the refusals that webhooks told before the send was recorded."""
        changes: list[StatusChange] = []
        parked: set[int] = set()
        back: list[Requeued] = []
        ended: list[tuple[UUID, int]] = []
        further: list[tuple[UUID, Sequence[str]]] = []
        for entry in sorted(entries, key=_settling_order):
            claim, standing, outcome = entry.result.claim, entry.standing, entry.result.outcome
            if isinstance(outcome, Accepted):
                external_id = next(iter(outcome.external_ids), None)
                # Acceptance is a fact whatever else was thought meanwhile, even when a later try has begun.
                changes.append(StatusChange(standing.id, "sent", entry.result.at))
                told = await reconciliation.settle_accepted(
                    unit, workspace_id, claim.channel.id, standing.id, external_id
                )
                changes += told
                parked.update(id(change) for change in told)
                if len(outcome.external_ids) > 1:
                    further.append((standing.id, outcome.external_ids[1:]))
                changes += _watermarks(standing.id, threads[standing.conversation_id], claim.started_at)
            elif not entry.current or standing.state not in ("sending", "uncertain"):
                continue
            elif entry.next.state == "queued" and standing.state == "sending":
                assert entry.next.due_at is not None
                assert entry.next.fault is not None
                back.append(Requeued(standing.id, entry.next.due_at, stored_fault(entry.next.fault), entry.next.counts))
            else:
                state = "failed" if entry.next.state == "queued" else entry.next.state
                changes.append(StatusChange(standing.id, state, now, entry.next.fault))
                ended.append((standing.message_id, standing.ordinal))
        if back:
            await results.requeue(unit, workspace_id, back, now)
        advanced = await advance_each(unit, workspace_id, changes)
        if further:
            await change_rows.note_further_ids(unit, workspace_id, further)
        if ended:
            await rows.cancel_rest(unit, workspace_id, ended, stored_fault(REST_NOT_SENT), now)
        channels = {entry.result.claim.channel.id: entry.result.claim.channel for entry in entries}
        return refused([one for one in advanced if id(one.change) in parked], threads, channels)

    async def _people(self, unit: UnitOfWork, workspace_id: UUID, group: Sequence[Result]) -> None:
        """New addresses of recipients."""
        sightings = []
        for result in group:
            claim, revealed = result.claim, _revealed(result)
            if set(revealed) - set(claim.recipient):
                person = Person(addresses=(*claim.recipient, *revealed))
                sighting = Sighting(claim.channel.kind, person, creates=False)
                if not isinstance(result.outcome, Accepted):
                    sighting = replace(sighting, at=result.at, former=claim.recipient[-1:])
                sightings.append(sighting)
        await self._resolver.resolve(unit, workspace_id, sightings)


async def _entries(
    unit: UnitOfWork, workspace_id: UUID, group: Sequence[Result], standings: Mapping[UUID, Standing], now: datetime
) -> list[_Entry]:
    there = [
        (result, standing) for result in group if (standing := standings.get(result.claim.delivery_id)) is not None
    ]
    buckets = [_paused_bucket(result, standing) for result, standing in there]
    known = await pausing.throttled(unit, workspace_id, buckets)
    entries = []
    for (result, standing), bucket in zip(there, buckets, strict=True):
        claim = result.claim
        strikes = pausing.strikes(known, bucket, claim.started_at)
        following = follow(result.outcome, tries=claim.tries, now=now, deadline=claim.deadline, strikes=strikes)
        entries.append(_Entry(result, standing, following))
    return entries


def _paused_bucket(result: Result, standing: Standing) -> pausing.Key | None:
    fault = _fault(result.outcome)
    return None if fault is None else pausing.bucket_of(fault, result.claim.channel.id, standing.conversation_id)


def _refused(entry: _Entry, threads: Mapping[UUID, Thread], now: datetime) -> Refused | None:
    claim, fault = entry.result.claim, _fault(entry.result.outcome)
    if fault is None:
        return None
    until = None if entry.next.pause is None else entry.next.pause.until
    return Refused(claim.channel, threads[entry.standing.conversation_id], fault, claim.started_at, now, until)


def _arrived(entry: _Entry) -> bool:
    """Whether the answer is the last word: where receipts name a delivery, its refusal may come that way too."""
    claim, outcome = entry.result.claim, entry.result.outcome
    return isinstance(outcome, Accepted) and claim.channel.capabilities.receipts.delivered != "id"


def _taken(entry: _Entry) -> list[Taken]:
    claim = entry.result.claim
    if not isinstance(entry.result.outcome, Accepted):
        return []
    keys = (CHANNEL, recipient_key(entry.standing.conversation_id))
    return [Taken(claim.channel.id, key, claim.started_at) for key in keys]


def _settling_order(entry: _Entry) -> tuple[str, str]:
    """External ids are locked in sorted order, so that two batches cannot wait for each other."""
    outcome = entry.result.outcome
    ids = outcome.external_ids if isinstance(outcome, Accepted) else ()
    return str(entry.result.claim.channel.id), ids[0] if ids else ""


def _watermarks(delivery_id: UUID, thread: Thread, started_at: datetime) -> list[StatusChange]:
    """Receipts "up to" a time that came while this send had no record yet."""
    changes = []
    for status, up_to in (("delivered", thread.delivered_up_to), ("read", thread.read_up_to)):
        if up_to is not None and started_at <= up_to:
            changes.append(StatusChange(delivery_id, status, up_to))
    return changes


def _fault(outcome: Outcome) -> Fault | None:
    return None if isinstance(outcome, Accepted) else outcome.fault


def _revealed(result: Result) -> tuple[Address, ...]:
    if isinstance(result.outcome, Accepted):
        return result.outcome.addresses
    moved_to = result.outcome.fault.moved_to
    if moved_to is None or not result.claim.recipient:
        return ()
    old = result.claim.recipient[-1]
    return (Address(old.kind, old.scope, moved_to),)


def _end(entry: _Entry) -> AttemptEnd:
    claim, outcome = entry.result.claim, entry.result.outcome
    match outcome:
        case Accepted():
            external_id = next(iter(outcome.external_ids), None)
            return AttemptEnd(claim.delivery_id, claim.attempt, "accepted", external_id, outcome.note, None)
        case Refusal(fault):
            kind = "unknown" if entry.next.state == "uncertain" else "refused"
            return AttemptEnd(claim.delivery_id, claim.attempt, kind, None, None, stored_fault(fault))
        case NotSent(fault):
            return AttemptEnd(claim.delivery_id, claim.attempt, "not_sent", None, None, stored_fault(fault))
        case Unknown(fault):
            return AttemptEnd(claim.delivery_id, claim.attempt, "unknown", None, None, stored_fault(fault))
