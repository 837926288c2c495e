"""SDN's zones: those that are configured, and those that are committed (recorded on PVE 9.1)."""

from __future__ import annotations

import re

_ZONE = re.compile(r"^\w+: (\S+)$", re.M)


def pending(zones: str, committed: str) -> list[str]:
    """Zones of ``zones`` (sdn/zones.cfg) that ``committed`` (sdn/.running-config) does not have."""
    return [zone for zone in _ZONE.findall(zones) if f'"{zone}"' not in committed]


def running(zones: str) -> dict[str, object]:
    """What sdn/.running-config has once they are committed."""
    return {"zones": {"ids": {zone: {} for zone in _ZONE.findall(zones)}}}
