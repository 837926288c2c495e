"""What a command changed on the nodes, seen from this machine, beyond what a login that runs `true` changes."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from pve_system_lab import truth

PASSING = re.compile(r"(sshd|systemd-run|sleep|nsenter|\(sd-pam\))\b")
"""Processes that come with a login, or by themselves."""
BY_A_LOGIN = "var/log/journal/"


class Watch:
    """The nodes as they were when it was made, but those that are off."""

    def __init__(self, stage: Any, *off: str) -> None:
        self._on = [c for c in stage.lab.each() if c.node.name not in off]
        at_first = {c.node.name: truth.files(c) for c in self._on}
        for name in at_first:
            subprocess.run(["ssh", "-F", str(stage.lab.ssh_config), name, "true"], check=True, timeout=60)
        self._before = self._seen()
        self._by_a_login = {name: changed(at_first[name], files) for name, (files, _, _) in self._before.items()}

    def differences(self) -> list[str]:
        """What is not as it was: files, units, processes, each with its node."""
        found = [
            f"{name}: a login changes {path}"
            for name, paths in self._by_a_login.items()
            for path in paths
            if not path.startswith(BY_A_LOGIN)
        ]
        for name, (files, unit_states, running) in self._seen().items():
            files_before, units_before, running_before = self._before[name]
            others = changed(files_before, files) - self._by_a_login[name]
            found += [f"{name}: {path}" for path in sorted(others)]
            found += [f"{name}: {unit}" for unit in sorted(unit_states ^ units_before)]
            found += [f"{name}: {process}" for process in sorted(running ^ running_before)]
        return found

    def _seen(self) -> dict[str, tuple[dict[str, str], set[str], set[tuple[int, int, str]]]]:
        return {c.node.name: (truth.files(c), units(c), processes(c)) for c in self._on}


def units(container: Any) -> set[str]:
    """All units with their states, those of logins and of single connections left out."""
    listed = container.says("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager")
    kept = (" ".join(line.split()[:4]) for line in listed.splitlines())
    return {line for line in kept if not re.match(r"(session-|user-|ssh@|run-|tmp)", line)}


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


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The files that are not as they were."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
