"""Mechanisms without domain words: settings, database, event log, jobs, web, errors, clock, ids, HTTP, logging."""
