"""What a run would send: the plan, its hash, and the card by hand."""
