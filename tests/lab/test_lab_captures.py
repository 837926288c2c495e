"""In every recorded state the lab answers each command with the recorded exit status and format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab_bench import RECORDED, Bench, MakeBench, Recorded, recorded
from pve_lab.shapes import ha_quorate, half_dismantled


def _leave(bench: Bench, *, upto: str = "") -> None:
    """The vendor's way on pve1, as far as the name says."""
    for step in recorded("local-mode-window"):
        bench.run("pve1", step.command)
        if step.command == upto:
            return


def _forced(bench: Bench) -> None:
    bench.cluster.isolate()
    bench.run("pve1", "pvecm expected 1")
    bench.advance(8)


def _corosync_stopped(bench: Bench) -> None:
    bench.cluster.isolate()
    for name in bench.cluster.nodes:
        bench.run(name, "systemctl stop pve-ha-lrm; systemctl stop pve-ha-crm")
    for name in bench.cluster.nodes:
        bench.run(
            name, "systemctl stop corosync; systemctl disable corosync; rm -rf /etc/corosync/* /var/lib/corosync/*"
        )
    bench.advance(2)


def _half_dismantled(bench: Bench) -> None:
    half_dismantled(bench.cluster)
    bench.run("pve1", "qm stop 102")


def _unmounted(bench: Bench) -> None:
    bench.cluster.isolate()
    bench.advance(30)
    _leave(bench, upto="systemctl stop corosync")


def _local_mode(bench: Bench) -> None:
    bench.cluster.isolate()
    bench.advance(30)
    _leave(bench, upto="pmxcfs -l")


def _standalone(bench: Bench) -> None:
    bench.cluster.isolate()
    bench.advance(30)
    _leave(bench)


def _ha_stopped(bench: Bench) -> None:
    ha_quorate(bench.cluster)
    for service in ("pve-ha-lrm", "pve-ha-crm"):
        for name in bench.cluster.nodes:
            bench.run(name, f"systemctl stop {service}")
    bench.advance(10)


STATES: dict[str, Callable[[Bench], None]] = {
    "quorate": lambda bench: None,
    "no-quorum": lambda bench: bench.cluster.isolate(),
    "forced": _forced,
    "corosync-stopped": _corosync_stopped,
    "half-dismantled": _half_dismantled,
    "unmounted": _unmounted,
    "local-mode": _local_mode,
    "standalone": _standalone,
    "peer-left-behind": _standalone,
    "ha-active": lambda bench: ha_quorate(bench.cluster),
    "ha-stopped": _ha_stopped,
}

FILES = [
    ("quorate", "pve1"),
    ("quorate", "pve2"),
    ("no-quorum", "pve1"),
    ("no-quorum", "pve2"),
    ("no-quorum", "pve3"),
    ("forced", "pve1"),
    ("corosync-stopped", "pve1"),
    ("half-dismantled", "pve1"),
    ("half-dismantled", "pve2"),
    ("half-dismantled", "pve3"),
    ("unmounted", "pve1"),
    ("local-mode", "pve1"),
    ("standalone", "pve1"),
    ("peer-left-behind", "pve2"),
    ("ha-active", "pve1"),
    ("ha-stopped", "pve1"),
]


