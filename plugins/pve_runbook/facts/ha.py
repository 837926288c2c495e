"""High availability: what ha-manager says, what it manages, and whether a watchdog is armed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pve_runbook.facts.answers import lines_of, only_missing_files, stdout_of, unread
from pve_runbook.facts.output import Output, ParseError
from pve_runbook.facts.sections import parse_sections

_MASTER = re.compile(r"master (?P<node>\S+) \((?P<mode>[^,()]+)(, [^()]*)?\)( - .*)?")
_LRM = re.compile(r"lrm (?P<node>\S+) \((?P<mode>[^,()]+)(, [^()]*)?\)")
_SERVICE = re.compile(r"service (?P<sid>[a-z]+:\S+) \((?P<node>[^,()]+), (?P<state>[^()]+)\)")
_NO_QUORUM = re.compile(r"No quorum on node '[^']+'!")


@dataclass(frozen=True, slots=True)
class HaStatus:
    """`ha-manager status`. `lrms` maps node to mode ("idle", "active", "old timestamp - dead?"), `services`
    maps a resource ("vm:101") to its node and state. `fencing` is the text of the fencing line, which only
    pve-ha-manager 5.1.3 and newer (PVE 9) print."""

    quorum_ok: bool
    master: str | None
    master_mode: str | None
    lrms: dict[str, str]
    services: dict[str, tuple[str, str]]
    fencing: str | None


def parse_ha_status(output: Output) -> HaStatus:
    """Read `ha-manager status`, one `type text` line each (pve-ha-manager API2/HA/Status.pm; recorded on PVE
    8.3).

    Raises ParseError on a line of unknown form, and if pmxcfs does not answer.
    """
    quorum_ok: bool | None = None
    master: tuple[str | None, str | None] = (None, None)
    lrms: dict[str, str] = {}
    services: dict[str, tuple[str, str]] = {}
    fencing: str | None = None
    for line in lines_of(stdout_of(output, "ha-manager status")):
        kind, _, rest = line.strip().partition(" ")
        if kind == "quorum" and (rest == "OK" or _NO_QUORUM.fullmatch(rest)):
            quorum_ok = rest == "OK"
        elif kind == "fencing" and rest:
            fencing = rest
        elif match := _MASTER.fullmatch(line.strip()):
            master = (match["node"], match["mode"])
        elif match := _LRM.fullmatch(line.strip()):
            lrms[match["node"]] = match["mode"]
        elif match := _SERVICE.fullmatch(line.strip()):
            services[match["sid"]] = (match["node"], match["state"])
        else:
            raise unread("ha-manager status", line)
    if quorum_ok is None:
        raise ParseError("ha-manager status does not say whether there is quorum.")
    return HaStatus(quorum_ok, *master, lrms, services, fencing)


def parse_ha_resources_text(text: str) -> tuple[str, ...]:
    """The resources of ha/resources.cfg, as "vm:101" or "ct:102"."""
    return tuple(f"{section.type}:{section.id}" for section in parse_sections(text, "ha/resources.cfg"))


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
