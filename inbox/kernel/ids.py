"""Identifiers: UUID version 7 (RFC 9562, section 5.7), so that rows created together stand together in an index.

Within one process every id is greater than the one before, also inside one millisecond and when the clock steps back.
The 74 bits beside the time come from the system's entropy; still, an id is a name, never a permission.
"""

import os
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

NewId: TypeAlias = Callable[[], uuid.UUID]
"""What code that creates rows receives, so that tests can hand out ids they know."""

_LOW_BITS: Final = 62
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_TAIL_END: Final = 1 << (12 + _LOW_BITS)
_VERSION_AND_VARIANT: Final = (0x7 << 76) | (0b10 << 62)
_STEPS: Final = struct.Struct(">512I")

# UUID checks what it is given, which costs more than all the rest; these bits are right by construction.
_UUID: Final = uuid.UUID
_UNKNOWN: Final = uuid.SafeUUID.unknown
_blank = object.__new__
_set_int = uuid.UUID.__dict__["int"].__set__
_set_is_safe = uuid.UUID.__dict__["is_safe"].__set__


class Uuid7:
    """A source of ids: call it. Thread-safe.

    `milliseconds` is the wall clock in ms since 1970, `entropy(n)` answers n random bytes.
    """

    __slots__ = ("_entropy", "_last", "_lock", "_milliseconds", "_steps", "_tail")

    def __init__(
        self,
        milliseconds: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._milliseconds = milliseconds
        self._entropy = entropy
        self._lock = threading.Lock()
        self._steps: Iterator[int] = iter(())
        self._last = -1
        self._tail = 0

    def __call__(self) -> uuid.UUID:
        with self._lock:
            now = self._milliseconds()
            if now > self._last:
                self._begin(now)
            else:
                # Same millisecond, or the clock went back: count on by a random step (RFC 9562, section 6.2, method 2).
                self._tail += next(self._steps, 0) or self._next_step()
                if self._tail >= _TAIL_END:
                    self._begin(self._last + 1)
            tail = self._tail
            value = (self._last << 80) | ((tail >> _LOW_BITS) << 64) | (tail & _LOW_MASK) | _VERSION_AND_VARIANT
        made = _blank(_UUID)
        _set_int(made, value)
        _set_is_safe(made, _UNKNOWN)
        return made

    def after_fork(self) -> None:
        """Part ways with the parent process: nothing drawn before the fork is used in the child."""
        self._lock = threading.Lock()
        self._steps = iter(())
        self._begin(self._last + 1)

    def _begin(self, millisecond: int) -> None:
        # The top bit starts clear, which leaves room for 2**41 ids in this millisecond.
        self._last = millisecond
        self._tail = int.from_bytes(self._entropy(10), "big") >> 7

    def _next_step(self) -> int:
        self._steps = iter(_STEPS.unpack(self._entropy(_STEPS.size)))
        return next(self._steps) or 1


new_id: Final = Uuid7()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=new_id.after_fork)
