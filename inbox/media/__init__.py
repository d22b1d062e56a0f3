"""Files of messages: fetched from providers, uploaded by agents, kept in a store, served by signed links."""
