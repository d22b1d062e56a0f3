"""Error codes of the Send API, which Messenger and Instagram share (channel facts, sections 2.5 and 3.4).

The facts give some subcodes without their code; those are looked up below every code that carries subcodes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from channels.meta.faults import PERMISSION_MISSING, THROTTLED, UNKNOWN_ERROR, FaultTable
from channels.types import Fault

_CODES: Final = (1, 10, 100, 200, 551)

WINDOW_CLOSED: Final = Fault(
    "window_closed", "The time for answering this person has run out until they write again.", closes_window=True
)
UNAVAILABLE: Final = Fault(
    "recipient_unavailable",
    "This person cannot be reached until they write again: they may have blocked the account or left.",
    ends_contact="unreachable",
)
NO_SUCH_PERSON: Final = Fault(
    "recipient_unavailable", "There is no such person for this account.", ends_contact="unreachable"
)
THREAD_NOT_OURS: Final = Fault("thread_not_ours", "Another app has taken control of this conversation.")
NO_PROFILE: Final = Fault("not_found", "This person's profile is not available.")
SENT_ALL_THE_SAME: Final = Fault("sent_all_the_same", "Meta reports an error but has sent the message.")
"""Not a failure: whoever sends turns it into success and must not repeat the send."""
_MEDIA_REFUSED: Final = Fault("media_refused", "Meta could not fetch or would not take the file.")


def below_any(subcodes: Iterable[int], fault: Fault) -> FaultTable:
    return {(code, subcode): fault for subcode in subcodes for code in _CODES}


MESSAGING: Final[FaultTable] = {
    **below_any((2018047, 2018074, 2018109, 2018294), _MEDIA_REFUSED),
    **below_any((2018300,), THREAD_NOT_OURS),
    (1, 1357046): SENT_ALL_THE_SAME,
    # Some people who blocked the account answer as 2 for ever: whoever repeats has to stop at some time.
    2: Fault("temporary", "Meta has a temporary problem, or this person has blocked the account.", retryable=True),
    # Without a subcode a permission is missing. A subcode tells of this message or person; one that is not known here
    # must not stop the whole channel.
    (10, None): PERMISSION_MISSING,
    10: UNKNOWN_ERROR,
    (10, 2018065): WINDOW_CLOSED,
    (10, 2018278): WINDOW_CLOSED,
    (10, 2018108): UNAVAILABLE,
    (10, 1893015): Fault("opted_out", "This person has stopped marketing messages.", ends_contact="opted_out"),
    (10, 1893063): Fault(
        "policy", "Meta has restricted this Page from sending.", pauses="channel", troubles="restriction"
    ),
    (100, 2018001): NO_SUCH_PERSON,
    (100, 2018008): _MEDIA_REFUSED,
    (100, 2018218): NO_PROFILE,
    (200, 1545041): UNAVAILABLE,
    (200, 2018028): PERMISSION_MISSING,
    551: UNAVAILABLE,
    (551, 1545041): UNAVAILABLE,
    (613, 2534040): THROTTLED,
    (613, 1996): Fault(
        "rate_limited",
        "Meta finds the traffic of this account unusual; sending resumes after a while.",
        retryable=True,
        retry_after=900.0,
        pauses="channel",
    ),
    # A warning: the message may have gone out, so it must not be repeated, and the next ones have to wait.
    (613, 2018338): Fault(
        "outcome_unknown", "Meta warns about the rate of sending and does not tell if it sent this.", pauses="channel"
    ),
    9000001: Fault("not_found", "The message that this refers to is gone."),
}
