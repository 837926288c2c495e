"""checks/ read: what they may ask, and what the record says of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
OWN_CHECK = '''
"""Our own checks."""


def test_the_system_is_known(host):
    """testinfra knows the system."""
    assert host.system_info.distribution == "debian" and host.system_info.arch == "x86_64"
    assert host.exists("corosync-cfgtool") and not host.exists("no-such-tool")


def test_a_service(host):
    """A module of testinfra's."""
    assert host.service("corosync").is_running


def test_a_command(host):
    """A command of our own."""
    host.run("touch /root/x")


def test_an_action(node):
    """An action of the registry."""
    from pve_runbook.actions import registry as actions

    node.act(actions.STOP_COROSYNC.bind())


def test_the_line_itself(node):
    """A command past all of that."""
    node.fetch("/etc/shadow")
'''


def test_a_check_can_ask_what_is_registered_and_nothing_else(
    start_lab: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    (project / "checks").mkdir(parents=True)
    shutil.copy(PROJECT / "conftest.py", project)
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "checks" / "test_own.py").write_text(OWN_CHECK)
    lab = start_lab("own-link", nodes=1)
    ran = run("checks/", *lab.options, project=project)
    assert ran.status == 1
    assert ran.outcomes() == {"passed": 1, "failed": 4}, ran.text
    said = dict(ran.failed())
    assert "`systemctl is-active corosync` is not one of the registered probes" in said["A module of testinfra's."]
    assert "`touch /root/x` is not one of the registered probes" in said["A command of our own."]
    assert "`LC_ALL=C LANG=C TERM=dumb base64 -w0 /etc/shadow` is no batch" in said["A command past all of that."]
    assert "would change the node; checks only read" in said["An action of the registry."]
    assert lab.mutating() == []
    record = json.loads((ran.record / "record.json").read_text())
    assert record["sent"]["probes"] > 30 and record["sent"]["others"] == record["sent"]["changes"] == 0
    assert f"{record['sent']['probes']} commands, all registered probes, 0 changes" in ran.text
    reads = [c for p in record["phases"] for s in p["steps"] for c in s["commands"]] + record["outside"]
    assert sum(r["probes"] for r in reads) == record["sent"]["probes"]
    assert [u for r in reads for u in r["unanswered"]] == []
    assert re.search(r"Sent</th>\s*<td>\d+ commands, all registered", (ran.record / "report.html").read_text())


@pytest.mark.sweep
def test_what_mounts_is_asked_on_demand_and_named(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab("storage-missing", nodes=2)
    ran = run("checks/test_storage.py", *lab.options, "--activate-storage")
    assert ("Proxmox itself calls every storage active.", "pve2: nas is inactive") in [
        (title, message.partition(".")[0]) for title, message in ran.failed()
    ]
    record = json.loads((ran.record / "record.json").read_text())
    assert record["sent"]["activating"] == 2
    assert any("which mounts and imports" in note["text"] for note in record["notes"])
