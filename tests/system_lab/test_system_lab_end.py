"""`down` leaves nothing behind on this machine but the Debian root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pve_system_lab import network
from pve_system_lab.cluster import DIRECTORY
from pve_system_lab.container import GROUP, hierarchies
from pve_system_lab.errors import host
from pve_system_lab.faults import strike

pytestmark = pytest.mark.syslab

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")


def lines(path: Path) -> list[str]:
    """The lines of a file in /proc; none once its process is gone."""
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace").splitlines()
    except OSError:
        return []


def left() -> dict[str, list[str]]:
    """All that is of the lab, by kind; a process that has ended and was not waited for yet has no command line."""
    of_processes = [p for p in Path("/proc").iterdir() if p.name.isdecimal() and lines(p / "cmdline")]
    return {
        "mounts": [line for line in lines(Path("/proc/self/mountinfo")) if str(DIRECTORY) in line],
        "loop devices": [
            line for line in host("losetup", "-n", "-O", "BACK-FILE").splitlines() if str(DIRECTORY) in line
        ],
        "namespaces": [line for line in host("ip", "netns", "list").splitlines() if GROUP in line],
        "links": [p.name for p in Path("/sys/class/net").glob("syslab*")],
        "tables": [line for line in host("nft", "list", "tables").splitlines() if network.TABLE in line],
        "cgroups": [str(h / GROUP) for h in hierarchies() if (h / GROUP).exists()],
        "processes": [p.name for p in of_processes if any(GROUP in line for line in lines(p / "cgroup"))],
        "flapping": [p.name for p in of_processes if any("pve_system_lab.flap" in s for s in lines(p / "cmdline"))],
        "files": [str(DIRECTORY)] if DIRECTORY.exists() else [],
    }


def test_nothing_is_left(stages: Any) -> None:
    """Mounts, devices, namespaces, links, rules, cgroups, processes, files: all there while it is up, none after."""
    stage = stages.of(3)
    kept = stage.lab.directory / "max_user_instances"
    instances = kept.read_text() if kept.exists() else INSTANCES.read_text()
    stage.set("flapping")  # its rules come and go, those of a fault stay
    strike("partition", stage.lab.containers["pve1"])
    assert [kind for kind, found in left().items() if not found] == []
    stages.end()
    assert {kind: found for kind, found in left().items() if found} == {}
    assert INSTANCES.read_text() == instances
