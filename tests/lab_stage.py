"""A lab that is set to one starting state after the other, and the tool against it as an operator types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from copy import copy
from pathlib import Path

import owned_guests
import warm
from bounded import first_line
from pve_lab.control import LabControl, NodeTruth
from pve_runbook.actions import registry as actions

PROJECT = Path(__file__).parents[1]
BOUND = 400  # seconds


class Stage:
    """A lab, and the runbook against it."""

    def __init__(self, ready: dict[str, object], records: Path) -> None:
        self.control = LabControl(str(ready["control"]))
        self.hosts = [str(h) for h in ready["hosts"]]  # type: ignore[attr-defined]
        self.ssh_config = str(ready["ssh_config"])
        self._records = records
        self._point = 0
        self._scenario = "broken"
        self.before: dict[str, NodeTruth] = {}

    def set(self, scenario: str = "broken") -> None:
        """The starting state again, with records of its own."""
        self.control.reset(scenario)
        self._scenario = scenario
        self.before = self.control.state()
        self.turn()

    def turn(self) -> None:
        """A new point: records of its own, whatever the lab's state is."""
        self._point += 1

    def without(self, *off: str) -> Stage:
        """The same lab at the same point, with these nodes left out of --hosts."""
        found = copy(self)
        found.hosts = [h for h in self.hosts if h not in off]
        return found

    @property
    def records(self) -> Path:
        """Where this point's records are."""
        return self._records / str(self._point)

    def start(self, *more: str) -> warm.Run:
        """A run of the runbook; where the verdict may not call for it, with a reason to run it anyway."""
        if self._scenario != "broken" and not any(a.startswith("--rollback") for a in more):
            more = (*more, "--anyway=a test")
        return self.begin("runbook/", "--approve=all", *more)

    def begin(self, *arguments: str) -> warm.Run:
        """A run of pytest with these arguments on the lab's nodes; it begins when it is waited for."""
        return warm.begin(
            *(*arguments, "-p", "no:cacheprovider"),
            *(f"--hosts={','.join(self.hosts)}", f"--ssh-config={self.ssh_config}"),
            f"--records={self.records}",
            cwd=PROJECT,
        )

    def finish(self, process: warm.Run) -> tuple[int, str]:
        """Wait for its end; (exit status, what it said)."""
        said, _ = process.communicate(timeout=BOUND)
        assert process.returncode is not None
        return process.returncode, said

    def run(self, *more: str) -> tuple[int, str]:
        """The runbook from start to end."""
        return self.finish(self.start(*more))

    def typed(self, *arguments: str) -> tuple[int, str]:
        """pytest with these arguments on the lab's nodes, from start to end."""
        return self.finish(self.begin(*arguments))

    @property
    def record(self) -> Path | None:
        """The folder of this point's only record; None when there is none."""
        found = [p.parent for p in self.records.glob("*/journal.jsonl")]
        assert len(found) < 2
        return found[0] if found else None

    def lost(self, *rebooted: str) -> list[str]:
        """What is not as it was: a guest's owner, config or, unless its node was reset, its process."""
        return [f"guest {v}: {seen}" for v, seen in owned_guests.changed(self.control, self.before, *rebooted).items()]

    def not_standalone(self) -> list[str]:
        """Nodes that are not what they should be in the end."""
        return [
            n.name
            for n in self.control.state().values()
            if not n.standalone or n.mode != "standalone" or n.corosync_files not in ((), ("uidgid.d",))
        ]

    def not_thawed(self) -> list[str]:
        """Nodes whose scheduler does not run as it did before."""
        unit = "pvescheduler.service"
        return [
            f"{n.name}: {unit} is {n.units[unit]}"
            for n in self.control.state().values()
            if n.units[unit] != self.before[n.name].units[unit]
        ]

    def sent_again(self) -> list[str]:
        """Changes that took effect twice on a node though the registry does not mark them repeatable."""
        once = [re.compile(_pattern(t.argv)) for t in actions.registry().values() if not t.repeatable and t.detached]
        found = []
        for host in self.hosts:
            done = Counter(" ".join(x.argv) for x in self.control.log(host) if x.exit_status == 0 and x.via == "unit")
            found += [f"{host}: {a} x{n}" for a, n in done.items() if n > 1 and any(p.fullmatch(a) for p in once)]
        return found


def _pattern(argv: tuple[str, ...]) -> str:
    return re.sub(r"\\\{\w+\\\}", r"\\S+", re.escape(" ".join(argv)))


def a_lab(nodes: int, records: Path) -> Iterator[Stage]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pve_lab", "--nodes", str(nodes), "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    found = Stage(json.loads(first_line(process.stdout)), records)
    yield found
    unknown = found.control.unsimulated()
    process.stdin.close()
    process.wait(BOUND)
    process.stdout.close()
    assert unknown == []
