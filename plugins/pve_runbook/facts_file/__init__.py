"""Facts kept in a file without secrets, from which a twin is built."""
