"""Refusals: the id that each has for good, and the form in which it is said."""
