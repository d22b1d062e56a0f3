"""Python imports this first where this folder is on its path: all wall clocks of the process are off by CLOCK_IS_OFF
seconds, also inside libraries. Durations (monotonic time) are right, as on a machine whose time nobody set."""

from __future__ import annotations

import ctypes
import datetime
import gc
import os
import time
from typing import Any

_OFF = float(os.environ["CLOCK_IS_OFF"])
_true_time = time.time
_true_now = datetime.datetime.now


def _wrong_time() -> float:
    return _true_time() + _OFF


def _wrong_now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
    return _true_now(tz) + datetime.timedelta(seconds=_OFF)


time.time = _wrong_time
# A type written in C takes no assignment. What it consists of is a dictionary all the same.
_attributes: dict[str, Any] = gc.get_referents(datetime.datetime.__dict__)[0]
_attributes["now"] = classmethod(_wrong_now)
ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))
