"""All SQL about the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from inbox.audit.schemas import ActorView, AuditView
from inbox.kernel.database import UnitOfWork


async def insert(
    unit: UnitOfWork,
    workspace_id: UUID,
    entry_id: UUID,
    actor: ActorView,
    action: str,
    subject_kind: str,
    subject_id: UUID,
    detail: Mapping[str, object],
) -> None:
    await unit.execute(
        """INSERT INTO audit_entries (workspace_id, id, actor_kind, actor_id, actor_name, action, subject_kind,
               subject_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        workspace_id,
        entry_id,
        actor.kind,
        actor.id,
        actor.name,
        action,
        subject_kind,
        subject_id,
        detail,
    )


async def page(
    unit: UnitOfWork,
    workspace_id: UUID,
    *,
    subject_kind: str | None,
    subject_id: UUID | None,
    actor_id: UUID | None,
    after: UUID | None,
    limit: int,
) -> list[AuditView]:
    """Newest first, below ``after``."""
    conditions, values = ["workspace_id = $1"], [workspace_id, limit]
    given = (("subject_kind =", subject_kind), ("subject_id =", subject_id), ("actor_id =", actor_id), ("id <", after))
    for condition, value in given:
        if value is not None:
            values.append(value)
            conditions.append(f"{condition} ${len(values)}")
    found = await unit.fetch(
        f"""
        SELECT id, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, detail, created_at
        FROM audit_entries WHERE {" AND ".join(conditions)} ORDER BY id DESC LIMIT $2
        """,
        *values,
    )
    return [AuditView(row[0], ActorView(row[1], row[2], row[3]), *tuple(row)[4:]) for row in found]
