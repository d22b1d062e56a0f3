"""The omnichannel inbox: ingest, event log, delivery and live stream. Start reading at ``inbox.runtime``."""
