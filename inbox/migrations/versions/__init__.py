"""Version scripts, in one line from the first to the newest. A released script is never edited."""
