"""What testinfra asks a node before a module of its own can be used: which system it is, which tools it has.

testinfra sends shell text; each text that it is known to send (pytest-testinfra 10: host.py, modules/systeminfo.py,
modules/service.py) stands for a probe here, so that checks/ answer it by the batch runner like any other question.
"""

from __future__ import annotations

import re
import shlex

from pve_runbook.parsers.output import Output
from pve_runbook.probes.probe import Probe, ProbeFamily

_WHY = "testinfra asks which system this is"


def _as_it_is(output: Output) -> Output:
    return output


PROBES = tuple(
    Probe(f"testinfra {text}", tuple(shlex.split(text)), _as_it_is, _WHY)
    for text in ("uname -s", "uname -m", "cat /etc/os-release", "test -d /run/systemd/system/")
)
TOOL = ProbeFamily(
    "testinfra command -v",
    ("sh", "-c", 'command -v "$1"', "sh", "{}"),
    re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*"),
    _as_it_is,
    "testinfra asks which tools there are",
)
_BY_TEXT = {shlex.join(p.argv): p for p in PROBES}


def probe_of(command: str) -> Probe[Output] | None:
    """The probe that answers testinfra's ``command``; None for any other text."""
    words = command.split(" ")
    if len(words) == 3 and words[:2] == ["command", "-v"] and TOOL.accepts(words[2]):
        return Probe(f"{TOOL.name}:{words[2]}", TOOL.argv(words[2]), TOOL.parse, TOOL.why)
    return _BY_TEXT.get(command)
