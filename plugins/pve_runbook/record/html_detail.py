"""The second part of the change record as HTML: every phase with its steps and every command, folded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pve_runbook.journal.events import Note
from pve_runbook.journal.rows import GuestRow, NodeRow
from pve_runbook.record import phrases
from pve_runbook.record.html_commands import Commands
from pve_runbook.record.html_markup import (
    Html,
    badge,
    clock,
    code,
    count,
    details,
    duration,
    join,
    shell,
    span,
    table,
    tag,
)
from pve_runbook.record.model import Action, Continuity, Phase, Read, Record, Step

# Topics that the first part shows; in the steps they would only be said twice.
_SHOWN_ABOVE = frozenset({"article", "left", "authority", "backup", "undo", "earlier", "verdict", "accepted"})


def detail_html(record: Record) -> str:
    """Return one folded part per phase, with steps, commands, reasons, undo and output.

    Static markup; phases and steps that failed or are unknown are open.
    """
    commands = Commands()
    parts = [tag("h2", "Every step and every command")]
    if record.outside:
        summary = join(
            [
                tag("span", "Outside any step", css="pve-name"),
                " ",
                tag("span", count(len(record.outside), "request"), css="pve-meta"),
            ]
        )
        parts.append(details(summary, commands.html(record.outside), css="pve-phase"))
    parts.extend(_phase(phase, commands) for phase in record.phases)
    parts.append(_catalogue(record))
    return tag("div", join(parts), css=f"pve-record pve-detail {phrases.mode_class(record)}")


def _phase(phase: Phase, commands: Commands) -> Html:
    meta = f"{phrases.steps_passed(phase)} steps passed"
    if phase.started:
        meta += f" · {clock(phase.started)} UTC · {duration(phase.seconds)}"
    summary = join(
        [
            badge(phase.outcome),
            " ",
            tag("span", phrases.phase_name(phase), css="pve-name"),
            " ",
            tag("span", meta, css="pve-meta"),
        ]
    )
    content = [tag("p", line, css="pve-line") for line in phase.lines]
    for said, group in groupby(phase.steps, _said):
        steps = list(group)
        content.extend([_same(steps)] if said and len(steps) > 1 else [_step(step, commands) for step in steps])
    content.extend(_comparison(item) for item in phase.continuity)
    return details(summary, join(content), css="pve-phase", is_open=phase.outcome in ("failed", "unknown"))


def _said(step: Step) -> tuple[str, str, str, bool] | None:
    """What a step says that sent no command; the same of several nodes in a row is said once."""
    if step.commands or _notes(step):
        return None
    return step.outcome, step.title, step.message, bool(step.started)


def _notes(step: Step) -> list[Note]:
    return [note for note in step.notes if note.topic not in _SHOWN_ABOVE]


def _same(steps: Sequence[Step]) -> Html:
    """Steps in a row that differ in their nodes alone."""
    first = steps[0]
    nodes = ", ".join(step.node for step in steps if step.node)
    meta = [*([nodes] if nodes else []), count(len(steps), "step")]
    if first.started:
        meta += [span([step.started for step in steps]), f"{duration(sum(step.seconds for step in steps))} together"]
    else:
        meta.append("not started")
    content = tag("pre", first.message, css="pve-message") if first.message else Html()
    return _folded(first, "", meta, content, is_open=first.outcome in ("failed", "unknown"))


def _step(step: Step, commands: Commands) -> Html:
    actions = sum(isinstance(command, Action) for command in step.commands)
    meta = [clock(step.started), duration(step.seconds)] if step.started else ["not started"]
    if actions:
        meta.append(count(actions, "action"))
    content = join(
        [
            tag("pre", step.message, css="pve-message") if step.message else "",
            *(tag("p", phrases.said(note.node or "", note.text), css="pve-note") for note in _notes(step)),
            commands.html(step.commands),
        ]
    )
    # A step that passed and changed nothing stays folded: the phase then reads as a list of what was done.
    return _folded(step, step.node or "", meta, content, is_open=bool(actions) or step.outcome in ("failed", "unknown"))


def _folded(step: Step, nodes: str, meta: Sequence[str], content: Html, *, is_open: bool) -> Html:
    """The line of a step; what there is to say of it is folded below."""
    summary = join(
        [
            badge(step.outcome),
            " ",
            tag("span", nodes, css="pve-node") if nodes else "",
            " ",
            tag("span", phrases.step_title(step), css="pve-name"),
            " ",
            tag("span", " · ".join(meta), css="pve-meta"),
        ]
    )
    if not content:
        return tag("p", summary, css="pve-step")
    return details(summary, content, css="pve-step", is_open=is_open)


def _catalogue(record: Record) -> Html:
    """What every probe asks and why, once: the reads above name it only."""
    reads = [command for command in (*record.outside, *record.commands) if isinstance(command, Read)]
    asked: dict[tuple[str, tuple[str, ...]], tuple[str, int]] = {}
    for answer in (answer for read in reads for answer in read.all_answers):
        why, times = asked.get((answer.id, answer.argv), (answer.why, 0))
        asked[answer.id, answer.argv] = (why, times + 1)
    if not asked:
        return Html()
    rows = [[name, code(shell(argv)), why, f"{times} ×"] for (name, argv), (why, times) in sorted(asked.items())]  # noqa: RUF001
    summary = tag("span", f"What was read: {count(len(rows), 'probe')} and why they were asked", css="pve-name")
    return details(summary, table(["Probe", "Command", "Why", "Asked"], rows), css="pve-phase pve-catalogue")


def _comparison(item: Continuity) -> Html:
    head = f"{item.label or 'Compared with the baseline'}: {phrases.survival(item)} ({clock(item.at)})"
    rows: list[GuestRow | NodeRow] = [*item.guests, *item.nodes]
    differing = (tag("p", _differs(row), css="pve-missing") for row in rows if not row.same)
    return tag("div", join([tag("p", head), *differing]), css="pve-line")


def _differs(row: GuestRow | NodeRow) -> str:
    if isinstance(row, NodeRow):
        return f"{row.node}: boot_id {row.boot_before} before, {row.boot_after} after"
    pairs = [
        ("pid", row.pid_before, row.pid_after),
        ("start time", row.start_before, row.start_after),
        ("configuration", row.config_before, row.config_after),
        ("owner", row.owner_before, row.owner_after),
        ("volumes", row.volumes_before, row.volumes_after),
    ]
    changed = "; ".join(f"{name} {was} before, {now} after" for name, was, now in pairs if was != now)
    return f"{row.vmid} {row.name} on {row.node}: {changed or 'not the same'}"
