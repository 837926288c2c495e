"""A stand-in for pvestatd."""

from pve_system_lab.node.api import broadcast

if __name__ == "__main__":
    broadcast()
