"""The command line: every option once, how its value is read, and what may not stand beside what."""
