"""--hosts=lab: a cluster of simulated nodes in a process of its own, ended with the run."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from dataclasses import dataclass

import pytest

START_SECONDS = 20
NOT_INSTALLED = "the lab is not installed; type `pip install 'pytest-pve-runbook[lab]'`"
NOT_STARTED = "the lab did not start: {why}"

_COMMAND = (sys.executable, "-m", "pve_runbook.lab")


@dataclass(frozen=True)
class LabProcess:
    """A lab that is up. ``ssh_config`` names its nodes, keys and known_hosts."""

    process: subprocess.Popen[str]
    ssh_config: str

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


def start(scenario: str, nodes: int) -> LabProcess:
    """Start a lab and wait until it answers. Raises UsageError."""
    process = subprocess.Popen(
        [*_COMMAND, "--scenario", scenario, "--nodes", str(nodes), "--until-eof"],
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
        return LabProcess(process, json.loads(line)["ssh_config"])
    except (ValueError, KeyError):
        lab.stop()
        why = f"unknown scenario {scenario!r}? `--lab-scenario=list` prints them" if not line else line.strip()
        raise pytest.UsageError(NOT_STARTED.format(why=why)) from None


def scenario_list() -> str:
    """Every starting state with a line each. Raises UsageError."""
    said = subprocess.run(
        [*_COMMAND, "--scenario", "list"], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    if said.returncode != 0:
        raise pytest.UsageError(NOT_INSTALLED if "ModuleNotFoundError" in said.stderr else said.stderr.strip())
    return said.stdout
