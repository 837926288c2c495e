"""No probe writes below /etc/pve: the database behind it is the same after each of them."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from asked import NODE, questions
from differential import parsed, real
from pve_runbook.probes import registry as probes

pytestmark = pytest.mark.syslab


def rows(database: Path) -> str:
    """A hash over every row, read past pmxcfs: pmxcfs gives each write a version of its own."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT inode, parent, version, mtime, name, data FROM tree ORDER BY inode")
        return hashlib.sha256(repr(found.fetchall()).encode()).hexdigest()


@pytest.mark.parametrize("state", ["quorate", "standalone"])
def test_no_probe_writes_below_etc_pve(stage: Any, state: str) -> None:
    """/etc/pve is writable here: a probe that would write can. What Proxmox's own services write meanwhile is their
    node's status, and they are stopped."""
    stage.set(state)
    container = stage.lab.containers[NODE]
    for each in stage.lab.each():
        each.says("systemctl", "stop", "pvestatd", "pvescheduler", "pve-ha-lrm", "pve-ha-crm")
    database = Path(container.root, "var/lib/pve-cluster/config.db")
    pid = str(parsed(probes.GUEST_PROCESSES.parse, real(container, probes.GUEST_PROCESSES.argv))["101"]["pid"])
    before, wrote = rows(database), []
    for name, _, argv in questions(pid):
        real(container, argv)
        after = rows(database)
        if after != before:
            wrote.append(name)
        before = after
    assert wrote == []
