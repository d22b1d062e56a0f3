"""Conversations: the thread between one channel and one identity, its state, and who has read how far."""
