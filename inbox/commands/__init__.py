"""The commands, one module each. They translate between a terminal and the services; what they do is done elsewhere."""
