"""The same questions to both labs in the same state, parsed by the same parsers."""

from __future__ import annotations

import contextlib
import enum
import re
import shlex
import sqlite3
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from asked import NEEDS_A_QDEVICE, NODE, OF_ITS_NATURE, ORDER, RUN, VALUES, VOLATILE, questions, stdin_of, unprepared
from msgspec import Struct
from pve_lab import shapes
from pve_lab.build import build
from pve_lab.machine import Machine, Site
from pve_lab.model.cluster import Cluster
from pve_lab.model.database import Row
from pve_lab.model.version import PVE8, PVE9
from pve_lab.shell import Channel
from pve_lab.wiring import ONE_FOR_ALL
from pve_runbook.actions import registry as actions
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.probes import registry as probes
from pve_runbook.probes.probe import BACKUP_ROOT
from pve_system_lab.cluster import SystemLab
from pve_system_lab.container import Container
from pve_system_lab.errors import SystemLabError, until
from pve_system_lab.inventory import INVENTORY

VERSIONS = {8: PVE8, 9: PVE9}
STATES: dict[str, Callable[[Cluster], None]] = {
    "broken": shapes.broken,
    "quorate": shapes.quorate,
    "half-dismantled": shapes.half_dismantled,
    "standalone": shapes.standalone,
}
"""The states in which both labs are compared."""
EPOCH = 1795415359.0
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKlab0000000000000000000000000000000000000000 test"


