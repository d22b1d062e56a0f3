"""The external id of a Telegram message.

A message id is unique only inside its chat, and a business account's chat with a person is another chat than the bot's
chat with the same person: ``<chat>:<message>``, or ``<business connection>:<chat>:<message>`` (channel facts, 4.2).
Taps, and messages whose id the provider may use again (ephemeral ones, message id 0), get an id of ours, which cannot
be quoted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageKey:
    chat: int
    message: int
    connection: str | None = None

    def __str__(self) -> str:
        inner = f"{self.chat}:{self.message}"
        return f"{self.connection}:{inner}" if self.connection else inner

    @classmethod
    def find(cls, external_id: str | None) -> MessageKey | None:
        """``None`` for an id that names no message at the provider (``callback:…``, ``update:…``)."""
        if not external_id:
            return None
        rest, _, message = external_id.rpartition(":")
        connection, _, chat = rest.rpartition(":")
        if connection in ("callback", "update") or not (_is_number(chat.removeprefix("-")) and _is_number(message)):
            return None
        return cls(int(chat), int(message), connection or None)


def callback_id(query_id: str) -> str:
    return f"callback:{query_id}"


def passing_id(update_id: int, chat: int) -> str:
    """For a message without an id of its own that lasts: the update that brought it is unique per bot."""
    return f"update:{update_id}:{chat}"


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 18
