"""A cluster link that comes and goes, until this process is ended."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pve_system_lab import network

UP, DOWN = 15, 25
"""Seconds that the link holds, and is down: long enough that corosync notices both (recorded: 13 and 24)."""


def main() -> None:
    """Flap for ever; the argument is where this process writes its pid."""
    Path(sys.argv[1]).write_text(str(os.getpid()))
    while True:
        network.whole()
        time.sleep(UP)
        network.isolate()
        time.sleep(DOWN)


if __name__ == "__main__":
    main()
