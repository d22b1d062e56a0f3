"""Measurements of the product as it runs: real processes, a real PostgreSQL, bounded loads on 127.0.0.1."""
