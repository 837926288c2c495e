"""The published procedure, typed as it is printed, ends as it was recorded on Proxmox VE 8.3."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.syslab

RECORDED = Path(__file__).parent.parent / "captures" / "article-literal.json"
TYPED = 300
"""Seconds that one line may take on a loaded machine: a restart of pveproxy waits 30 s for quorum."""
LISTS = ("qm list", "pvesm status")
"""The guests and sizes are the lab's own."""


def typist(stage: Any) -> Callable[[dict[str, Any]], str]:
    """Types one recorded line over SSH; what differs from the recording, empty when nothing does."""

    def type_it(step: dict[str, Any]) -> str:
        done = subprocess.run(
            ["ssh", "-F", str(stage.lab.ssh_config), step["node"], f"LC_ALL=C; export LC_ALL; {step['command']}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TYPED,
            check=False,
        )
        same = (done.returncode, done.stderr) == (step["exit_status"], step["stderr"])
        if step["command"] in LISTS:
            same = same and done.stdout.split("\n")[0].split() == step["stdout"].split("\n")[0].split()
        elif not step["command"].startswith("journalctl"):
            same = same and done.stdout == step["stdout"]
        return "" if same else f"{step['node']}: {step['command']}: {done}\n  recorded {step}"

    return type_it


def test_the_article_ends_as_recorded(stage: Any) -> None:
    """rm refused, corosync dead with status 8 on every node, /etc/pve read-only, a stopped guest stays down."""
    stage.set("broken")
    steps = json.loads(RECORDED.read_text())["steps"]
    type_it = typist(stage)
    different = []
    for restarts, group in groupby(steps, lambda s: s["command"].startswith("systemctl restart")):
        lines = list(group)
        if restarts:  # each node's own restarts in their order; the nodes side by side
            by_node = [[s for s in lines if s["node"] == n] for n in stage.lab.containers]
            with ThreadPoolExecutor() as pool:
                different += [d for found in pool.map(lambda own: [type_it(s) for s in own], by_node) for d in found]
        else:
            different += [type_it(step) for step in lines]
    assert [d for d in different if d] == []
    for container in stage.lab.each():
        assert container.says("stat", "-c", "%a", "/etc/pve/local") == "555\n"
        assert container.run("systemctl", "is-active", "corosync").stdout == "failed\n"
        assert container.run("systemctl", "is-enabled", "corosync").stdout == "disabled\n"
        assert container.says("systemctl", "show", "--value", "-p", "ExecMainStatus", "corosync") == "8\n"
        assert container.says("ls", "-A", "/etc/corosync") == "corosync.conf\n"
        log = container.says("journalctl", "--no-pager", "-u", "corosync", "-u", "pve-cluster")
        assert re.search(r"Could not open /etc/corosync/authkey: No such file or directory", log)
        assert "wrote new corosync config '/etc/corosync/corosync.conf'" in log
    untouched = {vmid: process for vmid, process in stage.before.items() if vmid != 102}
    assert stage.guests() == untouched
