"""A stand-in for pvestatd."""

from pve_runbook.syslab.node.api import broadcast

if __name__ == "__main__":
    broadcast()
