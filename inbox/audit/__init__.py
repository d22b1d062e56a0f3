"""Who did what to which thing, and when: written with the deed, read by those who answer for it."""