def shape(line: str) -> str:
    """A line with what differs from run to run taken out: hashes, ids, times, numbers, amounts of blanks."""
    line = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "UUID", line)
    line = re.sub(r"\b[0-9a-f]{64}\b", "SHA256", line)
    line = re.sub(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d", "DAY", line)
    line = re.sub(r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d", "WHEN", line)
    line = re.sub(r"UPID:pve\d:[0-9A-F:]{27}", "UPID", line)
    line = re.sub(r" 1 [0-9A-F]{8} .*", " 1 ENDED", line)
    line = re.sub(r"(BC|bc)(:[0-9A-Fa-f]{2}){5}", "MAC", line)
    line = re.sub(r"\b[0-9]+\.[0-9a-f]+\b", "#", line)
    line = re.sub(r"\d+", "#", line)
    return re.sub(r" +", " ", line)


def shapes(text: str) -> list[str]:
    """The shapes of all lines."""
    return [shape(line) for line in text.splitlines()]


def skeleton(value: Any) -> Iterator[tuple[str, str]]:
    """Paths and types in a JSON document: what a parser could rely on."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            kind = value.get("type", "")
            for key, inner in value.items():
                yield from walk(inner, f"{path}.{kind}.{key}")
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner, f"{path}[]")
        else:
            kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
            yield path, kind

    return walk(value, "")


# Where the lab's content differs from the recorded cluster's by intent; the lines it has are recorded ones.
SUBSET = {
    "cat /var/log/pve/tasks/active": "what had been done on the cluster before",
    "corosync-cmapctl -m stats": "the counters that anyone reads",
    "ls -l /run/qemu-server": "files of the PCI reservation",
}
# What a shape cannot compare: asked all the same, and its exit status compared.
UNCOMPARED = {
    "pveversion": "the test bed's kernel",
    "cat /etc/hosts": "the lab's nodes know each other",
    "cat /etc/pve/.vmlist": "in the order of a hash table",
    "cat /etc/pve/qemu-server/*.conf": "another guest hardware",
    'sqlite3 -readonly /var/lib/pve-cluster/config.db "SELECT inode,parent,version,writer,mtime,type,name,length(data) '
    'FROM tree ORDER BY inode"': "another history of files",
}


# The keys of these are the state itself: none more, none fewer.
EXACT = {"pvesh get /cluster/status --output-format json"}
# What these know of a node arrives within 10 s of pmxcfs's start: the recorded moment lies before or after it.
BROADCAST = {"pvesh get /cluster/resources --output-format json", "pvesh get /nodes --output-format json"}


def _anywhere(command: str) -> list[str]:
    """What the command printed in all captures."""
    steps = [step for state, node in FILES for step in recorded(f"{state}.{node}")]
    return [step.said.stdout for step in steps if step.command == command]


def _json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def compare(step: Recorded, bench: Bench) -> str:
    """What differs between the lab's answer and the recorded one; sent as it was recorded, with LC_ALL=C before it."""
    said = bench.run(step.node, f"LC_ALL=C {step.command}")
    wanted = step.said
    if said.exit_status != wanted.exit_status:
        return f"exit status {said.exit_status}, recorded {wanted.exit_status}: {said}"
    if shapes(said.stderr) != shapes(wanted.stderr):
        return f"stderr {shapes(said.stderr)}, recorded {shapes(wanted.stderr)}"
    if step.command in UNCOMPARED:
        return "" if bool(said.stdout) == bool(wanted.stdout) else f"stdout {said.stdout!r}"
    if wanted.stdout[:2] in ("[{", '{"'):
        keys, known = set(skeleton(_json_lines(said.stdout))), set(skeleton(_json_lines(wanted.stdout)))
        if step.command in EXACT:
            return "" if keys == known else f"keys {sorted(keys ^ known)}"
        if step.command in BROADCAST:
            known = known.union(*(skeleton(_json_lines(text)) for text in _anywhere(step.command)))
        return f"not recorded: {sorted(keys - known)}" if keys - known else ""
    if step.command in SUBSET:
        more = set(shapes(said.stdout)) - set(shapes(wanted.stdout))
        return f"not recorded: {sorted(more)}" if more or bool(said.stdout) != bool(wanted.stdout) else ""
    if shapes(said.stdout) != shapes(wanted.stdout):
        return f"stdout {shapes(said.stdout)}, recorded {shapes(wanted.stdout)}"
    return ""


@pytest.mark.parametrize(("state", "node"), FILES)
def test_every_recorded_command_is_answered_alike(state: str, node: str, make_bench: MakeBench) -> None:
    """STATE.NODE.json: same exit status, same format, for each of its commands."""
    bench = make_bench(inventory=RECORDED)
    STATES[state](bench)
    skip = {"getent ahosts pve1"} if node != "pve1" else set()
    steps = [step for step in recorded(f"{state}.{node}") if step.command not in skip]
    assert steps
    differences = {step.command: difference for step in steps if (difference := compare(step, bench))}
    assert differences == {}
