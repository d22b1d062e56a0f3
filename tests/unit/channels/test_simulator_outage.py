"""How long the simulated providers try to deliver a webhook, and what they do then (facts, 0, 1.1, 2.1)."""

from __future__ import annotations

import asyncio

import pytest

from channels.simulator.posts import Part
from channels.simulator.simulation import Simulation
from channels.simulator.world import Account, Customer, Kind, World

HOUR = 3600.0


@pytest.mark.parametrize(
    ("kind", "hours", "given_up", "subscribed"),
    [
        ("messenger", 0.9, False, True),
        ("messenger", 1.1, True, False),
        ("instagram", 1.1, True, False),
        ("whatsapp", 6 * 24, False, True),
        ("whatsapp", 7.1 * 24, True, True),
    ],
)
async def test_a_long_outage(kind: Kind, hours: float, given_up: bool, subscribed: bool) -> None:
    now = 1_790_000_000.0
    simulation = Simulation(base_url="http://127.0.0.1:9", retry_scale=0.001, world=World(lambda: now))
    await simulation.start()
    try:
        account = simulation.world.register(Account(kind, "1", "token", webhook_url="http://127.0.0.1:9/refused"))
        customer = simulation.world.add_customer(account, Customer("2", "Ann"))
        part: Part = "changes" if kind == "whatsapp" else "messaging"
        simulation.emit(account, customer, "message", {}, part=part)
        (post,) = simulation.outbox.recent
        now += hours * HOUR
        async with asyncio.timeout(5):
            while post.state == "pending" and len(post.attempts) < 4:
                await asyncio.sleep(0.001)
        assert (post.state == "failed", account.subscribed) == (given_up, subscribed)
    finally:
        await simulation.stop()
