"""Imports every models module, so that ``metadata`` is whole for Alembic and for tests."""

from __future__ import annotations

from inbox.kernel.schema import metadata

__all__ = ["metadata"]
