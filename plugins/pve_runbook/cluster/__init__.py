"""The nodes of a run: asked in rounds, side by side, and sent actions."""
