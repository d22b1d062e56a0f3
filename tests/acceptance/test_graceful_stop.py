"""SIGTERM on a real process: what was accepted is finished, what is in the air is recorded, sockets are told."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest
from processes import ACCOUNTS, Installation, installation
from watching import Watcher
from webhooks import Providers, audit
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from channels.simulator.client import SimulatorClient
from channels.simulator.server import SimulatorServer
from inbox.realtime.closing import CloseCode

pytestmark = pytest.mark.acceptance


async def test_a_stop_under_load_finishes_what_was_accepted(database_url: str, tmp_path: Path) -> None:
    async with installation(database_url, tmp_path, nodes=2, webhook_lease=60) as made:
        providers = Providers(made, random.Random(5), pause=0.02)
        stop = asyncio.Event()
        load = asyncio.create_task(providers.run(stop, connections=6))
        await asyncio.sleep(1.5)
        assert await made.nodes[0].stop(signal.SIGTERM) == 0
        assert await made.nodes[1].stop(signal.SIGINT) == 0
        # Nobody takes over within a minute: whatever is left pending was left by the stop.
        left = await made.fetchval("SELECT count(*) FROM pending_deliveries")
        assert left == 0, f"{left} accepted webhooks were not finished"
        await asyncio.gather(*(node.start() for node in made.nodes))
        stop.set()
        await load
        await audit(made, providers)
        print(f"\n{dict(providers.answers)}")
        made.check_logs()


async def test_what_is_in_the_air_is_recorded_and_sockets_are_told(database_url: str, tmp_path: Path) -> None:
    async with (
        SimulatorServer() as server,
        SimulatorClient(server.base_url) as simulator,
        installation(database_url, tmp_path, simulator_url=server.base_url, send_timeout=10) as made,
    ):
        await made.join(simulator)
        await simulator.receipts(auto=False)
        for kind, account in ACCOUNTS.items():
            await simulator.say(account, {"name": f"Customer of {kind}"}, "Hello")
        await made.until("SELECT count(*) = 4 FROM conversations")
        socket = asyncio.create_task(_closing(made))
        screen = Watcher(made, made.api, await made.api.get("/v1/conversations"))
        screen.connect(made.node)
        await screen.live()

        await simulator.fault("api", "delay", seconds=1.5)
        for row in await made.fetch("SELECT id FROM conversations"):
            await made.api.send(str(row[0]), "in the air")
        await made.until("SELECT count(*) = 4 FROM deliveries WHERE state = 'sending'")
        assert await made.node.stop() == 0
        states = await made.fetch("SELECT state, count(*) FROM deliveries GROUP BY state")
        assert [tuple(row) for row in states] == [("sent", 4)]
        assert await asyncio.wait_for(socket, 5) == CloseCode.GOING_AWAY

        await made.node.start()  # where it was, so the screen comes back by itself and hears what became of the sends
        await screen.until(await made.fetchval("SELECT max(head) FROM event_logs"))
        told = [event.data["status"] for event in screen.events if event.kind == "message.status"]
        assert told.count("sent") == 4
        await screen.drop()
        made.check_logs()


async def _closing(made: Installation) -> int | None:
    """The code with which the server ends a socket that only listens."""
    ticket = await made.api.ticket()
    protocols = ["inbox.v1", f"ticket.{ticket}"]
    url = f"ws://127.0.0.1:{made.node.port}/v1/stream"
    async with connect(url, subprotocols=protocols, proxy=None) as socket:  # type: ignore[arg-type]
        await socket.send('{"type":"resume"}')
        try:
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass
        return socket.close_code
