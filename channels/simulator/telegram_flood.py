"""How fast a bot may send (facts, 4.5). The real limits are unpublished; these are the ones the documentation names.

A refused send counts for nothing. The wait told is whole seconds, as Telegram tells it.
"""

from __future__ import annotations

import math

from channels.simulator.telegram_rooms import Refusal, Room

_BOT = 30, 1.0
_CHAT = 3, 3.0
"""One a second, in short bursts."""
_GROUP = 20, 60.0


def check_flood(room: Room, now: float, messages: int = 1) -> None:
    """Count the send, or refuse it with the time to wait."""
    bot, chat = room.account.bot, room.customer.chat
    if not bot.flood_limits:
        return
    limits = [(bot.sent_at, _BOT), (chat.sent_at, _GROUP if room.customer.is_group else _CHAT)]
    wait = 0.0
    for sent_at, (most, seconds) in limits:
        while sent_at and sent_at[0] <= now - seconds:
            sent_at.popleft()
        if sent_at and len(sent_at) + messages > most:
            wait = max(wait, sent_at[0] + seconds - now)
    if wait > 0:
        whole = max(math.ceil(wait), 1)
        raise Refusal(429, f"Too Many Requests: retry after {whole}", {"retry_after": whole})
    for sent_at, _ in limits:
        sent_at.extend([now] * messages)
