"""Facebook Messenger: Page conversations through the Messenger Platform (channel facts, section 2)."""
