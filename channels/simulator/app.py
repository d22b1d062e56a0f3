"""One ASGI application: Graph API, Bot API, their files, and the control API, on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from channels.simulator import control, control_wire
from channels.simulator.graph import GraphApi
from channels.simulator.instagram import InstagramVoice
from channels.simulator.messenger import MessengerVoice
from channels.simulator.page_api import PageApi
from channels.simulator.provider_control import ProviderControl
from channels.simulator.simulation import Simulation
from channels.simulator.telegram import TelegramVoice
from channels.simulator.telegram_api import TelegramApi
from channels.simulator.whatsapp import WhatsAppVoice


def create_simulator(
    *,
    base_url: str = "http://127.0.0.1:8090",
    seed: int = 0,
    concurrency: int = 40,
    retry_scale: float = 1.0,
    fetch_links: bool = True,
    loopback_webhooks: bool = True,
) -> Starlette:
    """The simulator. ``base_url`` is how the product reaches it: media links begin with it.

    ``retry_scale`` multiplies the waits between redeliveries; ``fetch_links`` false trusts every link in a send.
    ``loopback_webhooks`` false holds addresses of this machine to Telegram's rules as well.
    """
    simulation = Simulation(
        base_url=base_url,
        seed=seed,
        concurrency=concurrency,
        retry_scale=retry_scale,
        fetch_links=fetch_links,
        loopback_webhooks=loopback_webhooks,
    )
    messenger, instagram = MessengerVoice(simulation), InstagramVoice(simulation)
    simulation.voices = {
        "whatsapp": WhatsAppVoice(simulation),
        "messenger": messenger,
        "instagram": instagram,
        "telegram": TelegramVoice(simulation),
    }
    pages = PageApi(simulation, messenger, instagram)
    simulation.listeners.append(pages.echo)
    graph, telegram = GraphApi(simulation, pages), TelegramApi(simulation)
    controls = control.Control(simulation)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await simulation.start()
        try:
            yield
        finally:
            controls.chatter.stop()
            await simulation.stop()

    return Starlette(
        routes=[
            Route("/graph/{path:path}", graph.endpoint, methods=["GET", "POST", "DELETE"]),
            Route("/media-download/{media_id}/{expires:int}/{ticket}", graph.download),
            Route("/cdn/avatar/{customer_id}.png", graph.avatar),
            Route("/cdn/{media_id}/{ticket}/{filename}", graph.cdn),
            Route("/bot{token}/{method}", telegram.endpoint, methods=["GET", "POST"]),
            Route("/file/bot{token}/{folder}/{file_id}/{filename}", telegram.download),
            Mount("/control", routes=[*controls.routes(), *ProviderControl(simulation).routes()]),
        ],
        lifespan=lifespan,
        exception_handlers=dict.fromkeys(control_wire.REFUSALS, control_wire.refused),
    )
