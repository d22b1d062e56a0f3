"""Agents of a workspace: people and bots. A workspace never loses its last admin.

``changed`` is called after every commit that changes what somebody may do; see ``Authentication``.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from inbox.agents import credentials, events
from inbox.agents import repository as rows
from inbox.agents.principal import Principal
from inbox.agents.schemas import AgentIn, AgentPatch, AgentView, PasswordChange, PersonIn
from inbox.agents.throttle import LogInThrottle
from inbox.kernel.database import Database
from inbox.kernel.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from inbox.kernel.ids import new_id
from inbox.kernel.secrets import Passwords

Changed = Callable[[UUID], None]
"""Called with the id of a workspace."""


class AgentUnknown(NotFound):
    code = "agent_not_found"


class EmailTaken(Conflict):
    code, title = "email_taken", "Somebody in this workspace has this e-mail"


class LastAdmin(Conflict):
    code, title = "last_admin", "A workspace needs an admin who can log in"


class PasswordRefused(Forbidden):
    code, title = "password_refused", "The current password is not right"


class Agents:
    def __init__(self, database: Database, passwords: Passwords, throttle: LogInThrottle, changed: Changed) -> None:
        self._database = database
        self._passwords = passwords
        self._throttle = throttle
        self._changed = changed

    async def list(self, caller: Principal, *, after: UUID | None, limit: int) -> list[AgentView]:
        caller.require("agents.read")
        async with self._database.session() as connection:
            return await rows.page(connection, caller.workspace_id, after=after, limit=limit)

    async def get(self, caller: Principal, agent_id: UUID) -> AgentView:
        """Raises ``AgentUnknown``. Everybody may read themselves."""
        if agent_id != caller.agent_id:
            caller.require("agents.read")
        async with self._database.session() as connection:
            agent = await rows.find(connection, caller.workspace_id, agent_id)
        if agent is None:
            raise AgentUnknown("there is no such agent")
        return agent

    async def create(self, caller: Principal, fields: AgentIn) -> AgentView:
        """Raises ``EmailTaken``."""
        caller.require("agents.write")
        email = hashed = None
        if isinstance(fields, PersonIn):
            email, hashed = fields.email, await self._passwords.hash(fields.password.get_secret_value())
        async with self._database.transaction() as unit:
            agent = await rows.insert(
                unit,
                caller.workspace_id,
                new_id(),
                name=fields.name,
                role=fields.role,
                email=email,
                password_hash=hashed,
            )
            if agent is None:
                raise EmailTaken("somebody in this workspace has this e-mail")
            unit.record(events.created(caller.workspace_id, agent))
        return agent

    async def change(self, caller: Principal, agent_id: UUID, patch: AgentPatch) -> AgentView:
        """Raises ``AgentUnknown``, ``LastAdmin``. Disabling ends sessions and suspends API tokens."""
        caller.require("agents.write")
        hashed = None if patch.password is None else await self._passwords.hash(patch.password.get_secret_value())
        async with self._database.transaction() as unit:
            locked = {agent.id: agent for agent in await rows.lock_with_admins(unit, caller.workspace_id, agent_id)}
            before = locked.get(agent_id)
            if before is None:
                raise AgentUnknown("there is no such agent")
            _require_person(before, patch)
            given = patch.model_dump(include={"name", "role", "disabled"}, exclude_none=True)
            fields: dict[str, object] = {name: value for name, value in given.items() if getattr(before, name) != value}
            if _ends_admin(before, fields) and not any(
                agent.role == "admin" and agent.id != agent_id for agent in locked.values()
            ):
                raise LastAdmin("make somebody else an admin first")
            if hashed is not None:
                fields["password_hash"] = hashed
            if not fields:
                return before
            agent = await rows.update(unit, caller.workspace_id, agent_id, fields)
            if hashed is not None or fields.get("disabled"):
                await credentials.revoke_sessions(unit, caller.workspace_id, agent_id)
            if agent != before:
                unit.record(events.updated(caller.workspace_id, agent))
            unit.after_commit(lambda: self._changed(caller.workspace_id))
        return agent

    async def change_password(self, caller: Principal, address: str, change: PasswordChange) -> None:
        """The caller's own. Ends their other sessions. Raises ``PasswordRefused``, ``TooManyLogIns``."""
        if caller.scopes:
            raise Forbidden("a token with scopes cannot change a password")
        subject = f"password of {caller.agent_id}"
        await self._throttle.attempt(subject, address)
        async with self._database.session() as connection:
            before = await rows.password_hash(connection, caller.workspace_id, caller.agent_id)
        if not await self._passwords.verify(change.current.get_secret_value(), before) or before is None:
            raise PasswordRefused("the current password is not right")
        await self._throttle.succeeded(subject, address)
        after = await self._passwords.hash(change.new.get_secret_value())
        async with self._database.transaction() as unit:
            if not await rows.replace_password(unit, caller.workspace_id, caller.agent_id, before=before, after=after):
                raise PasswordRefused("the current password is not right")
            await credentials.revoke_sessions(unit, caller.workspace_id, caller.agent_id, but=caller.token_id)
            unit.after_commit(lambda: self._changed(caller.workspace_id))


def _require_person(agent: AgentView, patch: AgentPatch) -> None:
    if agent.role != "bot":
        return
    faults = [
        Fault(f"/body/{name}", "a bot has none, and stays a bot", "bot")
        for name in ("role", "password")
        if getattr(patch, name) is not None
    ]
    if faults:
        raise Invalid(faults)


def _ends_admin(before: AgentView, fields: dict[str, object]) -> bool:
    return before.role == "admin" and not before.disabled and ("role" in fields or bool(fields.get("disabled")))
