"""One connection a node: targets, host keys, one bounded command, the guarded transport."""
