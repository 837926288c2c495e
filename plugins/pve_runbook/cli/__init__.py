"""The command `pve-runbook`: what is done before and beside a run of pytest."""
