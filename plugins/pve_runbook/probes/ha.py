"""The probe of what HA on a node can do, asked where its watchdog is armed."""

from __future__ import annotations

from pve_runbook.parsers.ha import parse_ha_version
from pve_runbook.probes.probe import Probe

HA_VERSION = Probe(
    "ha_version",
    ("dpkg-query", "-W", "-f=${Version}", "pve-ha-manager"),
    parse_ha_version,
    "whether HA can be disarmed before it is stopped: from pve-ha-manager 5.1.3 on",
)
