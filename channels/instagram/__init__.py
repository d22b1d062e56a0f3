"""Instagram messaging on both of its stacks, Page-linked and Instagram Login (channel facts, section 3)."""
