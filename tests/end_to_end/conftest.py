"""The plugin as an operator uses it: its own process, against a lab in another, over real SSH."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import owned_guests
import pytest
import warm
from bounded import first_line
from pve_lab.control import LabControl, NodeTruth

PROJECT = Path(__file__).parents[2]
BOUND = 400  # seconds


@dataclass
class Lab:
    """A lab that is up, and what was true of it at first."""

    hosts: list[str]
    ssh_config: str
    control: LabControl
    before: dict[str, NodeTruth] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.control.state()

    @property
    def options(self) -> list[str]:
        """What to add to pytest's command line to reach it."""
        return [f"--hosts={','.join(self.hosts)}", f"--ssh-config={self.ssh_config}"]

    def mutating(self) -> list[tuple[str, tuple[str, ...]]]:
        """(node, argv) of every command that changed a node, by the nodes' own logs."""
        return [(node, line.argv) for node in self.hosts for line in self.control.log(node) if line.mutating]

    def changed_guests(self) -> dict[int, str]:
        """Guests that lost their process, owner or config since the start; a stopped one may have been started."""
        return owned_guests.changed(self.control, self.before)


Started = tuple[subprocess.Popen[str], dict[str, str]]
"""A lab's process, and what it said when it was up."""


def _started(*arguments: str) -> Started:
    process = subprocess.Popen(
        [sys.executable, "-m", "pve_lab", *arguments, "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(first_line(process.stdout))


def _ended(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.wait(BOUND)
    process.stdout.close()


@pytest.fixture(scope="session")
def idle_labs() -> Iterator[dict[int, list[Started]]]:
    """Labs by their number of nodes that no test is on; the next one sets them to its own starting state."""
    idle: dict[int, list[Started]] = defaultdict(list)
    yield idle
    for process, _ in (lab for labs in idle.values() for lab in labs):
        _ended(process)


@pytest.fixture
def start_lab(idle_labs: dict[int, list[Started]]) -> Iterator[Callable[..., Lab]]:
    """A lab in its starting state: ``start_lab("broken", nodes=3)``, or a twin: ``start_lab(facts=path)``.

    In the end nothing may have been asked that is not simulated."""
    running: list[tuple[Started, Lab, int]] = []

    def start(scenario: str = "broken", nodes: int = 3, facts: Path | None = None) -> Lab:
        if facts is not None:
            found, kept_as = _started("--facts", str(facts)), 0
        else:
            idle, kept_as = idle_labs[nodes], nodes
            found = idle.pop() if idle else _started("--nodes", str(nodes))
            LabControl(found[1]["control"]).reset(scenario)
        lab = Lab(list(found[1]["hosts"]), found[1]["ssh_config"], LabControl(found[1]["control"]))
        running.append((found, lab, kept_as))
        return lab

    yield start
    unknown = []
    for found, lab, kept_as in running:
        asked = lab.control.unsimulated()
        unknown += asked
        if kept_as and not asked:
            idle_labs[kept_as].append(found)
        else:
            _ended(found[0])
    assert unknown == []


def unwrapped(text: str) -> str:
    """What a terminal shows, as one line: where it was wrapped does not matter."""
    return " ".join(text.split())


@dataclass
class Ran:
    """One run of pytest, with its record's folder."""

    status: int
    said: str
    record: Path | None

    @property
    def text(self) -> str:
        """What it said, as one line."""
        return unwrapped(self.said)

    def journal(self) -> list[dict[str, object]]:
        """The events of its journal."""
        assert self.record is not None
        return [json.loads(line) for line in (self.record / "journal.jsonl").read_text().splitlines()]

    def following(self) -> list[str]:
        """The arguments after `next`, without the folder of the records, which is given by the test."""
        found = re.search(r"^next {6}(.*?)^[a-z]", self.said, re.MULTILINE | re.DOTALL)
        assert found is not None, self.said
        return [a for a in shlex.split(found[1])[1:] if not a.startswith(("--records=", "-p", "no:"))]

    def outcomes(self) -> dict[str, int]:
        """How many steps ended how, by the journal."""
        found: dict[str, int] = {}
        for event in self.journal():
            if event["kind"] == "step":
                found[str(event["outcome"])] = found.get(str(event["outcome"]), 0) + 1
        return found

    def failed(self) -> list[tuple[str, str]]:
        """(title, message) of the steps that failed or are unknown."""
        return [
            (str(e["title"]), str(e["message"]))
            for e in self.journal()
            if e["kind"] == "step" and e["outcome"] in ("failed", "unknown")
        ]

    def misread(self) -> list[str]:
        """Sentences of gates that did not pass, and stand on the screen or in summary.md as a statement; but for those
        that passed, or do not apply, on another node."""
        if self.record is None or not (self.record / "summary.md").exists():
            return []
        steps = [e for e in self.journal() if e["kind"] == "step"]
        passed = {e["title"] for e in steps if e["outcome"] in ("passed", "not evaluated")}
        titles = {str(e["title"]) for e in steps if e["outcome"] in ("failed", "unknown")} - passed
        texts = (self.text, unwrapped((self.record / "summary.md").read_text()))
        return [t for t in titles for text in texts for head in text.split(t)[:-1] if not head.endswith("required: ")]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Run pytest in a process of its own, without a terminal: ``run("runbook/", *lab.options)``.

    ``called_for``: the verdict calls for the runbook, so no reason to run it anyway is given.
    """

    def run_it(
        *arguments: str, project: Path = PROJECT, called_for: bool = False, records: Path = tmp_path / "records"
    ) -> Ran:
        if (
            arguments[0] == "runbook/"
            and not called_for
            and not any(a.startswith(("--rollback", "--anyway")) for a in arguments)
        ):
            arguments = (*arguments, "--anyway=a test of what comes after the verdict")
        before = set(records.iterdir()) if records.exists() else set()
        process = warm.begin(
            *(*arguments, f"--records={records}", "-p", "no:cacheprovider"),
            cwd=project,
            flags=warm.STRICT,
            with_errors=False,
        )
        said, errors = process.communicate(BOUND)
        assert process.returncode is not None
        new = (set(records.iterdir()) if records.exists() else set()) - before
        ran = Ran(process.returncode, said + errors, new.pop() if new else None)
        assert "--plan" in arguments or ran.misread() == []
        return ran

    return run_it
