"""Log-in, tokens, tickets and the agents of a workspace over HTTP."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from inbox.agents.origin import BaseUrl, ClientAddress
from inbox.agents.principal import PERMISSIONS, Principal
from inbox.agents.schemas import (
    AgentIn,
    AgentPatch,
    AgentView,
    LogIn,
    Me,
    PasswordChange,
    SessionOut,
    TicketOut,
    TokenCreated,
    TokenIn,
    TokenView,
    WorkspaceDetail,
    WorkspacePatch,
)
from inbox.agents.service import Agents, AgentUnknown, EmailTaken, LastAdmin, PasswordRefused
from inbox.agents.sessions import LogInRefused, Sessions
from inbox.agents.throttle import TooManyLogIns
from inbox.agents.tokens import Tickets, Tokens, TokenUnknown
from inbox.agents.workspaces import Workspaces
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import ListQuery, Page
from inbox.kernel.web import Query, delete, get, patch, post

STREAM_PATH: Final = "/v1/stream"


class SessionRoutes:
    """Logging in and out, and who is logged in."""

    def __init__(self, sessions: Sessions, agents: Agents, workspaces: Workspaces) -> None:
        self._sessions = sessions
        self._agents = agents
        self._workspaces = workspaces

    @post("/v1/sessions", status=201, errors=(LogInRefused, TooManyLogIns))
    async def log_in(self, address: ClientAddress, body: LogIn) -> SessionOut:
        """Log in with e-mail and password.

        Who has the same e-mail and password in several workspaces gets a 422 with `workspaces` to choose from.
        """
        return await self._sessions.log_in(body, address)

    @delete("/v1/sessions/current")
    async def log_out(self, caller: Principal) -> None:
        """End this session: revokes the token of the call."""
        await self._sessions.log_out(caller)

    @get("/v1/me")
    async def me(self, caller: Principal) -> Me:
        """Say who the token belongs to and what it may do."""
        permissions = sorted(one for one in PERMISSIONS[caller.role] if caller.may(one))
        agent = await self._agents.get(caller, caller.agent_id)
        return Me(agent, await self._workspaces.get(caller.workspace_id), caller.token_id, permissions)

    @post("/v1/me/password", errors=(Forbidden, PasswordRefused, TooManyLogIns))
    async def change_password(self, caller: Principal, address: ClientAddress, body: PasswordChange) -> None:
        """Change the own password; ends the other sessions of the caller."""
        await self._agents.change_password(caller, address, body)


class TokenRoutes:
    """API tokens of bots and people, and tickets for sockets."""

    def __init__(self, tokens: Tokens, tickets: Tickets) -> None:
        self._tokens = tokens
        self._tickets = tickets

    @get("/v1/tokens", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[ListQuery, Query()]) -> Page[TokenView]:
        """List usable tokens and sessions, newest first: the caller's, or with agents.write everybody's."""
        return query.page(await self._tokens.list(caller, after=query.last_id(), limit=query.limit + 1))

    @post("/v1/tokens", status=201, errors=(Forbidden,))
    async def create(self, caller: Principal, body: TokenIn) -> TokenCreated:
        """Make a token for the caller or a bot. Its secret is shown this one time."""
        return await self._tokens.create(caller, body)

    @delete("/v1/tokens/{token_id}", errors=(Forbidden, TokenUnknown))
    async def revoke(self, caller: Principal, token_id: UUID) -> None:
        """Revoke a token or session. Its sockets are closed."""
        await self._tokens.revoke(caller, token_id)

    @post("/v1/socket-tickets", status=201, errors=(Forbidden,))
    async def ticket(self, caller: Principal, base: BaseUrl) -> TicketOut:
        """Get a ticket that opens one socket, once and soon."""
        # "http" becomes "ws" and "https" becomes "wss".
        return await self._tickets.issue(caller, "ws" + base.removeprefix("http") + STREAM_PATH)


class WorkspaceRoutes:
    """The workspace that the caller works in."""

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    @get("/v1/workspace")
    async def read(self, caller: Principal) -> WorkspaceDetail:
        """Read its name, time zone, business hours and quiet hours."""
        return await self._workspaces.read(caller)

    @patch("/v1/workspace", errors=(Forbidden,))
    async def change(self, caller: Principal, body: WorkspacePatch) -> WorkspaceDetail:
        """Change them. Fields that are left out stay, null empties hours."""
        return await self._workspaces.change(caller, body)


class AgentRoutes:
    """People and bots of the workspace."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    @get("/v1/agents", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[ListQuery, Query()]) -> Page[AgentView]:
        """List agents and bots, oldest first."""
        return query.page(await self._agents.list(caller, after=query.last_id(), limit=query.limit + 1))

    @post("/v1/agents", status=201, errors=(Forbidden, EmailTaken))
    async def create(self, caller: Principal, body: AgentIn) -> AgentView:
        """Add a person, who then can log in, or a bot, which needs a token."""
        return await self._agents.create(caller, body)

    @get("/v1/agents/{agent_id}", errors=(Forbidden, AgentUnknown))
    async def read(self, caller: Principal, agent_id: UUID) -> AgentView:
        """Read one agent."""
        return await self._agents.get(caller, agent_id)

    @patch("/v1/agents/{agent_id}", errors=(Forbidden, AgentUnknown, LastAdmin))
    async def change(self, caller: Principal, agent_id: UUID, body: AgentPatch) -> AgentView:
        """Change name, role or password; disable or enable."""
        return await self._agents.change(caller, agent_id, body)
