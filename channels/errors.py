"""What an adapter may raise.

ChannelError
├── ContentRefused   the content does not fit the channel's limits; found before anything is queued
├── SendError        the provider refused, with a ``Fault`` of facts to switch on
└── FetchError       a file or profile cannot be had, with a ``Fault``

Transport failures (time-out, connection lost) are not here: they pass through an adapter untouched, and the caller, who
owns the HTTP client, knows whether the request had left.
"""

from __future__ import annotations

from typing import Literal

from channels.types import Fault

RefusalCode = Literal[
    "empty", "invalid", "not_offered", "too_long", "too_large", "too_many", "media_type", "template_unknown",
    "template_not_approved", "template_variables", "template_components",
]  # fmt: skip
"""Why content is refused: the same words for every channel. ``not_offered``: the channel has no such thing."""


class ChannelError(Exception):
    """Base of everything an adapter raises on purpose."""


class ContentRefused(ChannelError):
    """``limit`` names the exceeded capability (``text.maximum``), ``allowed`` its value, ``part`` the index."""

    def __init__(
        self, code: RefusalCode, reason: str, *, limit: str, allowed: int | str | None = None, part: int = 0
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.limit = limit
        self.allowed = allowed
        self.part = part


class SendError(ChannelError):
    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code}: {fault.reason}")
        self.fault = fault


class FetchError(ChannelError):
    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code}: {fault.reason}")
        self.fault = fault
