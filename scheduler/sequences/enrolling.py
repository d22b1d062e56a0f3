"""Taking contacts into a sequence, one or many; each gets a verdict.

Invariant: a contact runs in a sequence once, unless the sequence says otherwise: a constraint of the database decides,
so repeating an enrolment, at once or later, changes nothing. Whoever is blocked is not enrolled: the contact is held
against a block until the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from contacts.schemas import ContactView
from inbox.agents.principal import Principal
from inbox.audit import service as audit
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Invalid
from inbox.kernel.ids import new_id
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences import events
from scheduler.sequences.definition import Definition
from scheduler.sequences.enrollment_rows import Enrollment
from scheduler.sequences.schemas import EnrolIn, Outcome, SequenceView, VerdictView
from scheduler.sequences.service import SequenceState, get
from scheduler.sequences.walking import SUBJECT, Round, Walking

CHUNK: Final = 100
"""Contacts in one transaction: a thousand would hold their conversations for too long."""


class Enrolling:
    def __init__(self, database: Database, walking: Walking) -> None:
        self._database = database
        self._walking = walking

    async def enrol(self, caller: Principal, sequence_id: UUID, given: EnrolIn) -> list[VerdictView]:
        """One verdict for each contact, in order. Raises ``SequenceUnknown``, ``SequenceState``, ``Invalid``."""
        caller.require("sequences.enrol")
        if given.conversation_id is not None and len(set(given.contact_ids)) > 1:
            raise Invalid.at("/body/conversation_id", "a conversation belongs to one contact")
        wanted = list(dict.fromkeys(given.contact_ids))
        verdicts: dict[UUID, VerdictView] = {}
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]

            async def work(unit: UnitOfWork, chunk: Sequence[UUID] = chunk) -> Mapping[UUID, VerdictView]:
                return await self._enrol(unit, caller, sequence_id, given, chunk)

            verdicts |= await self._database.retrying(work)
        return [verdicts[contact_id] for contact_id in given.contact_ids]

    async def _enrol(
        self, unit: UnitOfWork, caller: Principal, sequence_id: UUID, given: EnrolIn, chunk: Sequence[UUID]
    ) -> Mapping[UUID, VerdictView]:
        workspace_id = caller.workspace_id
        contacts = await self._contacts(unit, workspace_id, chunk)
        people = {contact.id: contact for contact in contacts.values()}
        threads: dict[UUID, list[Thread]] = {contact_id: [] for contact_id in people}
        for thread in await thread_rows.of_contacts(unit, workspace_id, sorted(people)):
            threads[thread.contact_id].append(thread)
        sequence = await get(unit, caller, sequence_id, lock="SHARE")
        if sequence.state != "active" or sequence.published is None:
            raise SequenceState(f"this sequence is {sequence.state}", state=sequence.state)
        around = await self._walking.round(unit, workspace_id)
        definition = await self._walking.definition(unit, around, sequence_id, sequence.published)
        place = _place(given, threads)
        stopped = await rows.opted_out(unit, workspace_id, list(people))
        refusals = {
            contact.id: refusal
            for contact in people.values()
            if (refusal := _refusal(contact, definition, place, opted_out=contact.id in stopped))
        }
        new = [
            self._new(caller, sequence, definition, around, contact, place, given)
            for contact in people.values()
            if contact.id not in refusals
        ]
        made = await rows.insert_many(unit, workspace_id, new) if new else set()
        begun = [row for row in new if row.id in made]
        await self._begin(unit, caller, around, begun, threads)
        there = await rows.running_of(unit, workspace_id, sequence_id, [row.contact_id for row in new])
        ids = {row.contact_id: row.id for row in begun}
        return {
            contact_id: _verdict(contact_id, contacts.get(contact_id), refusals, ids, there) for contact_id in chunk
        }

    async def _contacts(self, unit: UnitOfWork, workspace_id: UUID, wanted: Sequence[UUID]) -> dict[UUID, ContactView]:
        """Held, under the ids that were given: one that was merged is the contact it became."""
        found: dict[UUID, ContactView] = {}
        leads = {contact_id: contact_id for contact_id in wanted}
        for _ in range(5):
            held = await rows.lock_contacts(unit, workspace_id, sorted(set(leads.values())))
            onward = {}
            for given, current in leads.items():
                contact = held.get(current)
                if contact is not None and contact.merged_into is not None:
                    onward[given] = contact.merged_into
                elif contact is not None:
                    found[given] = contact
            if not onward:
                break
            leads = onward
        return found

    @staticmethod
    def _new(
        caller: Principal,
        sequence: SequenceView,
        definition: Definition,
        around: Round,
        contact: ContactView,
        place: Thread | None,
        given: EnrolIn,
    ) -> Enrollment:
        assert sequence.published is not None, "an active sequence has a version"
        return Enrollment(
            id=new_id(),
            sequence_id=sequence.id,
            sequence_version=sequence.published,
            follows=given.follows,
            several=definition.several,
            contact_id=contact.id,
            conversation_id=None if place is None else place.id,
            assignee_id=None if place is None else place.assignee_id,
            state="active",
            reason=None,
            state_at=around.now,
            position=0,
            attempt=1,
            retries=0,
            waits_since=around.now,
            zone=contact.time_zone or around.times.time_zone,
            due_at=around.now,
            timer_number=0,
            message_id=None,
            replied_at=None,
            enrolled_by=caller.agent_id,
            enrolled_by_name=caller.name,
            enrolled_at=around.now,
            ended_at=None,
            version=0,
        )

    async def _begin(
        self,
        unit: UnitOfWork,
        caller: Principal,
        around: Round,
        begun: Sequence[Enrollment],
        threads: Mapping[UUID, Sequence[Thread]],
    ) -> None:
        """Let the first step wait, tie the conversations, and tell of it."""
        zones = {row.contact_id: row.zone for row in begun}
        for run in await self._walking.runs(unit, around, begun, zones):
            await self._walking.wait(unit, around, run)
            await rows.save(unit, around.workspace_id, run.row)
            await self._walking.settle(unit, around.workspace_id, threads[run.row.contact_id])
        for row, view in zip(begun, await rows.views(unit, around.workspace_id, begun), strict=True):
            unit.record(events.enrolled(around.workspace_id, view))
            detail = {"sequence_id": str(row.sequence_id), "contact_id": str(row.contact_id)}
            await audit.record(unit, around.workspace_id, caller, "enrollment.enrolled", SUBJECT, row.id, detail)


def _place(given: EnrolIn, threads: Mapping[UUID, Sequence[Thread]]) -> Thread | None:
    """The conversation that was named. Raises ``Invalid``."""
    if given.conversation_id is None:
        return None
    for thread in (thread for some in threads.values() for thread in some):
        if thread.id == given.conversation_id:
            return thread
    raise Invalid.at("/body/conversation_id", "the contact has no such conversation")


def _refusal(contact: ContactView, definition: Definition, place: Thread | None, *, opted_out: bool) -> Outcome | None:
    """Whoever would be stopped at once is not taken in."""
    if contact.blocked is not None:
        return "contact_blocked"
    if opted_out and (definition.stop.opt_out or definition.purpose == "marketing"):
        return "opted_out"
    if set(contact.tags) & set(definition.stop.tags):
        return "tagged"
    if definition.stop.closed and place is not None and place.status == "closed":
        return "conversation_closed"
    return None


def _verdict(
    given: UUID,
    contact: ContactView | None,
    refusals: Mapping[UUID, Outcome],
    begun: Mapping[UUID, UUID],
    there: Mapping[UUID, UUID],
) -> VerdictView:
    """For one that was given twice under two names, both say what became of the one."""
    if contact is None:
        return VerdictView(given, "contact_unknown", None)
    if contact.id in refusals:
        return VerdictView(given, refusals[contact.id], None)
    if contact.id in begun:
        return VerdictView(given, "enrolled", begun[contact.id])
    return VerdictView(given, "already_enrolled", there.get(contact.id))
