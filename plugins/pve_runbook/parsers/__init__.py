"""Text of one command to a typed object. Pure: nothing here asks, sends or writes."""
