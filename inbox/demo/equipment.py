"""What the demo's workspace works with besides people and channels: a sequence, and the example bot. Each is made once.

The bot is the one that the documentation shows; an installation without that documentation goes without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from inbox.demo.api import Api, Json
from inbox.demo.record import Bot, Kind, Record

SEQUENCE: Final = "Welcome"
STEPS: Final[list[Json]] = [
    {
        "key": "hello",
        "wait": {"delay": {"value": 5, "unit": "seconds"}},
        "parts": [{"type": "text", "text": "Welcome! It is good to have you with us."}],
    },
    {
        "key": "delivery",
        "wait": {"delay": {"value": 40, "unit": "seconds"}},
        "parts": [{"type": "text", "text": "Did you know? From 50 euros on we deliver for free."}],
    },
    {
        "key": "question",
        "wait": {"delay": {"value": 1, "unit": "days"}, "time_of_day": "10:00"},
        "parts": [{"type": "text", "text": "How do you like it so far?"}],
    },
]
BOT: Final = "Shop assistant"
BOT_CHANNEL: Final[Kind] = "messenger"
PROGRAM: Final = Path(__file__).parents[2] / "docs/example_bot/bot.py"


async def publish_sequence(api: Api) -> None:
    sequence = next((each for each in await api.all("/v1/sequences") if each["name"] == SEQUENCE), None)
    if sequence is None:
        sequence = await api.post("/v1/sequences", {"name": SEQUENCE, "draft": {"steps": STEPS}})
    if sequence["published"] is None:
        await api.post(f"/v1/sequences/{sequence['id']}/publish")


async def register_bot(api: Api, record: Record, folder: Path, url: str) -> Bot:
    """``url`` is where it listens from now on. It answers first on its channel, as no person could at once."""
    bot = next((each for each in await api.all("/v1/bots") if each["name"] == BOT), None)
    if bot is None:
        made = await api.post("/v1/bots", await _bot(api, record, url))
        record.bot = Bot(secret=made["secret"], token=made["token"])
    else:
        await api.patch(f"/v1/bots/{bot['id']}", {"url": url, "enabled": True})
        if record.bot is None:  # an earlier start ended before it was written down
            secret = (await api.post(f"/v1/bots/{bot['id']}/rotate-secret", {}))["secret"]
            token = (await api.post("/v1/tokens", {"name": "demo", "agent_id": bot["id"]}))["secret"]
            record.bot = Bot(secret=secret, token=token)
    record.save(folder)
    return record.bot


async def _bot(api: Api, record: Record, url: str) -> Json:
    account_id = record.channel(BOT_CHANNEL).account_id
    channel = next(each for each in await api.all("/v1/channels") if each["account_id"] == account_id)
    return {"name": BOT, "url": url, "mode": "first_responder", "channels": [channel["id"]]}
