"""--hosts=lab: a cluster of simulated nodes in a process of its own, ended with the run."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pve_runbook.facts.portrait import Portrait, dump
from pve_runbook.lab.control import LabControl

START_SECONDS = 20
NOT_INSTALLED = "the lab is not installed; type `pip install 'pytest-pve-runbook[lab]'`"
NOT_STARTED = "the lab did not start: {why}"

_COMMAND = (sys.executable, "-m", "pve_runbook.lab")


@dataclass(frozen=True)
class LabProcess:
    """A lab that is up. ``ssh_config`` names its nodes, keys and known_hosts."""

    process: subprocess.Popen[str]
    ssh_config: str
    control: str = ""
    facts: Path | None = None
    """The file that a twin was built from, where it is ours."""

    def model_seconds(self) -> float:
        """How long it has been up by its nodes' clocks."""
        return LabControl(self.control).now()

    def stop(self) -> None:
        """End it; it lives as long as its standard input is open."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if self.facts is not None:
            self.facts.unlink(missing_ok=True)


def start(scenario: str, nodes: int) -> LabProcess:
    """Start a lab in a starting state and wait until it answers. Raises UsageError."""
    why = f"unknown scenario {scenario!r}? `--lab-scenario=list` prints them"
    return _start(["--scenario", scenario, "--nodes", str(nodes)], why)


def start_from(facts: Path) -> LabProcess:
    """Start the twin of the cluster whose facts are in the file. Raises UsageError."""
    return _start(["--facts", str(facts)], f"{facts} holds a state that the lab cannot take")


def start_twin(portrait: Portrait) -> LabProcess:
    """Start the twin of a cluster. Raises UsageError."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="pve-runbook-", delete=False) as file:
        file.write(dump(portrait))
    path = Path(file.name)
    try:
        return replace(start_from(path), facts=path)
    except pytest.UsageError:
        path.unlink()
        raise


def _start(arguments: list[str], silent: str) -> LabProcess:
    process = subprocess.Popen(
        [*_COMMAND, *arguments, "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else ""
    lab = LabProcess(process, "")
    try:
        said = json.loads(line)
        return LabProcess(process, said["ssh_config"], said["control"])
    except (ValueError, KeyError):
        lab.stop()
        raise pytest.UsageError(NOT_STARTED.format(why=line.strip() or silent)) from None


def scenario_list() -> str:
    """Every starting state with a line each. Raises UsageError."""
    said = subprocess.run(
        [*_COMMAND, "--scenario", "list"], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    if said.returncode != 0:
        raise pytest.UsageError(NOT_INSTALLED if "ModuleNotFoundError" in said.stderr else said.stderr.strip())
    return said.stdout
