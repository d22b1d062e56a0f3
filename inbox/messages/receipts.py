"""What providers report about messages we sent: how far they came, and what follows where they were refused.

Runs under the locks of the conversations. A receipt that comes again moves nothing, so nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from channels.inbound import StatusReported, StatusUpTo
from inbox.connections.directory import Channel
from inbox.conversations.repository import Thread
from inbox.kernel.database import UnitOfWork
from inbox.messages import reconciliation
from inbox.messages.consequences import Arrived, Consequences, Refused
from inbox.messages.repository import ExternalRef
from inbox.messages.statuses import ARRIVED, Advanced, StatusChange, advance_each, advance_up_to, refresh_messages


class Receipts:
    def __init__(self, consequences: Consequences) -> None:
        self._consequences = consequences

    async def apply(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        reported: Sequence[tuple[Channel, StatusReported]],
        watermarks: Sequence[tuple[Thread, StatusUpTo]],
        known: Mapping[tuple[UUID, str], ExternalRef],
        threads: Mapping[UUID, Thread],
    ) -> None:
        """``threads``: every conversation concerned, locked. Raises ``Contended``."""
        changes: list[StatusChange] = []
        early: list[tuple[UUID, StatusReported]] = []
        concerned: set[UUID] = set()
        for channel, report in reported:
            ref = known.get((channel.id, report.external_id))
            if ref is None:
                early.append((channel.id, report))
            elif ref.delivery_id is not None:
                changes.append(StatusChange(ref.delivery_id, report.status, report.occurred_at, report.fault))
        for thread, read in watermarks:
            _remember_watermark(thread, read)
            concerned.update(
                await advance_up_to(unit, workspace_id, thread.id, read.status, read.watermark, read.occurred_at)
            )
        if early:
            changes += await reconciliation.claim_or_park(unit, workspace_id, early)
        advanced = await advance_each(unit, workspace_id, changes)
        concerned.update(one.message_id for one in advanced)
        await refresh_messages(unit, workspace_id, sorted(concerned))
        channels = {channel.id: channel for channel, _ in reported}
        await self._consequences.draw(
            unit, workspace_id, refused(advanced, threads, channels), arrived(advanced, threads, channels)
        )


def refused(
    advanced: Collection[Advanced], threads: Mapping[UUID, Thread], channels: Mapping[UUID, Channel]
) -> list[Refused]:
    """Those of the receipts that say no, by the threads and channels of their deliveries."""
    found = []
    for one in advanced:
        if one.change.fault is not None:
            thread = threads[one.conversation_id]
            at = min(one.change.at, datetime.now(UTC))
            channel = channels[thread.channel_id]
            found.append(Refused(channel, thread, one.change.fault, one.began_at or at, at))
    return found


def arrived(
    advanced: Collection[Advanced], threads: Mapping[UUID, Thread], channels: Mapping[UUID, Channel]
) -> Iterator[Arrived]:
    """Those that say yes for good."""
    for one in advanced:
        if one.change.status in ARRIVED and one.began_at is not None:
            yield Arrived(channels[threads[one.conversation_id].channel_id], one.began_at)


def _remember_watermark(thread: Thread, inbound: StatusUpTo) -> None:
    """Kept on the conversation, for sends that are in the air and will be recorded only after this."""
    known = thread.read_up_to if inbound.status == "read" else thread.delivered_up_to
    if known is not None and known >= inbound.watermark:
        return
    if inbound.status == "read":
        thread.read_up_to = inbound.watermark
    else:
        thread.delivered_up_to = inbound.watermark
    thread.changed = True
