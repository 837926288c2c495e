"""The plan of a run: pure; the commands still to be sent, whose they are, and how two plans differ."""
