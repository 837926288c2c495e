"""The starting states of the system lab: each begins with the quorate cluster that `up` and `reset` make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

from pve_system_lab import network
from pve_system_lab.cluster import SystemLab, pve_mode
from pve_system_lab.container import Container
from pve_system_lab.errors import SystemLabError, host, until

END = 30
"""Seconds until pmxcfs must have ended, or the link begun to come and go."""


@dataclass(frozen=True)
class Scenario:
    """A starting state: one line of words, and how to come there."""

    line: str
    shape: Callable[[SystemLab], None]


def _broken(lab: SystemLab) -> None:
    network.isolate()
    lab.wait_read_only()


def _flapping(lab: SystemLab) -> None:
    _broken(lab)
    detached = 'setsid --fork "$@" >/dev/null 2>&1'
    host("sh", "-c", detached, "sh", sys.executable, "-m", "pve_system_lab.flap", str(lab.flapper))
    until(lambda: lab.flapping() is not None, END, "the link does not begin to come and go")


ARTICLE = (
    ("each", "systemctl stop pve-ha-lrm"),
    ("each", "systemctl stop pve-ha-crm"),
    ("first", "pvecm expected 1"),
    ("each", "systemctl stop corosync\nsystemctl disable corosync\nrm -rf /etc/corosync/*\nrm -rf /var/lib/corosync/*"),
    ("first", "rm -rf /etc/pve/corosync.conf"),
    ("each", "systemctl restart pve-cluster\nsystemctl restart pvedaemon\nsystemctl restart pveproxy"),
)
"""The published procedure, line by line: on each node, or on the authority."""


def _half_dismantled(lab: SystemLab) -> None:
    _broken(lab)
    containers = list(lab.each())

    def typed(container: Container, lines: str) -> None:
        for line in lines.splitlines():
            container.run("bash", "-c", line)

    with ThreadPoolExecutor() as pool:  # a node's own lines in their order; the nodes side by side
        for where, lines in ARTICLE:
            list(pool.map(typed, containers if where == "each" else containers[:1], repeat(lines)))


def leave(container: Container) -> None:
    """The vendor's way out of the cluster (pve-docs pvecm.adoc), typed by hand, HA's daemons off."""

    def typed(line: str) -> None:
        done = container.run("bash", "-c", line)
        if done.returncode:
            raise SystemLabError(f"{container.node.name}: {line}: {done.stderr.strip()}")

    def gone() -> bool:
        return container.run("pgrep", "-x", "pmxcfs").returncode != 0

    typed("systemctl disable --now pve-ha-lrm pve-ha-crm")
    typed("systemctl stop pve-cluster corosync")
    until(gone, END, "pmxcfs does not end")
    typed("pmxcfs -l")
    typed("rm /etc/pve/corosync.conf")
    typed("rm -f /etc/corosync/corosync.conf /etc/corosync/authkey /var/lib/corosync/*")
    typed("killall pmxcfs")
    until(gone, END, "pmxcfs does not leave local mode")
    typed("systemctl start pve-cluster")
    typed("systemctl disable corosync")


def _standalone(lab: SystemLab) -> None:
    _broken(lab)
    for container in lab.each():
        leave(container)
    lab.every(lambda c: pve_mode(c) == "755", END, "it is not writable")


SCENARIOS = {
    "broken": Scenario("every node alone, without quorum", _broken),
    "quorate": Scenario("healthy", lambda lab: None),
    "flapping": Scenario("the cluster link comes and goes", _flapping),
    "half-dismantled": Scenario("the published procedure, typed on all nodes as it is printed", _half_dismantled),
    "standalone": Scenario("every node after the vendor's way out", _standalone),
}
