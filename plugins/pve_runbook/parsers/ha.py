"""High availability: what it manages, and whether a watchdog is armed."""

from __future__ import annotations

from pve_runbook.parsers.output import Output, only_missing_files, stdout_of, unread
from pve_runbook.parsers.section_config import parse_sections


def parse_ha_resources_text(text: str) -> tuple[str, ...]:
    """The resources of ha/resources.cfg, as "vm:101" or "ct:102"."""
    return tuple(f"{section.type}:{section.id}" for section in parse_sections(text, "ha/resources.cfg"))


def parse_ha_started_text(text: str) -> tuple[str, ...]:
    """Those of the resources that HA keeps running: their state is started (or enabled), or not said (pve-ha-manager,
    PVE/HA/Resources.pm)."""
    sections = parse_sections(text, "ha/resources.cfg")
    return tuple(f"{s.type}:{s.id}" for s in sections if s.options.get("state", "started") in ("started", "enabled"))


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
