"""How long a bucket rests that a provider throttles, and the rest itself.

A time that the provider names counts as it is. Without one the rest grows fourfold with each throttle that follows
another (channel facts, section 1.5: WhatsApp's pair rate), up to ten minutes; a send that was taken in between starts
the count again. Refusals of sends that had left before the last rest ended ran into the same wall: one strike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from channels.types import Fault
from inbox.delivery import results
from inbox.delivery.outcomes import named_time, pause_of
from inbox.delivery.rates import CHANNEL, recipient_key
from inbox.delivery.results import BucketPause, Throttled
from inbox.kernel.database import UnitOfWork
from inbox.messages.consequences import ChannelRest, Refused

Key: TypeAlias = tuple[UUID, str]


def bucket_of(fault: Fault, channel_id: UUID, conversation_id: UUID) -> Key | None:
    """The bucket that a fault throttles, if it throttles any."""
    match fault.pauses:
        case "channel":
            return channel_id, CHANNEL
        case "recipient":
            return channel_id, recipient_key(conversation_id)
        case None:
            return None


async def throttled(unit: UnitOfWork, workspace_id: UUID, keys: Iterable[Key | None]) -> dict[Key, Throttled]:
    """What is known of these buckets; asks nothing where there are none."""
    wanted = sorted({key for key in keys if key is not None})
    return await results.throttled(unit, workspace_id, wanted) if wanted else {}


def strikes(known: Mapping[Key, Throttled], key: Key | None, began_at: datetime) -> int:
    """How many throttles in a row it makes, the one of a send that began at ``began_at`` included."""
    bucket = None if key is None else known.get(key)
    if bucket is None or bucket.strikes == 0:
        return 1
    if bucket.paused_until is not None and began_at < bucket.paused_until:
        return bucket.strikes
    if bucket.calmed_at is not None and bucket.calmed_at < began_at:
        return 1
    return bucket.strikes + 1


async def pause_buckets(unit: UnitOfWork, workspace_id: UUID, refusals: Sequence[Refused]) -> dict[UUID, ChannelRest]:
    """A ``consequences.Pause``."""
    keyed = [(one, bucket_of(one.fault, one.channel.id, one.thread.id)) for one in refusals]
    known = await throttled(unit, workspace_id, (key for _, key in keyed))
    now: datetime | None = None
    pauses: list[BucketPause] = []
    for one, key in keyed:
        if key is None:
            continue
        now = now or await unit.time()
        count = strikes(known, key, one.began_at)
        pause = pause_of(one.fault, now, count)
        if pause is not None:
            until = one.rests_until or pause.until
            pauses.append(BucketPause(*key, until, pause.reason, 0 if named_time(one.fault) else count))
    if pauses:
        await results.pause(unit, workspace_id, pauses)
    resting: dict[UUID, ChannelRest] = {}
    for one_pause in sorted(pauses, key=lambda one: one.until):
        if one_pause.key == CHANNEL:
            resting[one_pause.channel_id] = ChannelRest(one_pause.until, one_pause.reason)
    return resting
