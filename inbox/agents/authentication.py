"""From a bearer token to its ``Principal``, usually without a query.

Invariant: a revocation counts at once on the node that made it and after at most ``FRESH_SECONDS`` on every other,
also when its wake-up is lost. What was read from the database before a revocation is never kept after it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final
from uuid import UUID

from starlette.requests import Request

from inbox.agents import credentials as rows
from inbox.agents.principal import Principal
from inbox.kernel.clock import Clock
from inbox.kernel.database import Database
from inbox.kernel.errors import Unauthenticated
from inbox.kernel.secrets import token_digest
from inbox.kernel.wakeup import Wakeup

TOKENS_TOPIC: Final = "tokens"
"""Published with a workspace's id when a token, session or agent of it changed."""
FRESH_SECONDS: Final = 5.0
MOST_CACHED: Final = 20_000
LONGEST_TOKEN: Final = 128
USE_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


class TokenRefused(Unauthenticated):
    code, title = "token_refused", "The token is unknown, revoked or expired"


class Authentication:
    def __init__(self, database: Database, wakeup: Wakeup, clock: Clock, *, use_seconds: float = USE_SECONDS) -> None:
        self._database = database
        self._wakeup = wakeup
        self._clock = clock
        self._use_seconds = use_seconds
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._generation = 0
        self._used: set[tuple[UUID, UUID]] = set()
        self._writer: asyncio.Task[None] | None = None
        wakeup.subscribe(TOKENS_TOPIC, self._forget)

    def changed(self, workspace_id: UUID) -> None:
        """What services call after a commit that changed who may do what."""
        self._wakeup.publish(TOKENS_TOPIC, workspace_id)

    async def authenticate(self, request: Request) -> Principal:
        """The caller of a request. Raises ``Unauthenticated``."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthenticated("send the header Authorization: Bearer <token>")
        return await self.bearer(token.strip())

    async def bearer(self, token: str) -> Principal:
        """The owner of a token. Raises ``TokenRefused``."""
        if not token.startswith("ibx_") or len(token) > LONGEST_TOKEN:
            raise TokenRefused("the token is unknown, revoked or expired")
        digest = token_digest(token)
        known = self._known.get(digest)
        principal = known[1] if known is not None and self._clock.monotonic() < known[0] else await self._read(digest)
        if principal is None:
            raise TokenRefused("the token is unknown, revoked or expired")
        self._used.add((principal.workspace_id, principal.token_id))
        return principal

    async def still_valid(self, principal: Principal) -> bool:
        """Whether the caller is still what they were when they proved it. Asks the database."""
        async with self._database.session() as connection:
            now = await rows.find_good(connection, principal.workspace_id, principal.token_id)
        return now is not None and (now.role, now.scopes) == (principal.role, principal.scopes)

    async def _read(self, digest: bytes) -> Principal | None:
        generation, asked_at = self._generation, self._clock.monotonic()
        async with self._database.session() as connection:
            bearer = await rows.find_bearer(connection, digest)
        if bearer is None:
            self._known.pop(digest, None)
            return None
        if generation == self._generation:
            if len(self._known) >= MOST_CACHED:
                self._known.clear()
            left = FRESH_SECONDS if bearer.seconds_left is None else min(FRESH_SECONDS, bearer.seconds_left)
            self._known[digest] = (asked_at + left, bearer.principal)
        return bearer.principal

    def _forget(self, workspace_id: UUID | None, *, full: bool) -> None:
        self._generation += 1
        if full or workspace_id is None:
            self._known.clear()
            return
        self._known = {digest: known for digest, known in self._known.items() if known[1].workspace_id != workspace_id}

    # --- when a token was last used, off the path of requests ---------------------------------------------------------

    async def start(self) -> None:
        self._writer = asyncio.create_task(self._write_uses(), name="token uses")

    async def stop(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
            self._writer = None
            await self._try_to_record()

    async def record_uses(self) -> None:
        """Write ``last_used_at`` of every token that was used since the last call, in one statement."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with self._database.transaction() as unit:
                await rows.mark_used(unit, sorted(used))
        except BaseException:
            self._used |= used
            raise

    async def _write_uses(self) -> None:
        while True:
            await asyncio.sleep(self._use_seconds)
            await self._try_to_record()

    async def _try_to_record(self) -> None:
        try:
            await self.record_uses()
        except Exception as error:
            log.warning("the use of tokens was not recorded (%s); it is tried again", type(error).__name__)
