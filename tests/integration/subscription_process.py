"""A process that delivers, to be killed: ``python subscription_process.py DSN LEASE_SECONDS``."""

from __future__ import annotations

import asyncio
import sys

from subscription_world import node

from inbox.kernel.clock import SystemClock


async def main(dsn: str, lease_seconds: float) -> None:
    async with node(dsn, clock=SystemClock(), lease_seconds=lease_seconds, poll_seconds=0.1):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
