"""Error codes special to Instagram, on top of those of the Send API (channel facts, section 3.4)."""

from __future__ import annotations

from typing import Final

from channels.meta.faults import FaultTable
from channels.meta.messaging_faults import (
    MESSAGING,
    NO_SUCH_PERSON,
    THREAD_NOT_OURS,
    WINDOW_CLOSED,
)
from channels.types import Fault

FAULTS: Final[FaultTable] = {
    **MESSAGING,
    (10, 2534022): WINDOW_CLOSED,
    (100, 2534014): NO_SUCH_PERSON,
    (100, 2534037): THREAD_NOT_OURS,
    (200, 2534041): Fault(
        "permission_missing",
        "The owner of the Instagram account has turned off access to its messages.",
        pauses="channel",
        troubles="restriction",
    ),
}
