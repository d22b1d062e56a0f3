"""``python -m inbox.demo.tethered program.py …`` runs a program that ends when the pipe at its standard input closes.

So a program that knows nothing of the demo does not outlive it.
"""

from __future__ import annotations

import os
import runpy
import sys
from threading import Thread


def _end_with_the_pipe() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    Thread(target=_end_with_the_pipe, daemon=True).start()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
