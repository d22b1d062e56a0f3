"""Adapters for messaging providers: pure parsing and rendering, and the HTTP calls of each provider's API."""
