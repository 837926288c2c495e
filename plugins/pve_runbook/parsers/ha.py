"""High availability: what it manages, and whether a watchdog is armed."""

from __future__ import annotations

import json
import re

from pve_runbook.parsers.output import Output, only_missing_files, stdout_of, unread
from pve_runbook.parsers.section_config import parse_sections

_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}(?![0-9.])")


def parse_ha_resources_text(text: str) -> tuple[str, ...]:
    """The resources of ha/resources.cfg, as "vm:101" or "ct:102"."""
    return tuple(f"{section.type}:{section.id}" for section in parse_sections(text, "ha/resources.cfg"))


def parse_ha_started_text(text: str) -> tuple[str, ...]:
    """Those of the resources that HA keeps running: their state is started (or enabled), or not said (pve-ha-manager,
    PVE/HA/Resources.pm)."""
    sections = parse_sections(text, "ha/resources.cfg")
    return tuple(f"{s.type}:{s.id}" for s in sections if s.options.get("state", "started") in ("started", "enabled"))


def parse_ha_version(output: Output) -> tuple[int, ...] | None:
    """Read `dpkg-query -W -f=${Version} pve-ha-manager`: (5, 1, 3); None where it is not installed (dpkg-query(1))."""
    if output.exit_status == 1 and not output.stdout and "no packages found" in output.stderr:
        return None
    found = _VERSION.match(stdout_of(output, "dpkg-query of pve-ha-manager"))
    if found is None:
        raise unread("dpkg-query of pve-ha-manager", output.stdout)
    return tuple(int(part) for part in found[0].split("."))


def parse_ha_services_text(text: str) -> dict[str, tuple[str, str]]:
    """The services of ha/manager_status, "vm:101" → (node, state), as the CRM sees them (pve-ha-manager, Manager.pm).

    Raises ParseError.
    """
    try:
        services = json.loads(text or "{}").get("service_status", {})
        return {str(sid): (str(s["node"]), str(s["state"])) for sid, s in services.items()}
    except (ValueError, AttributeError, KeyError, TypeError):
        raise unread("ha/manager_status", text) from None


def parse_watchdog_marker(output: Output) -> bool:
    """Read `ls -ld /run/watchdog-mux.active`: True while a client holds the watchdog, so that losing it
    resets the node; the directory goes when the last client leaves cleanly (pve-ha-manager
    watchdog-mux.c)."""
    if output.exit_status == 2 and not output.stdout and only_missing_files(output):
        return False
    text = stdout_of(output, "ls -ld /run/watchdog-mux.active")
    if not text.startswith("d") or "/run/watchdog-mux.active" not in text:
        raise unread("ls -ld /run/watchdog-mux.active", text)
    return True
