"""Sequences: follow-ups that a contact gets one after the other, until something says stop."""
