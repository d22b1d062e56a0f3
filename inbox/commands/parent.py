"""A child that ends with its parent: it reads its standard input, a pipe that the kernel closes when the parent dies.

Unlike a signal of the kernel this lets the child finish in order, and works on every system.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

SECONDS_TO_FINISH = 60.0


def end_with_parent(stream: int = 0) -> None:
    """Stop this process, in order, as soon as ``stream`` ends; by force when that takes longer than a minute."""
    threading.Thread(target=_watch, args=(stream,), name="parent", daemon=True).start()


def _watch(stream: int) -> None:
    while os.read(stream, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(SECONDS_TO_FINISH)
    sys.stderr.write("not stopped in time after the parent ended\n")
    os._exit(1)
