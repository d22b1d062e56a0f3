"""The judges live in an environment of their own: `make oracles`. Elsewhere there is nothing to collect here."""

from __future__ import annotations

from importlib.util import find_spec

import network_guard

network_guard.install()

if find_spec("aiogram") is None or find_spec("pywa") is None:
    collect_ignore_glob = ["test_*.py"]