class Model:
    """The embedded lab without its SSH servers, with the system lab's guests and wiring."""

    def __init__(self, directory: Path, lab: SystemLab, shape: Callable[[Cluster], None]) -> None:
        (directory / "nodes").mkdir(parents=True)
        version = VERSIONS[lab.pve]
        self.cluster = build(
            len(lab.nodes), directory, EPOCH, KEY, inventory=INVENTORY, version=version, wiring=ONE_FOR_ALL
        )
        self._site = Site(directory / "unsimulated.log")
        rows = _rows(lab)
        for name, node in self.cluster.nodes.items():
            Machine(node, directory / f"{name}.jsonl", self._site)
            node.pmxcfs.database.replace(rows)
            node.files.put("/etc/corosync/authkey", lab.authkey.read_bytes(), 0o400)
        shape(self.cluster)

    def ask(self, node: str, argv: tuple[str, ...], stdin: bytes = b"") -> Output:
        """Run a command on a node."""
        channel = Channel(self._site.machines[node], lambda done: done(stdin))
        stdout, stderr, status = channel.execute("LC_ALL=C " + shlex.join(argv))
        return Output(stdout, stderr, status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        for machine in self._site.machines.values():
            machine.close()
        for node in self.cluster.nodes.values():
            node.pmxcfs.database.close()
            node.files.release()


def _rows(lab: SystemLab) -> list[Row]:
    """The database that the nodes of the system lab began with."""
    with contextlib.closing(sqlite3.connect(lab.template)) as connection:
        return [Row(*values) for values in connection.execute("SELECT * FROM tree ORDER BY inode")]


def real(container: Container, argv: tuple[str, ...], stdin: bytes = b"") -> Output:
    """Run a command on a node of the system lab."""
    done = container.run(*argv, stdin=stdin)
    return Output(done.stdout, done.stderr, done.returncode)


def without(value: Any, keys: Collection[str]) -> Any:
    """Plain data without the keys of those names."""
    if isinstance(value, dict):
        return {k: without(v, keys) for k, v in value.items() if k not in keys}
    return [without(v, keys) for v in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """A parsed answer as plain data."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(v) for v in value]
        return sorted(items, key=repr) if isinstance(value, (set, frozenset)) else items
    return value


def parsed(parse: Callable[[Output], Any], output: Output) -> Any:
    """What the parser makes of an answer; an error as its kind."""
    try:
        return plain(parse(output))
    except ParseError as error:
        return {"unknown": re.sub(r"\d+", "N", str(error))}


def pid_of(answer: Any) -> str:
    """The pid of guest 101."""
    return str(answer["101"]["pid"])


def told_apart(name: str, seen: Any, modelled: Any) -> str:
    """The parts that differ."""
    if isinstance(seen, dict) and isinstance(modelled, dict):
        keys = [k for k in seen.keys() | modelled.keys() if seen.get(k) != modelled.get(k)]
        seen, modelled = ({k: side.get(k) for k in keys} for side in (seen, modelled))
    return f"{name}:\n  real  {seen}\n  model {modelled}"


def differing(lab: SystemLab, model: Model) -> list[str]:
    """The probes that both labs answer differently, with both answers."""
    container = lab.containers[NODE]
    processes = probes.GUEST_PROCESSES
    ours = pid_of(parsed(processes.parse, real(container, processes.argv)))
    theirs = pid_of(parsed(processes.parse, model.ask(NODE, processes.argv)))
    differences = []
    for (name, parse, asked), (_, _, also) in zip(questions(ours), questions(theirs), strict=True):
        seen, modelled = parsed(parse, real(container, asked)), parsed(parse, model.ask(NODE, also))
        if name in OF_ITS_NATURE:
            same = ("unknown" in str(seen)[:12]) == ("unknown" in str(modelled)[:12])
        else:
            same = without(seen, VOLATILE) == without(modelled, VOLATILE)
        if not same:
            differences.append(told_apart(name, seen, modelled))
    return differences


AFTER = (
    *(probes.UNIT_STATES, probes.JOBS, probes.PVE_MOUNT, probes.PVE_MODE, probes.PVECM, probes.PVE_COROSYNC_CONF),
    *(probes.ETC_COROSYNC_CONF, probes.COROSYNC_DIRS, probes.PMXCFS_PROCESS, probes.COROSYNC_PROCESS, probes.LOCK),
    *(probes.QM_LIST, probes.SECOND_KEYS, probes.API_STATUS),
)
"""What is looked at after every action."""
SETTLED = 20
"""Seconds within which both labs have to agree after an action."""


def after_every_action(lab: SystemLab, model: Model) -> list[str]:
    """What both labs do differently when they are told every action, and what differs a moment later."""
    container = lab.containers[NODE]

    def real_file(name: str) -> bytes:
        return bytes((container.root / f"{BACKUP_ROOT[1:]}/{RUN}/{name}").read_bytes())

    def model_file(name: str) -> bytes:
        return bytes(model.cluster.nodes[NODE].files.read(f"{BACKUP_ROOT}/{RUN}/{name}"))

    def differences() -> dict[str, str]:
        model.cluster.clock.advance(1.0)
        found = {}
        for probe in AFTER:
            seen = without(parsed(probe.parse, real(container, probe.argv)), VOLATILE)
            modelled = without(parsed(probe.parse, model.ask(NODE, probe.argv)), VOLATILE)
            if seen != modelled:
                found[probe.name] = told_apart(probe.name, seen, modelled)
        return found

    wrong: list[str] = []
    told: set[str] = set()

    def agreed() -> bool:
        return not differences().keys() - told

    for name in (n for n in ORDER if n not in NEEDS_A_QDEVICE):
        action = actions.registry()[name].bind(**VALUES)
        seen = real(container, action.argv, stdin_of(name, real_file))
        modelled = model.ask(NODE, action.argv, stdin_of(name, model_file))
        if seen.exit_status != modelled.exit_status:
            wrong.append(f"{name}: real {seen}\n  model {modelled}")
        try:
            until(agreed, SETTLED, name)
        except SystemLabError:
            new = {k: v for k, v in differences().items() if k not in told}
            told.update(new)  # one that stays is told once
            wrong += [f"after {name}: {text}" for text in new.values()]
    return wrong


def compare_probes(stage: Any, place: Path, state: str) -> None:
    """Both labs in the same state answer every probe alike; what differs by its nature is readable in both."""
    assert unprepared() == []
    stage.set(state)
    with Model(place / "model", stage.lab, STATES[state]) as model:
        differences = differing(stage.lab, model)
    assert not differences, "\n".join(differences)


def compare_actions(stage: Any, place: Path) -> None:
    """Every action ends with the same exit status, and leaves the same state of the node a moment later."""
    assert unprepared() == []
    stage.set("broken")
    with Model(place / "model", stage.lab, shapes.broken) as model:
        differences = after_every_action(stage.lab, model)
    assert not differences, "\n".join(differences)
