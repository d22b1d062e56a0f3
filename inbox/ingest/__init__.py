"""The way in: webhook endpoint, raw deliveries, processor, quarantine. See docs/ingest.md."""
