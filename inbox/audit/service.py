"""Writing and reading the audit trail.

Invariant: an entry is written in the transaction of the deed, so neither stands without the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.audit import repository as rows
from inbox.audit.schemas import ActorView, AuditQuery, AuditView
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.ids import new_id

SYSTEM: Final = ActorView("system", None, None)


async def record(
    unit: UnitOfWork,
    workspace_id: UUID,
    actor: Principal | None,
    action: str,
    subject_kind: str,
    subject_id: UUID,
    detail: Mapping[str, object] | None = None,
) -> None:
    """``actor`` None: nobody is there, a time has come or a rule applied. ``detail``: facts, and no secrets."""
    who = SYSTEM if actor is None else ActorView("bot" if actor.role == "bot" else "agent", actor.agent_id, actor.name)
    await rows.insert(unit, workspace_id, new_id(), who, action, subject_kind, subject_id, detail or {})


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, caller: Principal, query: AuditQuery) -> list[AuditView]:
        """One more than asked for, which tells whether there is a next page. Raises ``Forbidden``."""
        caller.require("audit.read")
        async with self._database.transaction(readonly=True) as unit:
            return await rows.page(
                unit,
                caller.workspace_id,
                subject_kind=query.subject_kind,
                subject_id=query.subject_id,
                actor_id=query.actor_id,
                after=query.last_id(),
                limit=query.limit + 1,
            )
