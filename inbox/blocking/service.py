"""Blocking and unblocking a contact: one transaction each, with one winner against each other and against time.

Order of locks: the timer ``contact.unblock``, the contact, its conversations, what the rooms above keep (reactions),
the log. The row of the contact decides: a timer that fires for a block that was prolonged or lifted finds so, and goes.
After a block has committed, only what was in the air can still reach the contact; it is awaited briefly and named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from contacts import blocks, reach_rows
from contacts import events as contact_events
from contacts import repository as contact_rows
from contacts.schemas import ContactView, ProviderBlockView
from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.audit import service as audit
from inbox.blocking import repository as rows
from inbox.blocking.at_provider import AtProvider
from inbox.blocking.repository import InTheAir
from inbox.blocking.schemas import BlockIn, BlockOut, InTheAirView
from inbox.blocking.silence import Silence
from inbox.conversations import repository as thread_rows
from inbox.kernel.database import Contended, Database, UnitOfWork
from inbox.kernel.errors import Conflict, Invalid
from inbox.kernel.eventlog import Event
from inbox.kernel.timers import NewTimer, Timer, cancel_timer, set_timer, set_timers
from inbox.messages import set_aside_rows
from inbox.messages.set_aside_schemas import SetAsideView

TIMER: Final = "contact.unblock"
ATTEMPTS: Final = 10
PATIENCE: Final = 3.0
"""Seconds that a block waits for requests that are in the air."""
LOOK_EVERY: Final = 0.05


class NotBlocked(Conflict):
    """There is nothing to lift: they were not blocked, or somebody else or the time was first."""

    code = "contact_not_blocked"


class Blocks:
    def __init__(
        self, database: Database, silence: Silence, at_provider: AtProvider, *, patience: float = PATIENCE
    ) -> None:
        self._database = database
        self._silence = silence
        self._at_provider = at_provider
        self._patience = patience

    async def block(self, caller: Principal, contact_id: UUID, order: BlockIn) -> BlockOut:
        """Raises ``Forbidden``, ``ContactUnknown``, ``Invalid``."""
        caller.require("contacts.block")

        async def work(unit: UnitOfWork) -> tuple[ContactView, list[InTheAir], list[ProviderBlockView]]:
            return await self._begin(unit, caller, contact_id, order)

        contact, in_the_air, at_provider = await self._database.retrying(work, attempts=ATTEMPTS)
        awaited = await self._await(caller.workspace_id, in_the_air)
        return BlockOut(contact, awaited, at_provider)

    async def _begin(
        self, unit: UnitOfWork, caller: Principal, contact_id: UUID, order: BlockIn
    ) -> tuple[ContactView, list[InTheAir], list[ProviderBlockView]]:
        workspace_id = caller.workspace_id
        known = await self._know(unit, workspace_id, contact_id)
        if order.until is not None and order.until <= await unit.time():
            raise Invalid.at("/body/until", "the end of a block lies in the future")
        if order.until is None:
            await cancel_timer(unit, workspace_id, TIMER, str(known))
        else:
            await set_timer(unit, workspace_id, TIMER, str(known), order.until, {"contact_id": str(known)})
        before = await self._lock(unit, workspace_id, known)
        contact = await blocks.block(
            unit, workspace_id, known, by=caller.agent_id, reason=order.reason, until=order.until
        )
        # First of all: whoever hears of both lets the block pause what a closing would end.
        unit.record(contact_events.blocked(workspace_id, contact))
        in_the_air = await self._silence.fall(unit, workspace_id, known, again=before.blocked is not None)
        asked = await self._at_provider.block(unit, workspace_id, known) if order.at_provider else []
        detail = {"reason": order.reason, "until": order.until, "at_provider": order.at_provider}
        await audit.record(unit, workspace_id, caller, "contact.blocked", "contact", known, detail)
        return contact, in_the_air, asked

    async def unblock(self, caller: Principal, contact_id: UUID) -> tuple[ContactView, list[ProviderBlockView]]:
        """What the block paused stays paused. Raises ``Forbidden``, ``ContactUnknown``, ``NotBlocked``."""
        caller.require("contacts.block")

        async def work(unit: UnitOfWork) -> tuple[ContactView, list[ProviderBlockView]]:
            known = await self._know(unit, caller.workspace_id, contact_id)
            await cancel_timer(unit, caller.workspace_id, TIMER, str(known))
            before = await self._lock(unit, caller.workspace_id, known)
            if before.blocked is None:
                raise NotBlocked("this contact is not blocked, or not any more")
            asked = await self._end(unit, caller.workspace_id, [known], caller)
            after = await contact_rows.find(unit, caller.workspace_id, known)
            assert after is not None
            return after, asked

        return await self._database.retrying(work, attempts=ATTEMPTS)

    async def expire(self, unit: UnitOfWork, timers: list[Timer]) -> None:
        """Handler of the timers: lifts each block whose own time has come."""
        by_workspace: dict[UUID, set[UUID]] = {}
        for timer in timers:
            by_workspace.setdefault(timer.workspace_id, set()).add(UUID(str(timer.payload["contact_id"])))
        for workspace_id in sorted(by_workspace):
            over = await blocks.lock_expired(unit, workspace_id, sorted(by_workspace[workspace_id]))
            await self._end(unit, workspace_id, over, None)

    async def _end(
        self, unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID], actor: Principal | None
    ) -> list[ProviderBlockView]:
        """The caller holds these contacts."""
        if not contact_ids:
            return []
        threads = await thread_rows.of_contacts(unit, workspace_id, contact_ids)
        for contact_id in contact_ids:
            contact = await blocks.unblock(unit, workspace_id, contact_id)
            unit.record(contact_events.unblocked(workspace_id, contact, expired=actor is None))
            detail = {"expired": actor is None}
            await audit.record(unit, workspace_id, actor, "contact.unblocked", "contact", contact_id, detail)
        opened = await set_aside_rows.windows(unit, workspace_id, contact_ids)
        await self._silence.open_windows(unit, workspace_id, threads, opened)
        return await self._at_provider.unblock(unit, workspace_id, contact_ids)

    async def follow_merge(self, unit: UnitOfWork, happened: Sequence[Event]) -> None:
        """Reaction to ``contact.merged``: the stricter block holds for all that the contact is now."""
        for event in happened:
            merged = event.data
            assert isinstance(merged, contact_events.ContactMerged)
            contact = merged.contact
            if contact.blocked is None:
                continue
            await self._silence.fall(unit, event.workspace_id, contact.id, again=True)
            if contact.blocked.until is not None:
                # A key of its own: timers that stand are not touched here.
                key, payload = f"{contact.id}:{merged.merged}", {"contact_id": str(contact.id)}
                due_at = contact.blocked.until
                await set_timers(unit, [NewTimer(event.workspace_id, TIMER, key, due_at, payload)])

    # --- what they sent meanwhile -------------------------------------------------------------------------------------

    async def set_aside(
        self, caller: Principal, contact_id: UUID, *, after: UUID | None, limit: int
    ) -> list[SetAsideView]:
        """Newest first, below ``after``. Raises ``Forbidden``, ``ContactUnknown``."""
        caller.require("contacts.set_aside")
        async with self._database.transaction(readonly=True) as unit:
            known = await self._know(unit, caller.workspace_id, contact_id)
            return await set_aside_rows.page(unit, caller.workspace_id, known, after=after, limit=limit)

    # --- the contact --------------------------------------------------------------------------------------------------

    @staticmethod
    async def _know(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> UUID:
        """What the contact has become, without a lock: timers come first."""
        contact = await contact_rows.find(unit, workspace_id, contact_id)
        if contact is None:
            raise ContactUnknown("there is no such contact")
        return contact.id

    @staticmethod
    async def _lock(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> ContactView:
        contact = await contact_rows.find(unit, workspace_id, contact_id, lock=True)
        if contact is None or contact.id != contact_id:
            raise Contended("the contact was merged by another transaction")
        return contact

    # --- what was in the air ------------------------------------------------------------------------------------------

    async def _await(self, workspace_id: UUID, in_the_air: Sequence[InTheAir]) -> list[InTheAirView]:
        if not in_the_air:
            return []
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        ids = [one.id for one in in_the_air]
        while True:
            async with self._database.transaction(readonly=True) as unit:
                states = await rows.states(unit, workspace_id, ids)
            if "sending" not in states.values() or loop.time() >= deadline:
                break
            await asyncio.sleep(LOOK_EVERY)
        back = sorted({one.conversation_id for one in in_the_air if states.get(one.id) == "queued"})
        if back:
            await self._stop_again(workspace_id, back)
        return [
            InTheAirView(one.message_id, one.conversation_id, one.request, _outcome(states.get(one.id)))  # type: ignore[arg-type]
            for one in in_the_air
        ]

    async def _stop_again(self, workspace_id: UUID, conversation_ids: list[UUID]) -> None:
        """The provider did not take it, and it waits for another try. The gate would refuse that; this says so now."""

        async def work(unit: UnitOfWork) -> None:
            threads = await thread_rows.lock_many(unit, workspace_id, [], conversation_ids)
            reach = [(thread, await reach_rows.reach(unit, workspace_id, thread.identity_id)) for thread in threads]
            still = [thread.id for thread, reached in reach if reached.blocked]
            await self._silence.stop(unit, workspace_id, still)

        await self._database.retrying(work, attempts=ATTEMPTS)


def _outcome(state: str | None) -> str:
    """``queued``: the provider had not taken it. No row: a person tried it again under another id, and was refused."""
    return "cancelled" if state in ("queued", None) else state
