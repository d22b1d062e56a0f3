"""Makes what a demo needs, through the public API, and only what is not there yet: a broken start is continued."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from channels.simulator.client import SimulatorClient, SimulatorError
from channels.types import JsonObject
from inbox.demo.api import Api, Json
from inbox.demo.customers import introduce
from inbox.demo.errors import DemoError
from inbox.demo.record import DemoChannel, Record

META_APP = "Demo Meta app"
DELIVERED_AFTER, READ_AFTER = 0.6, 2.5
"""Seconds until a simulated customer has a message, and has read it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider app's webhooks go."""

    app_id: str
    webhook_url: str


class Seeding:
    """``api`` is logged in as the admin. Channels reach the simulator at ``record.simulator_url``."""

    def __init__(self, api: Api, record: Record, folder: Path) -> None:
        self._api = api
        self._record = record
        self._folder = folder

    async def run(self) -> None:
        await self._people()
        await self._channels()

    async def connect(self) -> int:
        """Tell the simulator, which forgets everything when it ends, of accounts and customers. How many customers."""
        record = self._record
        endpoints = await self._endpoints()
        async with SimulatorClient(record.simulator_url) as simulator:
            await simulator.receipts(delivered_after=DELIVERED_AFTER, read_after=READ_AFTER)
            try:
                for channel in record.channels:
                    await self._register(simulator, channel, endpoints)
            except SimulatorError as error:
                raise DemoError(f"the simulator did not take the account: {error}") from error
            customers = await introduce(self._api, simulator, record)
        await self._sync_templates()
        return customers

    async def _sync_templates(self) -> None:
        """Once the simulator knows the account; later, upkeep does."""
        number = self._record.channel("whatsapp").account_id
        channel = next(each for each in await self._api.all("/v1/channels") if each["account_id"] == number)
        path = f"/v1/channels/{channel['id']}/templates"
        if not await self._api.all(path):
            await self._api.post(f"{path}/sync")

    # --- people -------------------------------------------------------------------------------------------------------

    async def _people(self) -> None:
        agents = await self._api.all("/v1/agents")
        emails = {agent["email"] for agent in agents}
        for person in self._record.people:
            if person.email not in emails:
                await self._api.post("/v1/agents", person.model_dump())
        if self._record.token is None:
            self._record.token = (await self._api.post("/v1/tokens", {"name": "demo"}))["secret"]
            self._record.save(self._folder)

    # --- channels -----------------------------------------------------------------------------------------------------

    async def _channels(self) -> None:
        endpoints = await self._endpoints()
        known = {(each["kind"], each["account_id"]): each for each in await self._api.all("/v1/channels")}
        for channel in self._record.channels:
            found = known.get((channel.kind, channel.account_id))
            if found is None:
                await self._api.post("/v1/channels", self._channel(channel, endpoints[channel.account_id]))
            elif found["api_base"] != self._api_base(channel):
                raise DemoError(
                    f"the channel {channel.name} is connected to {found['api_base']}, where no simulator runs now",
                    f"move {self._folder} away to begin with a new demo",
                )
            elif missing := channel.options.keys() - found["options"].keys():
                added = {name: channel.options[name] for name in missing}
                await self._api.patch(f"/v1/channels/{found['id']}", {"options": {**found["options"], **added}})

    def _channel(self, channel: DemoChannel, endpoint: Endpoint) -> Json:
        return {
            "kind": channel.kind,
            "provider_app_id": endpoint.app_id,
            "account_id": channel.account_id,
            "name": channel.name,
            "token": channel.token,
            "api_base": self._api_base(channel),
            "options": channel.options,
        }

    def _api_base(self, channel: DemoChannel) -> str:
        base = self._record.simulator_url
        return base if channel.kind == "telegram" else f"{base}/graph"

    async def _endpoints(self) -> dict[str, Endpoint]:
        """By account: that of the one Meta app, or of the Telegram bot. What is missing is made."""
        record = self._record
        apps = await self._api.all("/v1/provider-apps")
        meta = next((app for app in apps if app["provider"] == "meta" and app["name"] == META_APP), None)
        if meta is None:
            secret: Json = {"signing_secrets": [record.app_secret], "verify_token": record.verify_token}
            meta = await self._app("meta", META_APP, secret)
        endpoints: dict[str, Endpoint] = {}
        for channel in record.channels:
            app = meta
            if channel.kind == "telegram":
                bots = [each for each in apps if each["account_id"] == channel.account_id]
                fields: Json = {"signing_secrets": [record.telegram_secret]}
                fields["account_id"] = channel.account_id
                app = bots[0] if bots else await self._app("telegram", channel.name, fields)
            endpoints[channel.account_id] = Endpoint(app["id"], self._here(app["webhook_url"]))
        return endpoints

    async def _app(self, provider: str, name: str, fields: Json) -> Json:
        made = await self._api.post("/v1/provider-apps", {"provider": provider, "name": name, **fields})
        app: Json = made["app"]
        return app

    def _here(self, url: str) -> str:
        """The webhook's address as the simulator beside us reaches it, whatever name people use."""
        return self._api.url + urlsplit(url).path

    async def _register(self, simulator: SimulatorClient, channel: DemoChannel, endpoints: dict[str, Endpoint]) -> None:
        record = self._record
        url = endpoints[channel.account_id].webhook_url
        options: JsonObject = {"name": channel.name, "username": channel.name.lstrip("@").replace(" ", "_").lower()}
        if channel.kind == "telegram":
            await simulator.register(
                "telegram",
                channel.account_id,
                channel.token,
                secret_token=record.telegram_secret,
                webhook_url=url,
                options=options,
            )
            return
        await simulator.register(
            channel.kind,
            channel.account_id,
            channel.token,
            app_secret=record.app_secret,
            webhook_url=url,
            verify_token=record.verify_token,
            verify=True,
            options={**options, **channel.options},
        )
