"""The start of all guests after a boot: what is said of the guests that it starts, and of those that nobody does."""
