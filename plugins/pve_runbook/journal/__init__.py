"""The append-only, hash-chained journal of a run."""
