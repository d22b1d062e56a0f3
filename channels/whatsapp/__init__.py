"""WhatsApp Cloud API: parsing of webhooks, rendering of messages, and the calls of one business phone number."""
