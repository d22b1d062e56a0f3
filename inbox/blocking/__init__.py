"""Blocking a contact: silent at once, what they send set aside, and what was under way kept for a person to decide."""
