"""Tenants. A workspace is made with its event log and its first admin in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, SecretStr

from inbox.agents import events
from inbox.agents import repository as rows
from inbox.agents.schemas import AgentView, Email, Name, NewPassword, WorkspaceView
from inbox.kernel.database import Database
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
