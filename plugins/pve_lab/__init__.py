"""The embedded lab: simulated Proxmox VE nodes behind a real SSH server on loopback.

Run it with `pve-runbook lab`. Nothing of the runbook imports it but the
options that start it.
"""
