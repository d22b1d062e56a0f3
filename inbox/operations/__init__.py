"""What the product gave up by itself, for those who run it: failed timers and dead jobs, to be retried or discarded."""
