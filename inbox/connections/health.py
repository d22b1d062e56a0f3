"""How a channel stands: what each aspect of it says, the worst of which is its health (row A10).

An aspect is a word of ours for one thing that can be wrong: ``token``, ``expiry``, ``renewal``, ``silent``, ``setup``,
``billing``, ``restriction``, and those of ``channels.inbound.AccountChanged``. Each comes and goes on its own, so the
end of one trouble does not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from channels.inbound import AccountChanged
from inbox.connections import events
from inbox.connections import repository as rows
from inbox.connections.directory import RESTRICTION, Channel, Directory, restricted_since
from inbox.connections.repository import ChannelRow
from inbox.connections.schemas import Health
from inbox.connections.views import view
from inbox.kernel.database import UnitOfWork

RANK: Final[Mapping[str, int]] = {"ok": 0, "degraded": 1, "paused": 2, "reauthorise": 3}
TOKEN: Final = "token"  # noqa: S105 - a word
EXPIRY: Final = "expiry"
RENEWAL: Final = "renewal"
SILENT: Final = "silent"
BILLING: Final = "billing"
"""The provider delivers nothing, or not everything, until somebody has put the account in order."""
OF_THE_TOKEN: Final = (TOKEN, EXPIRY, RENEWAL)
"""What a new token ends."""
NOTICEABLE: Final = timedelta(seconds=3)
"""A shorter pause is over before anybody has read of it."""


@dataclass(frozen=True, slots=True)
class Report:
    """``health`` ok: the trouble is over. ``at``: the provider's time, where webhooks say so in any order."""

    aspect: str
    health: Health
    reason: str | None = None
    at: datetime | None = None


class ChannelHealth:
    """Works inside the transaction of whoever found out. ``changed`` tells other nodes after the commit."""

    def __init__(self, directory: Directory, changed: Callable[[], None]) -> None:
        self._directory = directory
        self._changed = changed

    async def report(self, unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, *reports: Report) -> bool:
        """Whether that changed anything."""
        row = await rows.lock_channel(unit, workspace_id, channel_id)
        return row is not None and await self._write(unit, row, reports)

    async def token_refused(self, unit: UnitOfWork, channel: Channel, reason: str) -> bool:
        """The provider did not take the token of ``channel``. Nothing, when a newer one is there meanwhile."""
        row = await rows.lock_channel(unit, channel.workspace_id, channel.id)
        if row is None or row.token_version != channel.token_version:
            return False
        return await self._write(unit, row, (Report(TOKEN, "reauthorise", reason),))

    async def sends_again(self, unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, began_at: datetime) -> None:
        """What left at ``began_at`` has arrived, whatever refusals from before then say of the account."""
        row = await rows.lock_channel(unit, workspace_id, channel_id)
        if row is None:
            return
        since = restricted_since(row.health_aspects)
        if since is not None and since < began_at:
            await self._write(unit, row, (Report(RESTRICTION, "ok"),))

    async def told(self, unit: UnitOfWork, channel: Channel, change: AccountChanged) -> bool:
        """What a webhook says about the account."""
        if change.health is None:
            return False
        report = Report(change.aspect, change.health, change.reason, change.occurred_at)
        return await self.report(unit, channel.workspace_id, channel.id, report)

    async def paused(
        self, unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, until: datetime, reason: str
    ) -> None:
        """The provider throttles everything that this channel sends."""
        now = datetime.now(UTC)
        if until - now < NOTICEABLE:
            return
        row = await rows.lock_channel(unit, workspace_id, channel_id)
        if row is None or (row.sending_paused_until is not None and until - row.sending_paused_until < NOTICEABLE):
            return
        await self.save(unit, row, {"sending_paused_until": until, "sending_paused_reason": reason})

    async def save(self, unit: UnitOfWork, row: ChannelRow, fields: Mapping[str, object]) -> ChannelRow:
        """Write columns of a locked channel, and say so."""
        after = await rows.update_channel(unit, row.workspace_id, row.id, fields)
        unit.record(events.updated(row.workspace_id, view(after)))
        self.announce(unit)
        return after

    def announce(self, unit: UnitOfWork) -> None:
        unit.after_commit(self._directory.forget)
        unit.after_commit(self._changed)

    async def _write(self, unit: UnitOfWork, row: ChannelRow, reports: tuple[Report, ...]) -> bool:
        aspects = dict(row.health_aspects)
        for report in reports:
            told(aspects, report)
        if aspects == row.health_aspects:
            return False
        before = (row.health, row.health_reason)
        fields = columns(aspects)
        if before == (fields["health"], fields["health_reason"]) and shown(aspects) == shown(row.health_aspects):
            await rows.update_channel(unit, row.workspace_id, row.id, {"health_aspects": aspects})
            return False
        await self.save(unit, row, fields)
        return True


def told(aspects: dict[str, Any], report: Report) -> None:
    """Enter a report. What is over stays with its time, so that an older word does not bring the trouble back."""
    before = aspects.get(report.aspect)
    at = None if report.at is None else report.at.isoformat()
    if before is not None:
        later = before.get("at")
        if at is None and later is not None and (before["health"] != "ok" or report.health == "ok"):
            return  # what a webhook said, with its time, only a webhook takes back
        if report.at is not None and later is not None and report.at < datetime.fromisoformat(later):
            return
        if (before["health"], before["reason"]) == (report.health, report.reason) and at == later:
            return
    elif report.health == "ok" and at is None:
        return
    since = datetime.now(UTC).isoformat()
    if before is not None and before["health"] == report.health:
        since = before["since"]
    if report.health == "ok" and at is None:
        del aspects[report.aspect]
        return
    reason = None if report.health == "ok" else report.reason
    aspects[report.aspect] = {"health": report.health, "reason": reason, "since": since, "at": at}


def columns(aspects: Mapping[str, Any]) -> dict[str, object]:
    """The columns that follow from the aspects: the worst, and what all of that rank say."""
    worst = max((entry["health"] for entry in aspects.values()), key=RANK.__getitem__, default="ok")
    reasons = [
        entry["reason"] for _, entry in sorted(aspects.items()) if entry["health"] == worst != "ok" and entry["reason"]
    ]
    return {"health": worst, "health_reason": " ".join(reasons) or None, "health_aspects": dict(aspects)}


def without(aspects: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: entry for name, entry in aspects.items() if name not in names}


def shown(aspects: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    """What a client sees of them, but for the times."""
    return [
        (name, entry["health"], entry["reason"]) for name, entry in sorted(aspects.items()) if entry["health"] != "ok"
    ]
