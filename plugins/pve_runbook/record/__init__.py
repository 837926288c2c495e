"""The change record, made from the journal alone: page, JSON, summary."""
