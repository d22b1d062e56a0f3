"""What the log says about sequences and enrollments. Each event carries the whole of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.kernel.eventlog import Event
from scheduler.sequences.schemas import EnrollmentView, SequenceView


@dataclass(frozen=True, slots=True)
class SequenceCreated:
    sequence: SequenceView


@dataclass(frozen=True, slots=True)
class SequenceUpdated:
    """Edited, published or archived."""

    sequence: SequenceView


@dataclass(frozen=True, slots=True)
class EnrollmentCreated:
    enrollment: EnrollmentView


@dataclass(frozen=True, slots=True)
class EnrollmentUpdated:
    """A step was sent or failed; paused, resumed, stopped, finished: ``state`` and ``reason`` say how it stands."""

    enrollment: EnrollmentView


EVENTS: dict[str, type] = {
    "sequence.created": SequenceCreated,
    "sequence.updated": SequenceUpdated,
    "enrollment.created": EnrollmentCreated,
    "enrollment.updated": EnrollmentUpdated,
}


def created(workspace_id: UUID, sequence: SequenceView) -> Event:
    return Event.of(workspace_id, "sequence.created", SequenceCreated(sequence))


def updated(workspace_id: UUID, sequence: SequenceView) -> Event:
    return Event.of(workspace_id, "sequence.updated", SequenceUpdated(sequence))


def enrolled(workspace_id: UUID, enrollment: EnrollmentView) -> Event:
    return Event.of(workspace_id, "enrollment.created", EnrollmentCreated(enrollment), enrollment.conversation_id)


def enrollment_updated(workspace_id: UUID, enrollment: EnrollmentView) -> Event:
    return Event.of(workspace_id, "enrollment.updated", EnrollmentUpdated(enrollment), enrollment.conversation_id)
