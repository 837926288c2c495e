"""The second part of the change record as HTML: every phase with its steps and every command, folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from pve_runbook.record import words
from pve_runbook.record.markup import (
    ANSWER_CAP,
    Html,
    badge,
    clock,
    code,
    count,
    details,
    duration,
    join,
    output,
    shell,
    table,
    tag,
)
from pve_runbook.record.parts import (
    Action,
    Answer,
    Command,
    Continuity,
    GateCommand,
    GuestRow,
    NodeRow,
    Phase,
    Read,
    Record,
    Step,
)

# Topics that the first part shows; in the steps they would only be said twice.
_SHOWN_ABOVE = frozenset({"article", "left", "authority", "backup", "undo", "earlier", "verdict", "accepted"})

FEW = 1
"""Requests in a row that stand by themselves; more are folded together."""

BRIEF = 60
"""Letters of one line up to which an answer stands in the line of its read."""

SHORT = 60
"""Letters of a command up to which it stands beside every answer; longer ones stand in the list of what was read."""

MANY = 8
"""Probes that answered as before are named up to here; more are a range of lines."""


def detail_html(record: Record) -> str:
    """Return one folded part per phase, with steps, commands, reasons, undo and output.

    Static markup; phases and steps that failed or are unknown are open.
    """
    parts = [tag("h2", "Every step and every command")]
    if record.outside:
        summary = join(
            [
                tag("span", "Outside any step", css="pve-name"),
                " ",
                tag("span", count(len(record.outside), "request"), css="pve-meta"),
            ]
        )
        parts.append(details(summary, _commands(record.outside), css="pve-phase"))
    parts.extend(_phase(phase) for phase in record.phases)
    parts.append(_catalogue(record))
    return tag("div", join(parts), css=f"pve-record pve-detail {words.mode_class(record)}")


def _phase(phase: Phase) -> Html:
    meta = f"{words.steps_passed(phase)} steps passed"
    if phase.started:
        meta += f" · {clock(phase.started)} UTC · {duration(phase.seconds)}"
    summary = join(
        [
            badge(phase.outcome),
            " ",
            tag("span", words.phase_name(phase), css="pve-name"),
            " ",
            tag("span", meta, css="pve-meta"),
        ]
    )
    content = [tag("p", line, css="pve-line") for line in phase.lines]
    content.extend(_step(step) for step in phase.steps)
    content.extend(_comparison(item) for item in phase.continuity)
    return details(summary, join(content), css="pve-phase", is_open=phase.outcome in ("failed", "unknown"))


def _step(step: Step) -> Html:
    actions = sum(isinstance(command, Action) for command in step.commands)
    meta = [clock(step.started), duration(step.seconds)] if step.started else ["not started"]
    if actions:
        meta.append(count(actions, "action"))
    summary = join(
        [
            badge(step.outcome),
            " ",
            tag("span", step.node, css="pve-node") if step.node else "",
            " ",
            tag("span", step.title, css="pve-name"),
            " ",
            tag("span", " · ".join(meta), css="pve-meta"),
        ]
    )
    notes = [note for note in step.notes if note.topic not in _SHOWN_ABOVE]
    content = join(
        [
            tag("pre", step.message, css="pve-message") if step.message else "",
            *(tag("p", words.said(note.node or "", note.text), css="pve-note") for note in notes),
            _commands(step.commands),
        ]
    )
    # A step that passed and changed nothing stays folded: the phase then reads as a list of what was done.
    is_open = bool(actions) or step.outcome in ("failed", "unknown")
    if not content:
        return tag("p", summary, css="pve-step")
    return details(summary, content, css="pve-step", is_open=is_open)


def _commands(commands: Iterable[Command]) -> Html:
    """Return them in order; several reads in a row that were all answered are one fold."""
    parts: list[Html] = []
    for quiet, group in groupby(commands, lambda c: isinstance(c, Read) and not c.unanswered):
        found = list(group)
        shown = join(_alike(found))
        parts.append(_fold(found, shown) if quiet and len(found) > FEW else shown)
    return join(parts)


def _alike(commands: Sequence[Command]) -> Iterator[Html]:
    """Yield the reads in a row that brought hardly anything new as lines of one block, everything else by itself."""
    for brief, group in groupby(commands, lambda c: isinstance(c, Read) and all(map(_is_brief, c.answers))):
        if brief:
            yield tag("pre", "\n".join(_lines([c for c in group if isinstance(c, Read)])), css="pve-out pve-read")
        else:
            yield from map(_command, group)


def _lines(reads: Sequence[Read]) -> Iterator[str]:
    """Yield a line for each read with news, and one for those in a row that brought nothing new at all."""
    for is_news, group in groupby(reads, lambda read: bool(read.answers or read.alike)):
        found = list(group)
        if is_news or len(found) == 1:
            yield from map(_line, found)
            continue
        nodes = ", ".join(dict.fromkeys(read.node for read in found))
        probes = count(sum(read.probes for read in found), "probe")
        until = f"lines {found[0].line} to {found[-1].repeated_line} of journal.jsonl"
        yield f"{clock(found[0].started)} {nodes}: {len(found)} requests, {probes}, all answered as before ({until})"


def _line(read: Read) -> str:
    """A read whose news are a word or two, as a line."""
    news = [f"{_name(answer)}: {answer.stdout.strip()} (line {answer.line})" for answer in read.answers]
    news += _referred(read)
    return f"{clock(read.started)} {read.node}, {duration(read.seconds)}: {'; '.join(news)}"


def _name(answer: Answer) -> str:
    return answer.id if len(answer.id) <= BRIEF else answer.id[: BRIEF - 1] + "…"


def _fold(reads: Sequence[Command], content: Html) -> Html:
    nodes = ", ".join(dict.fromkeys(read.node for read in reads))
    probes = sum(read.probes for read in reads if isinstance(read, Read))
    told = f" {count(len(reads), 'request')}, {count(probes, 'probe')}, all answered"
    summary = join([tag("span", nodes, css="pve-node"), tag("span", told, css="pve-name")])
    return details(summary, content, css="pve-read")


def _command(command: Command) -> Html:
    match command:
        case Action():
            return _action(command)
        case Read():
            return _read(command)
        case GateCommand():
            return _gate_command(command)


def _action(action: Action) -> Html:
    told = [clock(action.started), f"exit status {action.exit_status}", duration(action.seconds)]
    if action.exit_status is None:
        told[1] = action.error or "no exit status"
    head = [
        badge(action.outcome),
        " ",
        tag("span", action.node, css="pve-node"),
        " ",
        tag("b", action.name),
        " ",
        tag("span", " · ".join(told), css="pve-meta"),
    ]
    reasons = [("Why", action.why), ("Undo", action.undo)]
    if action.exit_status is not None and action.error is not None:
        reasons.append(("Error", action.error))
    if action.stdin_sha256 is not None:
        reasons.append(("Input", f"SHA-256 {action.stdin_sha256}"))
    parts = [
        tag("p", join(head)),
        tag("pre", shell(action.argv), css="pve-command"),
        *(tag("p", join([tag("b", f"{name}: "), text])) for name, text in reasons if text),
        output(action.stdout, action.stderr, action.line),
    ]
    return tag("div", join(parts), css="pve-action")


def _read(read: Read) -> Html:
    missing = read.unanswered
    answered = "all answered" if not missing else f"{len(missing)} without an answer"
    told = f"{count(read.probes, 'probe')}, {duration(read.seconds)}, {answered}"
    summary = join(
        [
            tag("span", read.node, css="pve-node"),
            " ",
            tag("span", told, css="pve-missing" if missing else "pve-name"),
            " ",
            tag("span", clock(read.started), css="pve-meta"),
        ]
    )
    fresh = sorted(read.answers, key=lambda answer: answer.is_answered)
    parts = [tag("ul", join(map(_answer, fresh)), css="pve-probes")] if fresh else []
    parts += [tag("p", told, css="pve-label") for told in _referred(read)]
    return details(summary, join(parts), css="pve-read", is_open=False)


def _is_brief(answer: Answer) -> bool:
    said = answer.stdout.strip()
    return answer.exit_status == 0 and len(said) <= BRIEF and "\n" not in said and not answer.stderr


def _referred(read: Read) -> Iterator[str]:
    """Yield what was said before, by the node itself and by others, with where it stands."""
    for answers, how in ((read.repeated, "as before"), (read.alike, "as another node had")):
        if not answers:
            continue
        told = f"{count(len(answers), 'probe')} answered {how}"
        if len(answers) > MANY:
            yield f"{told} (line {read.repeated_line})"
        else:
            yield f"{told}: {', '.join(f'{_name(answer)} (line {answer.line})' for answer in answers)}"


def _answer(answer: Answer) -> Html:
    told = []
    if answer.exit_status is not None and (answer.exit_status or not answer.is_answered):
        told.append(f"exit status {answer.exit_status}")
    if not answer.is_answered:
        told += [duration(answer.seconds), answer.error or "did not end in time"]
    command = shell(answer.argv)
    parts: list[str] = [tag("b", answer.id)]
    if len(command) <= SHORT or not answer.is_answered:
        parts += [" ", code(command)]
    if told:
        parts += [" ", tag("span", " · ".join(told), css="pve-meta" if answer.is_answered else "pve-missing")]
    parts.append(output(answer.stdout, answer.stderr, answer.line, ANSWER_CAP))
    return tag("li", join(parts))


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


def _gate_command(command: GateCommand) -> Html:
    summary = join(
        [
            tag("span", command.node, css="pve-node"),
            " testinfra: ",
            code(command.command),
            " ",
            tag("span", f"exit status {command.exit_status} · {duration(command.seconds)}", css="pve-meta"),
        ]
    )
    said = output(command.stdout, command.stderr, command.line)
    return details(summary, said or tag("p", "No output.", css="pve-label"), css="pve-read")


def _comparison(item: Continuity) -> Html:
    head = f"{item.label or 'Compared with the baseline'}: {words.survival(item)} ({clock(item.at)})"
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
