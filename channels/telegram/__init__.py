"""Telegram bots over the Bot API (channel facts, section 4)."""
