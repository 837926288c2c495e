"""pve-sdn-commit and pve-firewall-commit of PVE 9: they wait until /etc/pve can be written, and act then.

Recorded on PVE 9.1: the first reloads the network where SDN changes are pending, and with them goes whatever was edited
in /etc/network/interfaces. What the second one does to a firewall is not modelled.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from pve_lab.formats import sdn

from pve_system_lab.node import guests

ZONES, RUNNING = Path("/etc/pve/sdn/zones.cfg"), Path("/etc/pve/sdn/.running-config")
PAUSE = 1.0
"""Seconds between two looks for quorum."""


def _has_quorum() -> bool:
    try:
        return guests.quorate()
    except OSError:  # pmxcfs is not there at the moment
        return False


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def main() -> None:
    """The first argument is the unit's name."""
    while not _has_quorum():
        time.sleep(PAUSE)
    zones = _text(ZONES)
    if sys.argv[1] == "pve-sdn-commit" and sdn.pending(zones, _text(RUNNING)):
        subprocess.run(["ifreload", "-a"], check=True)
        RUNNING.write_text(json.dumps(sdn.running(zones)))


if __name__ == "__main__":
    main()
