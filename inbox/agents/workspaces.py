"""Tenants. A workspace is made with its event log and its first admin in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, SecretStr

from inbox.agents import events
from inbox.agents import repository as rows
from inbox.agents.principal import Principal
from inbox.agents.schemas import AgentView, Email, Name, NewPassword, WorkspaceDetail, WorkspacePatch, WorkspaceView
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.hours import Hours, Quiet
from inbox.kernel.ids import new_id
from inbox.kernel.secrets import Passwords


class _NewWorkspace(BaseModel):
    """The rules of the API also for what a command line passes in."""

    model_config = ConfigDict(hide_input_in_errors=True)

    name: Name
    admin_name: Name
    admin_email: Email
    admin_password: NewPassword


@dataclass(frozen=True, slots=True)
class WorkspaceTimes:
    """When a workspace works and when it is silent, to reckon with."""

    time_zone: str
    business: Hours | None
    quiet_hours: Mapping[str, Any] | None

    def quiet(self, zone: str | None = None) -> Quiet | None:
        """The quiet time on the wall clock of ``zone``: that of the person who would be disturbed, if it is known."""
        return None if self.quiet_hours is None else Quiet.of(self.quiet_hours, zone or self.time_zone)


async def find_times(unit: UnitOfWork, workspace_id: UUID) -> WorkspaceTimes:
    """Inside the transactions of others."""
    found = await rows.find_workspace(unit, workspace_id)
    hours = found.business_hours
    return WorkspaceTimes(
        found.time_zone, None if hours is None else Hours.of(found.time_zone, hours), found.quiet_hours
    )


@dataclass(frozen=True, slots=True)
class CreatedWorkspace:
    workspace: WorkspaceView
    admin: AgentView


class Workspaces:
    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def create_workspace(
        self, name: str, admin_name: str, admin_email: str, admin_password: str
    ) -> CreatedWorkspace:
        """Raises pydantic's ``ValidationError`` (without the values) for what the API would refuse."""
        given = _NewWorkspace(
            name=name, admin_name=admin_name, admin_email=admin_email, admin_password=SecretStr(admin_password)
        )
        hashed = await self._passwords.hash(given.admin_password.get_secret_value())
        workspace = WorkspaceView(new_id(), given.name)
        async with self._database.transaction() as unit:
            await rows.insert_workspace(unit, workspace.id, workspace.name, epoch=uuid4())
            admin = await rows.insert(
                unit,
                workspace.id,
                new_id(),
                name=given.admin_name,
                role="admin",
                email=given.admin_email,
                password_hash=hashed,
            )
            assert admin is not None, "a new workspace has nobody with this e-mail"
            unit.record(events.created(workspace.id, admin))
        return CreatedWorkspace(workspace, admin)

    async def get(self, workspace_id: UUID) -> WorkspaceView:
        async with self._database.session() as connection:
            return await rows.get_workspace(connection, workspace_id)

    async def read(self, caller: Principal) -> WorkspaceDetail:
        async with self._database.transaction(readonly=True) as unit:
            return await rows.find_workspace(unit, caller.workspace_id)

    async def change(self, caller: Principal, patch: WorkspacePatch) -> WorkspaceDetail:
        """Raises ``Forbidden``."""
        caller.require("workspace.write")
        given = patch.model_dump(exclude_unset=True)
        given = {field: value for field, value in given.items() if value is not None or field in EMPTIES}
        async with self._database.transaction() as unit:
            if not given:
                return await rows.find_workspace(unit, caller.workspace_id)
            changed = await rows.update_workspace(unit, caller.workspace_id, given)
            unit.record(events.workspace_updated(changed))
        return changed


EMPTIES = frozenset({"business_hours", "quiet_hours"})
"""Fields that null empties."""
