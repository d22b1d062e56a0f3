"""REST of what is stuck."""

from __future__ import annotations

from inbox.agents.principal import Principal
from inbox.kernel.errors import Forbidden
from inbox.kernel.web import get, post
from inbox.operations.schemas import SettledStuckOut, StuckIn, StuckOut
from inbox.operations.service import Operations


class OperationsRoutes:
    """For those who run the installation."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    @get("/v1/operations/stuck", tag="operations", errors=(Forbidden,))
    async def stuck(self, caller: Principal) -> StuckOut:
        """What the product gave up by itself: timers that failed each time, and dead jobs; for admins."""
        return await self._operations.stuck(caller)

    @post("/v1/operations/stuck/retry", tag="operations", status=200, errors=(Forbidden,))
    async def retry(self, caller: Principal, body: StuckIn) -> SettledStuckOut:
        """Try stuck items again, from their first attempt. Each is answered for by itself."""
        return await self._operations.retry(caller, body.items)

    @post("/v1/operations/stuck/discard", tag="operations", status=200, errors=(Forbidden,))
    async def discard(self, caller: Principal, body: StuckIn) -> SettledStuckOut:
        """Forget stuck items for good. What waited for them, such as a scheduled message, stays as it is."""
        return await self._operations.discard(caller, body.items)
