"""The way out: dispatcher, gate, rate limits, attempts, reconciliation. See docs/delivery.md."""
