"""From raw deliveries to messages: parse, route to channels, store a batch in one transaction, isolate what fails.

Invariant: the pending row of a body disappears only in the transaction that stored its items or put them into
quarantine, so a crash at any moment leaves the body pending and another node takes it over (P1); running a body again
changes nothing (P2). docs/ingest.md argues both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from channels.adapter import Provider
from channels.inbound import AccountChanged, TemplateChanged
from channels.wire import UNKNOWN_TIME
from inbox.connections.directory import Channel, Directory
from inbox.ingest import repository as rows
from inbox.ingest.metrics import IngestMetrics
from inbox.ingest.repository import Quarantined, RawDelivery
from inbox.kernel.database import CONTENDED, GONE, Database, DatabaseUnavailable, UnitOfWork
from inbox.messages.joining import SendsInTheAir
from inbox.messages.receiving import Item, Receiver, TargetUnknown
from inbox.messages.revisions import only_known_wording

log = logging.getLogger(__name__)

MOST_PER_BATCH = 256
ATTEMPTS = 6
AT_A_STRETCH = 16
"""Bodies parsed before others have their turn: webhooks that want an answer come before those that have theirs."""
MOST_ATTEMPTS_OF_A_BODY = 5
"""A body that took down its worker this often is put into quarantine unprocessed."""
RETRY_SECONDS = 2.0
MOST_RETRIES = 6


@dataclass(frozen=True, slots=True)
class Routed:
    """An item of a body, with its place in it."""

    raw: RawDelivery
    index: int
    workspace_id: UUID
    item: Item


class Processor:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        providers: Mapping[str, Provider],
        receiver: Receiver,
        metrics: IngestMetrics,
    ) -> None:
        self._database = database
        self._directory = directory
        self._providers = providers
        self._receiver = receiver
        self._metrics = metrics

    async def process(self, bodies: Sequence[RawDelivery], *, replay: bool = False) -> None:
        """Store everything that these bodies say. Raises ``DatabaseUnavailable``; then they stay pending.

        ``replay``: their open entries in quarantine are released; what fails again makes new ones.
        """
        routed: list[Routed] = []
        faults: list[Quarantined] = []
        for number, raw in enumerate(bodies, 1):
            await self._take(raw, routed, faults)
            if number % AT_A_STRETCH == 0:
                await asyncio.sleep(0)
        if not await self._store(bodies, routed, faults, replay=replay):
            for raw in bodies:
                await self._isolate(raw, [one for one in routed if one.raw is raw], faults, replay=replay)
        self._metrics.processed(bodies, len(routed))

    async def _take(self, raw: RawDelivery, routed: list[Routed], faults: list[Quarantined]) -> None:
        """Parse one body and find the channel of each of its items."""
        if raw.attempts > MOST_ATTEMPTS_OF_A_BODY:
            faults.append(Quarantined(raw, None, "unending", "processing did not end, several times"))
            return
        try:
            routed.extend(await self._route(raw, faults))
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # Credentials that cannot be read, a kind that is not installed: it costs this body, not its neighbours.
            log.exception("a webhook body could not be routed", extra={"raw_id": str(raw.id)})
            faults.append(Quarantined(raw, None, "unstorable", type(error).__name__))

    async def _route(self, raw: RawDelivery, faults: list[Quarantined]) -> list[Routed]:
        app = await self._directory.find_app_by_id(raw.app_id)
        if app is None:
            faults.append(Quarantined(raw, None, "unknown_account", "its provider app is not connected any more"))
            return []
        try:
            inbound = self._providers[app.provider].parse(raw.body, account_id=app.account_id)
        except Exception as error:
            log.exception("a webhook body could not be parsed", extra={"raw_id": str(raw.id)})
            faults.append(Quarantined(raw, None, "unparsable", type(error).__name__))
            return []
        routed: list[Routed] = []
        strangers = 0
        for index, item in enumerate(inbound):
            channels: Sequence[Channel] = ()
            if item.account_id is not None:
                channels = await self._directory.find_accounts(app.id, item.account_id)
            if not channels:
                strangers += 1
            elif item.occurred_at == UNKNOWN_TIME:
                item = replace(item, occurred_at=raw.received_at)
            # What is said about the owner of several accounts concerns all of them; nothing else is said about it.
            for channel in channels if isinstance(item, AccountChanged | TemplateChanged) else channels[:1]:
                routed.append(Routed(raw, index, channel.workspace_id, Item(channel, item, raw.received_at)))
        if strangers:
            faults.append(Quarantined(raw, None, "unknown_account", f"{strangers} items of no connected channel"))
        return routed

    async def _store(
        self,
        bodies: Sequence[RawDelivery],
        routed: Sequence[Routed],
        faults: Sequence[Quarantined],
        *,
        replay: bool,
    ) -> bool:
        """All of it in one transaction; ``False`` when something in it cannot be stored."""

        async def work(unit: UnitOfWork) -> None:
            for workspace_id, items in _by_workspace(routed).items():
                await self._receiver.receive(unit, workspace_id, [one.item for one in items])
            await self._close(unit, [raw.id for raw in bodies], faults, replay=replay)

        try:
            await self._database.retrying(work, attempts=ATTEMPTS)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.info("a batch of %d webhooks is taken apart: %s", len(bodies), type(error).__name__)
            return False
        return True

    async def _isolate(
        self, raw: RawDelivery, routed: Sequence[Routed], faults: Sequence[Quarantined], *, replay: bool
    ) -> None:
        """One body, item by item; the item that fails goes to quarantine with its reason, the others are stored."""

        async def work(unit: UnitOfWork) -> None:
            failed = [fault for fault in faults if fault.raw is raw]
            for one in routed:
                try:
                    await self._receive_alone(unit, one)
                except (*GONE, *CONTENDED):
                    raise
                except TargetUnknown:
                    failed.append(Quarantined(raw, one.index, "target_unknown", retry_in=_retry_in(raw)))
                except SendsInTheAir:
                    failed.append(Quarantined(raw, one.index, "busy", retry_in=_retry_in(raw)))
                except Exception as error:
                    log.exception("an item of a webhook could not be stored", extra={"raw_id": str(raw.id)})
                    failed.append(Quarantined(raw, one.index, "unstorable", type(error).__name__))
            await self._close(unit, [raw.id], failed, replay=replay)

        await self._database.retrying(work, attempts=ATTEMPTS * 2)

    async def _receive_alone(self, unit: UnitOfWork, one: Routed) -> None:
        """Raises what receiving raises. The edit of a message that never came is its only trace, so it becomes it."""
        try:
            async with unit.savepoint():
                await self._receiver.receive(unit, one.workspace_id, [one.item])
        except TargetUnknown:
            inbound = only_known_wording(one.item.inbound)
            if inbound is None or _retry_in(one.raw) is not None:
                raise
            async with unit.savepoint():
                await self._receiver.receive(unit, one.workspace_id, [replace(one.item, inbound=inbound)])

    async def _close(
        self, unit: UnitOfWork, raw_ids: Sequence[UUID], faults: Sequence[Quarantined], *, replay: bool
    ) -> None:
        if replay:
            await rows.release(unit, raw_ids)
        if faults:
            await rows.quarantine(unit, faults)
            unit.after_commit(lambda: self._metrics.quarantined(faults))
        await rows.finish(unit, raw_ids)


def _retry_in(raw: RawDelivery) -> float | None:
    """2 s, 8 s, 32 s … about three hours in all: what an item refers to may still be on its way."""
    return None if raw.retries >= MOST_RETRIES else RETRY_SECONDS * 4.0**raw.retries


def _by_workspace(routed: Sequence[Routed]) -> dict[UUID, list[Routed]]:
    """In the order of workspace ids, in which their logs are locked."""
    groups: dict[UUID, list[Routed]] = {}
    for one in sorted(routed, key=lambda one: one.workspace_id):
        groups.setdefault(one.workspace_id, []).append(one)
    return groups
