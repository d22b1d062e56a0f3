"""REST of sequences and enrollments."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import ListQuery, Page
from inbox.kernel.versions import ETAG, IfMatch, VersionChanged, etag, wanted_version
from inbox.kernel.web import Answer, Query, get, patch, post
from scheduler.sequences.enrolling import Enrolling
from scheduler.sequences.leading import Enrollments, EnrollmentState, EnrollmentUnknown, StepLeft
from scheduler.sequences.schemas import (
    EnrolIn,
    EnrollmentQuery,
    EnrollmentView,
    EnrolView,
    MoveIn,
    ResumeIn,
    SequenceCounts,
    SequenceIn,
    SequencePatch,
    SequenceState,
    SequenceView,
    VersionView,
)
from scheduler.sequences.service import Sequences, SequenceUnknown
from scheduler.sequences.service import SequenceState as WrongState

WRITING = (Forbidden, SequenceUnknown, VersionChanged)
LEADING = (Forbidden, EnrollmentUnknown, EnrollmentState)


class SequenceQuery(ListQuery):
    """Oldest first."""

    state: list[SequenceState] = Field(default_factory=list, description="Any of these; none given: all.")


class SequenceRoutes:
    """Follow-ups that contacts get one after the other, until something says stop."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences

    @get("/v1/sequences", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[SequenceQuery, Query()]) -> Page[SequenceView]:
        """List sequences, oldest first."""
        found = await self._sequences.page(caller, states=query.state, after=query.last_id(), limit=query.limit + 1)
        return query.page(found)

    @post("/v1/sequences", status=201, errors=(Forbidden,), headers=ETAG)
    async def create(self, caller: Principal, body: SequenceIn) -> Answer[SequenceView]:
        """Write a new sequence. Nobody gets it before it is published."""
        return _tagged(await self._sequences.create(caller, body))

    @get("/v1/sequences/{sequence_id}", errors=(Forbidden, SequenceUnknown), headers=ETAG)
    async def read(self, caller: Principal, sequence_id: UUID) -> Answer[SequenceView]:
        """One sequence with its draft."""
        return _tagged(await self._sequences.read(caller, sequence_id))

    @patch("/v1/sequences/{sequence_id}", errors=WRITING, headers=ETAG)
    async def change(
        self, caller: Principal, sequence_id: UUID, body: SequencePatch, if_match: IfMatch = None
    ) -> Answer[SequenceView]:
        """Change the name or the draft. Whoever is in the sequence notices nothing of it."""
        version = wanted_version(if_match)
        return _tagged(await self._sequences.change(caller, sequence_id, body, version=version))

    @post("/v1/sequences/{sequence_id}/publish", status=200, errors=(*WRITING, WrongState), headers=ETAG)
    async def publish(self, caller: Principal, sequence_id: UUID, if_match: IfMatch = None) -> Answer[SequenceView]:
        """Make the draft the newest version: who is enrolled from now on gets it, and who follows moves to it.

        An archived sequence is active again then.
        """
        return _tagged(await self._sequences.publish(caller, sequence_id, version=wanted_version(if_match)))

    @post("/v1/sequences/{sequence_id}/archive", status=200, errors=WRITING, headers=ETAG)
    async def archive(self, caller: Principal, sequence_id: UUID, if_match: IfMatch = None) -> Answer[SequenceView]:
        """Take nobody in any more; whoever is in it is stopped when their next step comes up."""
        return _tagged(await self._sequences.archive(caller, sequence_id, version=wanted_version(if_match)))

    @get("/v1/sequences/{sequence_id}/versions", errors=(Forbidden, SequenceUnknown))
    async def versions(self, caller: Principal, sequence_id: UUID) -> Page[VersionView]:
        """What was published, newest first; the last 200."""
        return Page(items=await self._sequences.versions(caller, sequence_id), next=None)

    @get("/v1/sequences/{sequence_id}/counts", errors=(Forbidden, SequenceUnknown))
    async def counts(self, caller: Principal, sequence_id: UUID) -> SequenceCounts:
        """How many stand where, and what came of each step. Counts as you ask: not for every second."""
        return await self._sequences.counts(caller, sequence_id)


class EnrollmentRoutes:
    """Contacts in sequences: where each of them stands."""

    def __init__(self, enrolling: Enrolling, enrollments: Enrollments) -> None:
        self._enrolling = enrolling
        self._enrollments = enrollments

    @post(
        "/v1/sequences/{sequence_id}/enrollments",
        status=200,
        errors=(Forbidden, SequenceUnknown, WrongState),
    )
    async def enrol(self, caller: Principal, sequence_id: UUID, body: EnrolIn) -> EnrolView:
        """Take contacts into the newest version, up to 1000 at once, with a verdict for each.

        Repeating it is harmless: who runs in it already stays where they are. Many are taken in by hundreds, so when
        this fails half-way some are in; repeat it then.
        """
        return EnrolView(await self._enrolling.enrol(caller, sequence_id, body))

    @get("/v1/sequences/{sequence_id}/enrollments", errors=(Forbidden, SequenceUnknown))
    async def of_sequence(
        self, caller: Principal, sequence_id: UUID, query: Annotated[EnrollmentQuery, Query()]
    ) -> Page[EnrollmentView]:
        """Who is or was in it, in the order of enrolment."""
        return query.page(await self._enrollments.of_sequence(caller, sequence_id, query))

    @get("/v1/contacts/{contact_id}/enrollments", errors=(Forbidden, ContactUnknown))
    async def of_contact(
        self, caller: Principal, contact_id: UUID, query: Annotated[EnrollmentQuery, Query()]
    ) -> Page[EnrollmentView]:
        """In which sequences a contact is or was, in the order of enrolment."""
        return query.page(await self._enrollments.of_contact(caller, contact_id, query))

    @get("/v1/enrollments/{enrollment_id}", errors=(Forbidden, EnrollmentUnknown))
    async def read(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """What was sent, what comes next and when."""
        return await self._enrollments.read(caller, enrollment_id)

    @post("/v1/enrollments/{enrollment_id}/pause", status=200, errors=LEADING)
    async def pause(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """Send nothing more until it is resumed. A message that is on its way is shown by `next.message_id`."""
        return await self._enrollments.pause(caller, enrollment_id)

    @post("/v1/enrollments/{enrollment_id}/resume", status=200, errors=LEADING)
    async def resume(self, caller: Principal, enrollment_id: UUID, body: ResumeIn) -> EnrollmentView:
        """Let a paused one go on: at its time, or after waiting anew where that has passed, or now."""
        return await self._enrollments.resume(caller, enrollment_id, now=body.now)

    @post("/v1/enrollments/{enrollment_id}/skip", status=200, errors=(*LEADING, StepLeft))
    async def skip(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """Leave out the step that comes next."""
        return await self._enrollments.skip(caller, enrollment_id)

    @post("/v1/enrollments/{enrollment_id}/leave", status=200, errors=LEADING)
    async def leave(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """End it for this contact. A message that is on its way cannot be called back."""
        return await self._enrollments.leave(caller, enrollment_id)

    @post("/v1/enrollments/{enrollment_id}/move", status=200, errors=(*LEADING, StepLeft))
    async def move(self, caller: Principal, enrollment_id: UUID, body: MoveIn) -> EnrollmentView:
        """Move to the newest version, and choose whether to follow later ones. No step is given twice."""
        return await self._enrollments.move(caller, enrollment_id, follows=body.follows)


def _tagged(sequence: SequenceView) -> Answer[SequenceView]:
    return Answer(sequence, headers=etag(sequence.version))
