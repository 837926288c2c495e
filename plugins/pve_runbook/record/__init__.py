"""The change record: what a run did, from its journal, as a page, as Markdown and as JSON."""
