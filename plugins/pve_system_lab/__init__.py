"""The system lab: nodes with real OpenSSH, systemd, corosync and QEMU, and stand-ins for Proxmox's own programs.

Run it with `python -m pve_system_lab` as root on Linux. Nothing of the runbook imports it.
"""
