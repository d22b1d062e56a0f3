"""How the audit trail looks to those who may read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from inbox.kernel.pages import ListQuery


@dataclass(frozen=True, slots=True)
class ActorView:
    """``system``: the product itself, at a time that somebody set before."""

    kind: Literal["agent", "bot", "system"]
    id: UUID | None
    name: str | None


@dataclass(frozen=True, slots=True)
class AuditView:
    """``action`` is a dotted name such as `scheduled.cancelled`; what ``detail`` holds depends on it."""

    id: UUID
    actor: ActorView
    action: str
    subject_kind: str
    subject_id: UUID
    detail: dict[str, Any]
    created_at: datetime


class AuditQuery(ListQuery):
    """Newest first."""

    subject_kind: str | None = Field(default=None, min_length=1, max_length=64)
    subject_id: UUID | None = None
    actor_id: UUID | None = None
