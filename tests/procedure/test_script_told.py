"""What a plan tells of the scripts is what bash runs on the node: every command that changes it, in its order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

import pytest
from bench_run import FROZEN
from lab_bench import Bench
from on_node import DB, MEMBERS, RUN, WORK, OnNode
from pve_lab.faults import Fault
from pve_runbook.plan import shell
from pve_runbook.plan.script_steps import TOO_LATE, Step, Steps, steps_of
from pve_runbook.plan.script_text import NO_RETURN, commands, listing
from pve_runbook.procedure.window import Script, script

QDEVICE = "systemctl cat corosync-qdevice.service"
START = ("systemctl", "start", "pve-cluster.service")
SCRIPTS: tuple[Script, ...] = ("window", "restore")


def told(name: Script, attempt: int = 1, *, qdevice: bool = False) -> Steps:
    """What is told of a script before it is put on a node."""
    given = MEMBERS if name == "window" else ("0" * 64, "1" * 64)
    return steps_of(script(name, RUN, f"{RUN}-{attempt}", given), {QDEVICE: qdevice})


@contextmanager
def ready(folder: Path, scenario: str = "broken", name: str = MEMBERS[0]) -> Iterator[OnNode]:
    """A frozen node before its window, with a backup, and with some of what HA may have left."""
    bench = Bench(folder, scenario, 2)
    on = OnNode(bench, name)
    if scenario == "quorate":
        on.type("echo this > /etc/pve/ha/manager_status; echo that > /etc/pve/ha/groups.cfg")
    on.type(f"{FROZEN}; install -d -m 0700 {WORK}; sqlite3 {DB} \".backup '{WORK}/config.db'\"")
    on.type(f"tar -C / -czf {WORK}/system.tar.gz --ignore-failed-read etc/corosync")
    try:
        yield on
    finally:
        bench.close()


def turns(steps: tuple[Step, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every command with its conditions; those of a loop once for each of its values."""
    for each, group in groupby((s for s in steps if s.line), key=lambda s: dict(s.each)):
        inside = list(group)
        [(name, values)] = each.items() or [("", ("",))]
        for value in values:
            for step in inside:
                yield tuple_of(step, f"${name}", value) if name else (step.line, step.only)


def tuple_of(step: Step, name: str, value: str) -> tuple[str, tuple[str, ...]]:
    return step.line.replace(name, value), tuple(text.replace(name, value) for text in step.only)


def wanted(on: OnNode, steps: tuple[Step, ...], *holds: str) -> list[str]:
    """The commands that are told for this node, as it is now; ``holds``: what else is true when the script is there."""

    def is_true(text: str) -> bool:
        path = re.fullmatch(r"(\S+) is there", text)
        return text in holds or (path is not None and on.bench.run(on.name, f"[ -e {path[1]} ]").exit_status == 0)

    return [line for line, only in turns(steps) if all(map(is_true, only))]


def is_same(line: str, ran: str) -> bool:
    """Whether a command that ran is the one that was told; a `*` in it is for the node to fill."""
    one, other = shlex.split(line), shlex.split(ran)
    return len(one) == len(other) and all(fnmatchcase(b, a) for a, b in zip(one, other, strict=True))


def ran_as_told(on: OnNode, told_lines: list[str]) -> None:
    left = [(a, b) for a, b in zip(told_lines, on.changing, strict=False) if not is_same(a, b)][:1]
    assert (left, len(told_lines)) == ([], len(on.changing)), (told_lines, on.changing)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("scenario", ["broken", "quorate", "qdevice"])
def test_a_node_runs_what_is_told_of_it(tmp_path: Path, scenario: str, name: str) -> None:
    """The window, and the way back after it."""
    with ready(tmp_path, scenario, name) as on:
        for attempt, which in enumerate(SCRIPTS, 1):
            lines = wanted(on, told(which, attempt, qdevice=scenario == "qdevice").runs)
            assert on.run(which) == "done"
            ran_as_told(on, lines)


STOP = ("systemctl", "stop", "pve-cluster.service")
FAULTS: dict[str, tuple[Fault, ...]] = {
    "`pgrep -x pmxcfs` succeeds": tuple(Fault("fail", argv=STOP, status=0, message="", skip=n) for n in range(2)),
    TOO_LATE: (),
    f"`{shlex.join(START)}` fails": (Fault("fail", argv=START),),
}
"""Condition of a command → the faults that make it true in the lab; none: a mount that nobody serves any more."""


