"""checks/ change nothing on a node: seen from this machine, beyond what a login that runs `true` changes."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from pve_runbook.syslab import truth

pytestmark = pytest.mark.syslab

PASSING = re.compile(r"(sshd|systemd-run|sleep|nsenter|\(sd-pam\))\b")
"""Processes that come with a login, or by themselves."""


def units(container: Any) -> str:
    """All units with their states, those of logins and of single connections left out."""
    listed = container.says("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager")
    kept = [" ".join(line.split()[:4]) for line in listed.splitlines()]
    return "\n".join(line for line in kept if not re.match(r"(session-|user-|ssh@|run-|tmp)", line))


def processes(container: Any) -> set[tuple[int, int, str]]:
    """pid, start time and name of all that runs, by this machine's numbers."""
    found = set()
    for pid in container.pids():
        try:
            with open(f"/proc/{pid}/stat") as file:
                head, _, rest = file.read().rpartition(")")
        except OSError:
            continue
        name = head.partition("(")[2]
        if not PASSING.match(name):
            found.add((pid, int(rest.split()[19]), name))
    return found


def seen(stage: Any) -> dict[str, tuple[dict[str, str], str, set[tuple[int, int, str]]]]:
    """Files, units and processes of every node."""
    return {c.node.name: (truth.files(c), units(c), processes(c)) for c in stage.lab.each()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The files that are not as they were."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


@pytest.mark.parametrize("state", ["broken", "quorate"])
def test_checks_change_nothing(stage: Any, state: str) -> None:
    """Every unit and process is as it was, and every file but those that a login that runs `true` changes."""
    stage.set(state)
    at_first = seen(stage)
    for name in stage.lab.containers:
        subprocess.run(["ssh", "-F", str(stage.lab.ssh_config), name, "true"], check=True, timeout=60)
    before = seen(stage)
    status, said = stage.run("checks/")
    assert status == 1, said[-4000:]
    after = seen(stage)
    for name in before:
        files, unit_states, running = before[name]
        files_after, units_after, running_after = after[name]
        by_a_login = changed(at_first[name][0], files)
        assert all(path.startswith("var/log/journal/") for path in by_a_login), name
        assert changed(files, files_after) <= by_a_login, name
        assert units_after == unit_states, name
        assert running_after == running, name
