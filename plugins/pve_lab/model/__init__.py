"""The model of a Proxmox VE cluster: clock, network, and everything that one node holds."""