@pytest.mark.parametrize("condition", FAULTS)
def test_what_is_told_with_a_condition_is_run_where_it_holds(tmp_path: Path, condition: str) -> None:
    faults = FAULTS[condition]
    with ready(tmp_path) as on:
        if not faults:
            on.node.files.dead_mounts = 1
        lines = wanted(on, told("window").runs, condition)
        if shlex.join(START) in condition:  # and is tried again
            lines.insert(lines.index(shlex.join(START)) + 2, shlex.join(START))
        assert len(lines) > len(wanted(on, told("window").runs))
        assert on.run("window", *faults) == "done"
        ran_as_told(on, lines)


@pytest.mark.parametrize("which", SCRIPTS)
def test_a_step_that_fails_is_put_back_as_told(tmp_path: Path, which: Script) -> None:
    last = "rm -rf /etc/corosync/qdevice" if which == "window" else "tar"
    with ready(tmp_path) as on:
        if which == "restore":
            assert on.run("window") == "done"
        steps = told(which, SCRIPTS.index(which) + 1)
        lines = wanted(on, steps.runs)
        upto = next(i for i, line in enumerate(lines) if line.startswith(last)) + 1
        back = wanted(on, steps.puts_back, "STAGE is not before", "COPIED is yes", "MASKED is not yes")
        assert on.run(which, Fault("fail", argv=tuple(last.split()))).startswith("rolled-back ")
        ran_as_told(on, lines[:upto] + back + lines[-3:])


@pytest.mark.parametrize("which", SCRIPTS)
def test_every_command_has_its_why_and_every_condition_is_said(which: Script) -> None:
    for part in (told(which).runs, told(which).puts_back):
        assert [s.line for s in part if s.line and not s.why] == []
        assert [s for s in part if not (s.line or s.why or s.stops)] == []
    text = "\n".join(listing(told(which)))
    for step in told(which).runs:
        assert step.line in text and " ".join(step.stops.split()) in " ".join(text.replace("# ", "").split())


def test_the_point_of_no_return_stands_before_the_start_of_pve_cluster() -> None:
    """In the listing, and where the commands alone are shown; the way back has none."""
    for lines in (listing(told("window")), commands(told("window"))):
        before, after = (lines[: lines.index(f"# {NO_RETURN}")], lines[lines.index(f"# {NO_RETURN}") :])
        assert {"pmxcfs -l", "rm -f /etc/pve/corosync.conf"} <= set(before)
        assert shlex.join(START) in after and shlex.join(START) not in before
    assert NO_RETURN not in "\n".join(listing(told("restore")))


def test_a_line_more_in_a_script_is_told_with_what_it_does() -> None:
    """Nobody has to name it anywhere else."""
    text = script("window", RUN, RUN, MEMBERS)
    more = "# No other hand starts it.\nmust systemctl mask --runtime pvestatd.service\n\n"
    assert text.count("STAGE=local\n") == 1
    steps = steps_of(text.replace("STAGE=local\n", f"{more}STAGE=local\n"), {QDEVICE: False}).runs
    [step] = [s for s in steps if s.line == "systemctl mask --runtime pvestatd.service"]
    assert step.why == "No other hand starts it." and step.stops == step.line


@pytest.mark.parametrize(
    "line", ["(cd /tmp)", "must rm <<< word", "a & b", "if [ -d /x ]; then must rm /x; fi", "function f { a; }"]
)
def test_what_is_not_understood_is_not_passed_over(line: str) -> None:
    text = script("window", RUN, RUN, MEMBERS)
    with pytest.raises((ValueError, KeyError)):
        steps_of(f"{text}\n{line}\n", {QDEVICE: False})


def test_a_script_is_taken_apart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every node in every plan of a run."""
    read = []
    parse = shell.parse
    monkeypatch.setattr(shell, "parse", lambda text: read.append(text) or parse(text))
    members = [f"node{i}" for i in range(32)]
    text = script("window", RUN, RUN, members)
    found = [steps_of(text, {QDEVICE: qdevice}) for _ in members for qdevice in (False, True)]
    assert len(read) == 2 and found[0] != found[1]
