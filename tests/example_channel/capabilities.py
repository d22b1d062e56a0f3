"""What Pigeon carries, as its documentation would say: the product refuses from these figures before it sends."""

from __future__ import annotations

from typing import Final

from channels.capabilities import Capabilities, ChoiceRule, MediaRule, RateRule, Receipts, TextLimit

CHANNEL: Final = "Pigeon"

CAPABILITIES: Final = Capabilities(
    text=TextLimit(500),
    media={
        "image": MediaRule(
            1024 * 1024, ("image/jpeg", "image/png"), max_bytes_by_link=512 * 1024, caption=TextLimit(100)
        )
    },
    choices={"buttons": ChoiceRule(3, title=TextLimit(20), text=TextLimit(500), payload=TextLimit(100, "bytes"))},
    receipts=Receipts(delivered="id", read="id", correlation=True, echoes=True),
    rates=(RateRule("channel", 10, 1, burst=10), RateRule("recipient", 1, 1, burst=5)),
    reply_to=True,
    starts_conversations=True,
)
