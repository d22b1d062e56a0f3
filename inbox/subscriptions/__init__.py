"""Outgoing webhooks: durable, ordered readers of the event log that belong to a customer's own systems."""
