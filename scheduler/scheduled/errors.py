"""Why something cannot be done with a scheduled message.

InboxError
├── NotFound    ScheduledUnknown
├── Forbidden   NotTheAuthor
├── Conflict    TooLateToChange   (state, reason, what_happened, message_id, version)
└── InboxError  TokenReused (messages)
"""

from __future__ import annotations

from typing import Final

from inbox.kernel.errors import Conflict, Forbidden, NotFound
from scheduler.scheduled.repository import Scheduled

WHAT_HAPPENED: Final = {
    "scheduled": "It waits for its time.",
    "due": "Its time had come, and it was handed over for sending.",
    "sent": "It was sent.",
    "held": "It is held for a person to decide.",
    "skipped": "It was skipped.",
    "cancelled": "It was cancelled.",
    "failed": "It could not be sent.",
}


class ScheduledUnknown(NotFound):
    code = "scheduled_message_not_found"


class NotTheAuthor(Forbidden):
    """Of a colleague's message an agent may read; a supervisor may also change it."""

    code = "not_the_author"


class TooLateToChange(Conflict):
    """Somebody or the clock was first. ``state``, ``reason`` and ``what_happened`` say who won."""

    code, title = "scheduled_message_settled", "This scheduled message is not in a state for that"

    @classmethod
    def of(cls, row: Scheduled, detail: str | None = None) -> TooLateToChange:
        happened = WHAT_HAPPENED[row.state]
        if row.uncertain:
            happened = "It was sent, and nobody knows whether it arrived."
        return cls(
            detail or happened,
            state=row.state,
            reason=row.reason,
            what_happened=happened,
            since=row.state_at,
            message_id=row.message_id,
            version=row.version,
        )
