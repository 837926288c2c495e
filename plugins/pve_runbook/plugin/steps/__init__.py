"""pytest's items as the steps of the runbook: their order, their places in the procedure, how each ended."""
