"""The live stream: the event log, to every reader who may see it, in order and without a hole."""
