"""--hosts=lab: a cluster of simulated nodes in a process of its own, ended with the run."""

from __future__ import annotations

import json
import runpy
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct
from msgspec.structs import replace

from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error

if TYPE_CHECKING:
    from pve_runbook.facts_file.model import Portrait

START_SECONDS = 20
NOT_INSTALLED = "the lab is not installed; type `pip install 'pytest-pve-runbook[lab]'`"
NOT_STARTED = "the lab did not start: {why}"

_COMMAND = (sys.executable, "-m", "pve_lab")
_NEEDED = ("asyncssh", "bashkit")
"""What the extra [lab] installs."""


class LabProcess(Struct, frozen=True):
    """A lab that is up. ``ssh_config`` names its nodes, keys and known_hosts."""

    process: subprocess.Popen[str]
    ssh_config: str
    control: str = ""
    facts: Path | None = None
    """The file that a twin was built from, where it is ours."""

    def model_seconds(self) -> float:
        """How long it has been up by its nodes' clocks."""
        from pve_lab.control import LabControl

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


def is_installed() -> bool:
    """Whether there is all that a lab imports."""
    return all(find_spec(name) is not None for name in _NEEDED)


def run_here(arguments: Sequence[str]) -> int:
    """Be the lab, with its own options, in this process; return its exit status."""
    sys.argv[1:] = arguments
    try:
        runpy.run_module("pve_lab", run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def start(scenario: str, nodes: int) -> LabProcess:
    """Start a lab in a starting state and wait until it answers. Raises UsageError."""
    why = f"unknown scenario {scenario!r}? `--lab-scenario=list` prints them"
    return _start(["--scenario", scenario, "--nodes", str(nodes)], why)


def start_from(facts: Path) -> LabProcess:
    """Start the twin of the cluster whose facts are in the file. Raises UsageError."""
    return _start(["--facts", str(facts)], f"{facts} holds a state that the lab cannot take")


def start_twin(portrait: Portrait) -> LabProcess:
    """Start the twin of a cluster. Raises UsageError."""
    from pve_runbook.facts_file.model import dump

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="pve-runbook-", delete=False) as file:
        file.write(dump(portrait))
    path = Path(file.name)
    try:
        return replace(start_from(path), facts=path)
    except pytest.UsageError:
        path.unlink()
        raise


def _start(arguments: list[str], silent: str) -> LabProcess:
    _refuse_without_lab()
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
        raise usage_error(RefusalId.LAB_DID_NOT_START, NOT_STARTED.format(why=line.strip() or silent)) from None


def scenario_list() -> str:
    """Every starting state with a line each. Raises UsageError."""
    _refuse_without_lab()
    said = subprocess.run(
        [*_COMMAND, "--scenario", "list"], capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    if said.returncode != 0:
        raise usage_error(RefusalId.LAB_DID_NOT_START, NOT_STARTED.format(why=said.stderr.strip()))
    return said.stdout


def _refuse_without_lab() -> None:
    if not is_installed():
        raise usage_error(RefusalId.LAB_IS_NOT_INSTALLED, NOT_INSTALLED)
