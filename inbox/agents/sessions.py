"""Logging in and out. An unknown e-mail and a wrong password get the same answer in the same time."""

from __future__ import annotations

from inbox.agents import credentials
from inbox.agents import repository as rows
from inbox.agents.principal import Principal
from inbox.agents.repository import Candidate
from inbox.agents.schemas import LogIn, SessionOut
from inbox.agents.service import Changed
from inbox.agents.throttle import LogInThrottle
from inbox.kernel.database import Database
from inbox.kernel.errors import Fault, Invalid, Unauthenticated
from inbox.kernel.ids import new_id
from inbox.kernel.secrets import Passwords, new_token

SESSION_PREFIX = "ibx_session_"
HINT_LENGTH = 4
MOST_WORKSPACES = 10
"""Of one e-mail: each costs a password check."""


class LogInRefused(Unauthenticated):
    code, title = "log_in_refused", "E-mail or password is not right"


class Sessions:
    """``hours``: how long a session lasts."""

    def __init__(
        self, database: Database, passwords: Passwords, throttle: LogInThrottle, changed: Changed, *, hours: float
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._throttle = throttle
        self._changed = changed
        self._hours = hours

    async def log_in(self, given: LogIn, address: str) -> SessionOut:
        """Raises ``LogInRefused``, ``TooManyLogIns``, and ``Invalid`` that lists the workspaces to choose from."""
        password = given.password.get_secret_value()
        await self._throttle.attempt(given.email, address)
        matched = await self._matching(given, password)
        if not matched:
            raise LogInRefused("e-mail or password is not right")
        await self._throttle.succeeded(given.email, address)
        if len(matched) > 1:
            raise Invalid(
                [Fault("/body/workspace_id", "say which workspace, for this e-mail has several", "workspace_required")],
                workspaces=[{"id": one.workspace.id, "name": one.workspace.name} for one in matched],
            )
        return await self._begin(matched[0], password)

    async def log_out(self, caller: Principal) -> None:
        """Revoke the token of this call."""
        async with self._database.transaction() as unit:
            await credentials.revoke(unit, caller.workspace_id, caller.token_id, agent_id=caller.agent_id)
            unit.after_commit(lambda: self._changed(caller.workspace_id))

    async def _matching(self, given: LogIn, password: str) -> list[Candidate]:
        async with self._database.session() as connection:
            candidates = await rows.candidates(connection, given.email, given.workspace_id, limit=MOST_WORKSPACES)
        if not candidates:
            await self._passwords.verify(password, None)
        return [one for one in candidates if await self._passwords.verify(password, one.password_hash)]

    async def _begin(self, who: Candidate, password: str) -> SessionOut:
        token, digest = new_token(SESSION_PREFIX)
        workspace_id, agent_id = who.workspace.id, who.agent.id
        stronger = await self._passwords.hash(password) if self._passwords.needs_rehash(who.password_hash) else None
        async with self._database.transaction() as unit:
            expires_at = await credentials.insert_session(
                unit,
                workspace_id,
                new_id(),
                agent_id,
                verified_hash=who.password_hash,
                name="log-in",
                hint=token[-HINT_LENGTH:],
                digest=digest,
                hours=self._hours,
            )
            if expires_at is None:
                raise LogInRefused("e-mail or password is not right")
            if stronger is not None:
                await rows.replace_password(unit, workspace_id, agent_id, before=who.password_hash, after=stronger)
        return SessionOut(token, expires_at, who.agent, who.workspace)
