"""What stands after `next` is typed as it stands, and works."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

StartLab = Callable[..., Any]
Run = Callable[..., Any]


@pytest.mark.sweep
def test_after_a_split_brain_the_authority_is_named(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("votes-forced-at-boot")
    for node, times in (("pve1", 1), ("pve2", 3), ("pve3", 2)):
        for _ in range(times):
            lab.control.run(node, f"echo '# edited on {node}' >> /etc/pve/user.cfg")
    checked = run("checks/", *lab.options)
    assert "SPLIT BRAIN: " in checked.text
    assert checked.following() == ["runbook/", *lab.options, "--authority=pve2"]
    ran = run(*checked.following(), "--approve=all", called_for=True)
    assert ran.status == 0, ran.text
    assert lab.changed_guests() == {}


def test_a_renamed_node_is_given_its_name_again_without_quorum(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("node-renamed-broken", nodes=2)
    line = ("runbook/", *lab.options, "--approve=all")
    refused = run(*line)
    assert refused.status == 1 and lab.mutating() == []
    assert (
        "pve2: the node given as pve2 calls itself nodex; its address is that of pve2 in corosync.conf." in refused.text
    )
    assert "--hosts=pve1,pve2,pve2" not in refused.text
    said = re.findall(r"`([^`]+)`", refused.text.partition("Put the name back on pve2")[2])
    assert said[:2] == ["hostnamectl set-hostname pve2", "systemctl restart pve-cluster"]
    for typed in (said[0], "sed -i s/nodex/pve2/g /etc/hosts", said[1]):
        assert lab.control.run("pve2", typed).exit_status == 0
    ran = run(*line, called_for=True)
    assert ran.status == 0, ran.text
    assert lab.changed_guests() == {}
    assert all(node.standalone for node in lab.control.state().values())
