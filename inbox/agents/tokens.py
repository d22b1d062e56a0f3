"""API tokens of bots and people, and socket tickets. Both are shown once; the database holds their digests.

A token never gives more than its maker's: a caller with scopes hands out some of these scopes, or nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from inbox.agents import credentials
from inbox.agents import repository as agents
from inbox.agents.principal import PERMISSIONS, Principal
from inbox.agents.schemas import TicketOut, TokenCreated, TokenIn, TokenView
from inbox.agents.service import Changed
from inbox.agents.sessions import HINT_LENGTH
from inbox.kernel.clock import Clock
from inbox.kernel.database import Database
from inbox.kernel.errors import Fault, Forbidden, Invalid, NotFound, Unauthenticated
from inbox.kernel.ids import new_id
from inbox.kernel.secrets import new_token, token_digest

API_PREFIX = "ibx_api_"
TICKET_PREFIX = "ibx_ticket_"
LONGEST_LIFE: Final = timedelta(days=3653)
"""Ten years; whoever wants more leaves the end out. Far beyond lie instants that UTC cannot name."""


class TokenUnknown(NotFound):
    code = "token_not_found"


class TicketInvalid(Unauthenticated):
    code, title = "ticket_invalid", "The ticket is unknown, used or too old"


class Tokens:
    def __init__(self, database: Database, clock: Clock, changed: Changed) -> None:
        self._database = database
        self._clock = clock
        self._changed = changed

    async def create(self, caller: Principal, fields: TokenIn) -> TokenCreated:
        """For the caller, or for a bot (``agents.write``). Raises ``Invalid``, ``Forbidden``."""
        if caller.scopes and not (fields.scopes and caller.scopes.issuperset(fields.scopes)):
            raise Forbidden("a token with scopes can only make tokens with some of these scopes")
        if fields.expires_at is not None:
            now = self._clock.now()
            if fields.expires_at <= now:
                raise Invalid.at("/body/expires_at", "this is in the past", "past")
            if fields.expires_at > now + LONGEST_LIFE:
                raise Invalid.at("/body/expires_at", "this is more than ten years ahead", "too_far_ahead")
        agent_id = fields.agent_id or caller.agent_id
        if agent_id != caller.agent_id:
            caller.require("agents.write")
        secret, digest = new_token(API_PREFIX)
        async with self._database.transaction() as unit:
            agent = await agents.find(unit.connection, caller.workspace_id, agent_id)
            if agent is None or (agent.id != caller.agent_id and agent.role != "bot"):
                raise Invalid.at("/body/agent_id", "this must be a bot of this workspace, or yourself", "no_such_bot")
            beyond = sorted({*fields.scopes} - PERMISSIONS[agent.role])
            if beyond:
                detail = f"the role {agent.role} does not have this permission"
                raise Invalid([Fault(f"/body/scopes/{fields.scopes.index(one)}", detail, "scope") for one in beyond])
            token = await credentials.insert_token(
                unit,
                caller.workspace_id,
                new_id(),
                agent.id,
                name=fields.name,
                hint=secret[-HINT_LENGTH:],
                digest=digest,
                scopes=sorted({*fields.scopes}),
                expires_at=fields.expires_at,
            )
        return TokenCreated(secret, token)

    async def list(self, caller: Principal, *, after: UUID | None, limit: int) -> list[TokenView]:
        """Usable tokens and sessions, newest first: the caller's own, or everybody's with ``agents.write``."""
        _require_unscoped(caller)
        owner = None if caller.may("agents.write") else caller.agent_id
        async with self._database.session() as connection:
            return await credentials.token_page(
                connection, caller.workspace_id, agent_id=owner, after=after, limit=limit
            )

    async def revoke(self, caller: Principal, token_id: UUID) -> None:
        """At once on this node, within seconds on others. Raises ``TokenUnknown``."""
        if token_id != caller.token_id:
            _require_unscoped(caller)
        owner = None if caller.may("agents.write") else caller.agent_id
        async with self._database.transaction() as unit:
            if not await credentials.revoke(unit, caller.workspace_id, token_id, agent_id=owner):
                raise TokenUnknown("there is no such token")
            unit.after_commit(lambda: self._changed(caller.workspace_id))


class Tickets:
    """One use, within ``seconds``: safe to show up in the log of a proxy, which a token in a URL is not."""

    def __init__(self, database: Database, *, seconds: int) -> None:
        self._database = database
        self._seconds = seconds

    async def issue(self, caller: Principal, url: str) -> TicketOut:
        caller.require("stream")
        ticket, digest = new_token(TICKET_PREFIX)
        async with self._database.transaction() as unit:
            expires_at = await credentials.insert_ticket(unit, digest, caller, seconds=self._seconds)
        return TicketOut(ticket, expires_at, url)

    async def redeem(self, ticket: str) -> Principal:
        """Who it was issued to, once. Raises ``TicketInvalid``."""
        found = None
        if ticket.startswith(TICKET_PREFIX):
            async with self._database.transaction() as unit:
                found = await credentials.take_ticket(unit, token_digest(ticket))
        if found is None:
            raise TicketInvalid("the ticket is unknown, used or too old")
        return found


def _require_unscoped(caller: Principal) -> None:
    if caller.scopes and not caller.may("agents.write"):
        raise Forbidden("a token with scopes cannot see or end other tokens")
