"""What the probes make of a recorded command: which one it is, and what its parser says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from captured_files import KNOWN_SURPRISES, NOT_PROBES, READ_AS, Broken, Capture, Step, sections
from pve_runbook.parsers.guests import parse_guest_config
from pve_runbook.parsers.output import NotConnected, Output, ParseError, TimedOut, Unsettled, file_text
from pve_runbook.probes import allow_list
from pve_runbook.probes.probe import Probe, ProbeFamily

Kind = Literal["read", "refused", "not a probe", "known surprise", "surprise"]
Parser = Callable[[Output], object]
_ASSIGNMENT = re.compile(r"LC_ALL=\S*|LANG=\S*|LANGUAGE=\S*")
_GUEST_FILE = re.compile(r"cat /etc/pve(/nodes/(?P<node>[^/ ]+))?/(?P<kind>qemu-server|lxc)/(?P<vmid>\d+)\.conf")
_SILENCE = (NotConnected, TimedOut, Unsettled)
_ASKED: tuple[Probe[object] | ProbeFamily[object], ...] = (*allow_list.probes(), *allow_list.families())
_NO_PMXCFS = "pmxcfs does not answer"


@dataclass(frozen=True)
class Outcome:
    """What became of one recorded command. ``probe`` is the name of the probe whose parser read it, and ``why`` is for
    a person."""

    step: Step
    kind: Kind
    probe: str = ""
    value: object = None
    why: str = ""


@dataclass(frozen=True)
class Lists:
    """The three lists beside the captures."""

    not_probes: dict[str, str]
    """Command to reason."""
    read_as: dict[str, str]
    """Command to the name of the probe whose parser reads it."""
    known: dict[str, str]
    """``FILE: COMMAND`` to reason."""


@cache
def lists(folder: Path) -> Lists:
    """Read the lists. Raises Broken for an entry that stands there twice, or is read as what is no probe."""
    found = []
    for name in (NOT_PROBES, READ_AS, KNOWN_SURPRISES):
        entries: dict[str, str] = {}
        for heading, entry in sections(folder, name):
            if entry in entries:
                raise Broken(f"{name}: {entry!r} stands there twice")
            entries[entry] = heading
        found.append(entries)
    names = {p.name for p in _ASKED}
    if wrong := sorted(set(found[1].values()) - names):
        raise Broken(f"{READ_AS}: no probe is called {wrong[0]!r}")
    return Lists(*found)


def argv_of(command: str) -> tuple[str, ...]:
    """The words of a recorded command line, without what stands around a probe when it is sent: the language, and
    timeout(1). () for what is no plain command."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ()
    while words and (words[0] == "env" or _ASSIGNMENT.fullmatch(words[0])):
        words.pop(0)
    if words[:1] == ["timeout"]:
        words.pop(0)
        while words and words[0].startswith("-"):
            words = words[2 if words[0] in ("-k", "-s") else 1 :]
        words = words[1:]
    return tuple(words)


@cache
def probe_of(command: str) -> tuple[str, Parser] | None:
    """Name and parser of the registered probe, or family, that asks ``command``; None if none does."""
    argv = argv_of(command)
    for probe in allow_list.probes():
        if probe.argv == argv:
            return probe.name, probe.parse
    for family in allow_list.families():
        if family.matches(argv):
            return family.name, family.parse
    return None


def read(capture: Capture, folder: Path) -> list[Outcome]:
    """What became of every command, in order."""
    silent = _may_be_silent(capture)
    return [_outcome(capture, step, lists(folder), silent) for step in capture.steps]


def line_of(capture: Capture, outcome: Outcome) -> str:
    """One line for a person: file, command, and what is wrong."""
    return f"{capture.name}: {outcome.step.command}: {outcome.why}"


def as_asked(output: Output) -> Output:
    """The recorded `systemctl show` did not ask for all that the probe wants: the rest as on any installed, idle
    unit."""
    blocks = []
    for block in re.split(r"\n\s*\n", output.stdout.strip()):
        absent = [key for key in ("LoadState", "Job", "MainPID") if not re.search(rf"(?m)^{key}=", block)]
        rest = {"LoadState": "loaded", "Job": "", "MainPID": "0"}
        blocks.append("\n".join([block, *(f"{key}={rest[key]}" for key in absent)]))
    return Output("\n\n".join(blocks) + "\n", output.stderr, output.exit_status)


def _outcome(capture: Capture, step: Step, known: Lists, silent: bool) -> Outcome:
    found, expected = _reader(step, known), f"{capture.name}: {step.command}" in known.known
    if found is None:
        if step.command in known.not_probes:
            return Outcome(step, "not a probe")
        return Outcome(step, "surprise", why=f"no probe asks this, and it does not stand in {NOT_PROBES}")
    name, parse = found
    if step.command in known.not_probes:
        return Outcome(step, "surprise", why=f"the probe {name} reads this, though it stands in {NOT_PROBES}")
    try:
        value = parse(step.output)
    except ParseError as error:
        if isinstance(error, _SILENCE) or (_NO_PMXCFS in str(error) and silent):
            return Outcome(step, "refused", name, error, str(error))
        return Outcome(step, "known surprise" if expected else "surprise", name, error, str(error))
    except Exception as error:  # whatever it is: it is this file and this command that bring it about
        return Outcome(step, "surprise", name, error, f"the parser of {name} fails with {error!r}")
    if expected:
        return Outcome(step, "surprise", name, value, f"it is read, though it stands in {KNOWN_SURPRISES}")
    return Outcome(step, "read", name, value)


def _reader(step: Step, known: Lists) -> tuple[str, Parser] | None:
    if match := _GUEST_FILE.fullmatch(step.command):
        kind: Literal["qemu", "lxc"] = "lxc" if match["kind"] == "lxc" else "qemu"
        vmid, node = int(match["vmid"]), match["node"] or step.node

        def parse(output: Output) -> object:
            text = file_text(output, step.command)
            return None if text is None else parse_guest_config(vmid, node, kind, text.encode())

        return "guest_config", parse
    if found := probe_of(step.command):
        return found
    name = known.read_as.get(step.command)
    if name is None:
        return None
    of_name: Parser = next(p.parse for p in _ASKED if p.name == name)
    return name, (lambda output: of_name(as_asked(output))) if name == "units" else of_name


def _may_be_silent(capture: Capture) -> bool:
    """Whether pmxcfs may have given no answer here: in a transcript at any time, else where it was not mounted."""
    if not capture.is_state:
        return True
    mounts = [s.output for s in capture.steps if (found := probe_of(s.command)) and found[0] == "pve_mount"]
    return not any(m.exit_status == 0 for m in mounts)
