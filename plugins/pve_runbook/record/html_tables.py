"""The tables of the change record: phases by node, what was changed and how it is undone, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pve_runbook.journal.rows import GuestRow
from pve_runbook.record import phrases
from pve_runbook.record.html_markup import (
    NOTHING,
    Html,
    badge,
    clock,
    code,
    duration,
    join,
    shell,
    short_hash,
    shown,
    table,
    tag,
)
from pve_runbook.record.model import Action, Continuity, Phase, Record, Step
from pve_runbook.record.waiting import Waited, waited

TOGETHER = "all"
"""The column of the steps that are about the cluster as a whole."""


def phase_grid(record: Record) -> Html:
    """Return phases down, nodes across: how many steps passed on each node, and what did not."""
    if not record.phases:
        return tag("p", "No step was started.")
    nodes = _nodes_of(record)
    rows = [
        [
            phrases.phase_name(phase),
            badge(phase.outcome),
            phrases.steps_passed(phase),
            *(_cell([step for step in phase.steps if (step.node or TOGETHER) == node]) for node in nodes),
            clock(phase.started),
            duration(phase.seconds) if phase.started else NOTHING,
        ]
        for phase in record.phases
    ]
    return table(["Phase", "Outcome", "Steps passed", *nodes, "Start (UTC)", "Duration"], rows, css="pve-phases")


def waited_table(record: Record) -> Html:
    """Return phases down: how long nodes were waited for, and for what; nothing for a run that changed nothing."""
    if not record.actions:
        return Html()
    found = [(phrases.phase_name(phase), waited(phase, record.approvals)) for phase in record.phases]
    found.append((tag("b", "together"), sum((spent for _, spent in found), Waited())))
    rows = [
        [name, *(duration(x) for x in (spent.proxmox, spent.round_trips, spent.operator, spent.own))]
        for name, spent in found
    ]
    head = ["Phase", "Proxmox at work on a change", "Questions to nodes", "The operator", "This tool itself"]
    return table(head, rows, css="pve-waited")


def _nodes_of(record: Record) -> list[str]:
    """Return the nodes in the order of --hosts, the cluster as a whole last."""
    found = {step.node or TOGETHER for step in record.steps}
    return [*(node for node in record.header.hosts if node in found), *([TOGETHER] if TOGETHER in found else [])]


def _cell(steps: Sequence[Step]) -> Html:
    """Return ``30/30``, and the worst outcome by its word where not all passed."""
    if not steps:
        return tag("span", NOTHING, css="pve-meta")
    all_of_it = Phase(None, "", tuple(steps))
    worst = all_of_it.outcome
    told = f"{all_of_it.passed}/{all_of_it.applicable}"
    if worst == "passed":
        return tag("span", told, css="pve-is-passed pve-cell")
    return join([badge(worst), " ", tag("span", told, css="pve-cell")])


def change_table(record: Record) -> Html:
    """Return every kind of change once, in order: phase, command, nodes, outcome, undo."""
    rows = []
    for phase in record.phases:
        grouped: dict[str, list[Action]] = {}
        for step in phase.steps:
            for command in step.commands:
                if isinstance(command, Action):
                    grouped.setdefault(command.name, []).append(command)
        rows += [_change(phase, actions) for actions in grouped.values()]
    if not rows:
        return Html()
    return table(["Phase", "Change", "Nodes", "Result", "Undo"], rows, css="pve-changes")


def _change(phase: Phase, actions: Sequence[Action]) -> list[str]:
    first = actions[0]
    nodes = dict.fromkeys(action.node for action in actions)
    outcomes = dict.fromkeys(action.outcome for action in actions)
    what = [tag("b", first.name), " ", code(shell(first.argv))]
    if len({action.argv for action in actions}) > 1:
        what.append(tag("span", " and the like", css="pve-meta"))
    return [
        NOTHING if phase.number is None else str(phase.number),
        join(what),
        ", ".join(nodes),
        join((badge(outcome) for outcome in outcomes), " "),
        first.undo or NOTHING,
    ]


def guest_tables(item: Continuity) -> Iterator[Html]:
    """Yield continuity and conservation of the guests, and the nodes; what changed stands first."""
    guests = sorted(item.guests, key=lambda row: row.same)
    yield tag("h3", "Continuity: the same process (start: clock ticks since the node's boot)")
    head = ["Guest", "Node", "Kind", "Result", "pid before", "after", "Start before", "after"]
    yield table(head, (_continuity(row) for row in guests), css="pve-compare")
    yield tag("h3", "Conservation: the same configuration, owner and volumes")
    head = ["Guest", "Result", "Config before", "after", "Owner before", "after", "Volumes before", "after"]
    yield table(head, (_conservation(row) for row in guests), css="pve-compare")
    yield tag("h3", "Nodes: the same boot")
    nodes = sorted(item.nodes, key=lambda row: row.same)
    rows = ([row.node, _result(row.same), *_both(row.boot_before, row.boot_after)] for row in nodes)
    yield table(["Node", "Result", "boot_id before", "after"], rows, css="pve-compare")


def _continuity(row: GuestRow) -> list[str]:
    return [
        f"{shown(row.vmid)} {row.name}",
        row.node,
        row.kind,
        _result(row.ran_on) if row.ran else "was not running",
        *_both(row.pid_before, row.pid_after),
        *_both(row.start_before, row.start_after),
    ]


def _conservation(row: GuestRow) -> list[str]:
    return [
        f"{shown(row.vmid)} {row.name}",
        _result(row.is_kept),
        *_both(row.config_before, row.config_after, hashed=True),
        *_both(row.owner_before, row.owner_after),
        *_both(row.volumes_before, row.volumes_after),
    ]


def _result(same: bool) -> Html:
    """Return the word; what is the same needs little markup, as there are thousands of guests."""
    return tag("b", "same") if same else badge("changed")


def _both(before: str | int | None, after: str | int | None, hashed: bool = False) -> tuple[str, str]:
    word = short_hash if hashed else shown
    then = tag("span", word(after), css="pve-changed") if before != after else word(after)
    return word(before), then
