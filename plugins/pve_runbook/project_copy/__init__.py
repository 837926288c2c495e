"""The runbook's own files as the distribution carries them, and the copy of them that a user's folder holds."""
