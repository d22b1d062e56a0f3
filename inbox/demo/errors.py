"""What can go wrong from outside.

DemoError      the demo cannot go on: why, and what to do
ApiError
├── Refused    the server answered with a problem document (status, code)
└── Away       no answer now: worth another try
"""

from __future__ import annotations


class DemoError(Exception):
    def __init__(self, reason: str, what_to_do: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.what_to_do = what_to_do


class ApiError(Exception):
    pass


class Refused(ApiError):
    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class Away(ApiError, ConnectionError):
    """Also a ``ConnectionError``, so that ``StreamClient`` tries again by itself."""
