"""The audit trail over HTTP."""

from __future__ import annotations

from typing import Annotated

from inbox.agents.principal import Principal
from inbox.audit.schemas import AuditQuery, AuditView
from inbox.audit.service import Audit
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import Page
from inbox.kernel.web import Query, get


class AuditRoutes:
    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    @get("/v1/audit", tag="audit", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[AuditQuery, Query()]) -> Page[AuditView]:
        """Read who did what to which thing, newest first; for supervisors and admins."""
        return query.page(await self._audit.page(caller, query))
