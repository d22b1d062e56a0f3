"""Bots and the conversations they hold: who answers now, until when, and how it goes over to people and back."""
