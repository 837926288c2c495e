"""Every question that a node may be asked: read-only commands with bounds and parsers."""
