"""Time: the clock that wakes the claim loops and the upkeep, over rows that hold the truth."""
