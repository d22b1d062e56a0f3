"""The one line that ``channels/registry.py`` has of each channel; an installation's own is handed to ``Runtime``."""

from __future__ import annotations

from typing import Final

from channels import registry
from channels.adapter import Adapter, Provider
from example_channel.adapter import PigeonAdapter
from example_channel.provider import PigeonProvider

ADAPTERS: Final[dict[str, Adapter]] = {**registry.ADAPTERS, "pigeon": PigeonAdapter()}
PROVIDERS: Final[dict[str, Provider]] = {**registry.PROVIDERS, "pigeon": PigeonProvider()}
