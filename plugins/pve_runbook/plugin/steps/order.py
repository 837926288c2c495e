"""The order of the runbook: lock-step over the nodes, and every step behind all the steps before it.

pytest-dependency holds a step back; the markers are written here, for every item, so that no author can forget
one. A step depends on the one before it, on whichever node, and so on every earlier one: what was not run did not
pass either. (Naming all of them in every marker cost with the square of the steps.)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from pve_runbook.cluster.node import Node
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.terminal.fold import Place

ABOUT_A_NODE = ("host", "node")
"""Fixtures of one node, which a step that asks for them has once for each."""
ROLLBACK = 8
"""The phase that runs on its own, and only with --rollback."""
PHASE_FILE = re.compile(r"test_phase(\d+)_\w+\.py\Z")
OWN_MARKER = "{item}: a step in runbook/ has no dependency marker of its own; the plugin writes it for every step"
NOT_A_PHASE = "{path}: a module in runbook/ is named test_phaseN_name.py, N being its place in the order"
ROLLBACK_ONLY = "phase 8 runs alone and with --rollback=DIR; the other phases never do"
UNGATED = "{item}: is not behind the steps before it (a hook was not called); nothing was run"
LEFT_OUT = "the selection leaves out earlier steps ({example} …); type `{command}` to run the whole runbook"


def phase_of(path: Path) -> int | None:
    """The number in a phase module's name."""
    match = PHASE_FILE.match(path.name)
    return int(match[1]) if match else None


def belongs(path: Path, rollback: bool) -> bool:
    """Whether a phase module has a part in this run."""
    return (phase_of(path) == ROLLBACK) is rollback


def leave_slots(item: pytest.Item) -> int:
    """Which node in the order of leaving an item is for (from 0); -1 for the others of its module."""
    callspec = getattr(item, "callspec", None)
    return int(callspec.params.get("_leaver", -1)) if callspec is not None else -1


def only_reads(item: pytest.Item) -> bool:
    """Whether a step neither sends anything that changes a node nor asks the operator."""
    return not {"perform", "approve"} & set(getattr(item, "fixturenames", ()))


def place_of(item: pytest.Item) -> Place:
    """Which step an item is, on whichever node."""
    return Place(item.path.name, item.name.partition("[")[0], leave_slots(item), only_reads(item))


def host_name(item: pytest.Item) -> str | None:
    """The --hosts name that an item is parametrized with."""
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec is not None else {}
    return next((str(params[name]) for name in ABOUT_A_NODE if name in params), None)


def node_of(item: pytest.Item, leaving: Sequence[Node]) -> str | None:
    """Which node a step is about; None for all of them. ``leaving``: in their order, once that is known."""
    name = host_name(item)
    slot = leave_slots(item)
    return leaving[slot].name if name is None and slot >= 0 and leaving else name


def sort_key(item: pytest.Item, hosts: Sequence[str]) -> tuple[int, str, int, int, int]:
    """(phase, module, order of leaving, line, index in --hosts): a step on all nodes, then the next step; where the
    nodes leave one by one, a node with all its steps, then the next node."""
    name = host_name(item)
    line = item.location[1]
    phase = phase_of(item.path)
    return (
        -1 if phase is None else phase,
        item.path.name,
        leave_slots(item),
        -1 if line is None else line,
        hosts.index(name) if name in hosts else -1,
    )


def gate(items: list[pytest.Item], hosts: Sequence[str], *, rollback: bool, judge_all: bool = False) -> None:
    """Write every item's dependency marker. Raises UsageError.

    ``judge_all``: none, so that every gate is judged by itself; only for what cannot change a node.
    """
    for item in items:
        if phase_of(item.path) is None:
            raise usage_error(RefusalId.NOT_A_PHASE, NOT_A_PHASE.format(path=item.path.name))
        if not belongs(item.path, rollback):
            raise usage_error(RefusalId.ROLLBACK_ONLY, ROLLBACK_ONLY)
        if item.get_closest_marker("dependency") is not None:
            raise usage_error(RefusalId.OWN_MARKER, OWN_MARKER.format(item=item.nodeid))
    if judge_all:
        return
    before: list[str] = []
    for item in sorted(items, key=lambda i: sort_key(i, hosts)):
        item.add_marker(pytest.mark.dependency(depends=before, scope="session"))
        before = [item.nodeid]


def prove_gated(items: Sequence[pytest.Item], hosts: Sequence[str]) -> None:
    """Every item stands behind the one before it, in order, and none is left out. Raises UsageError."""
    before: list[str] = []
    for item in items:
        marker = item.get_closest_marker("dependency")
        if marker is None or marker.kwargs.get("scope") != "session" or marker.kwargs["depends"] != before:
            raise usage_error(RefusalId.STEP_IS_NOT_GATED, UNGATED.format(item=item.nodeid))
        before = [item.nodeid]
    if list(items) != sorted(items, key=lambda i: sort_key(i, hosts)):
        raise usage_error(RefusalId.STEP_IS_NOT_GATED, UNGATED.format(item="the list of steps"))


def steps_on_disk(folder: Path, rollback: bool) -> list[tuple[int, str, str]]:
    """(phase, file name, function name) of every step in the modules of ``folder`` for this run, in their order."""
    found = []
    for path in sorted(folder.glob("test_phase*.py")):
        phase = phase_of(path)
        if phase is None or not belongs(path, rollback):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.append((phase, path.name, node.name))
    return sorted(found, key=lambda s: s[0])


def check_selection(
    items: Sequence[pytest.Item],
    folder: Path,
    deselected: Sequence[str],
    command: str,
    *,
    rollback: bool,
    not_for_this: frozenset[tuple[str, str]] = frozenset(),
) -> bool:
    """Whether the selection is the whole runbook, but for the steps that have no part in this run.

    Raises UsageError when it leaves out a step before one that it keeps.
    """
    steps = [step for step in steps_on_disk(folder, rollback) if step[1:] not in not_for_this]
    selected = {(item.path.name, item.name.partition("[")[0]) for item in items}
    kept = [(file, name) in selected for _, file, name in steps]
    last = max((i for i, k in enumerate(kept) if k), default=-1)
    missing = [f"{file}::{name}" for (_, file, name), k in zip(steps[:last], kept[:last], strict=True) if not k]
    order = {(file, name): i for i, (_, file, name) in enumerate(steps)}
    for nodeid in deselected:
        file, name = Path(nodeid.partition("::")[0]).name, nodeid.partition("::")[2].partition("[")[0]
        if order.get((file, name), last + 1) <= last:
            missing.append(nodeid.rpartition("/")[2])
    if missing:
        raise usage_error(RefusalId.STEPS_ARE_LEFT_OUT, LEFT_OUT.format(example=missing[0], command=command))
    return all(kept) and not deselected
