"""The change record to paste (Markdown) and to process (JSON)."""

from __future__ import annotations

import re
from dataclasses import asdict

from pve_runbook.record import words
from pve_runbook.record.markup import clock, count, date_time, duration, size
from pve_runbook.record.parts import Action, Command, Continuity, GateCommand, Phase, Planned, Read, Record, Step

SCHEMA_VERSION = 3
"""Of record.json; docs/record.schema.json describes it. Counted up when a field goes or means something else."""

MAX_PHASES = 8
"""Rows of the phase table in Markdown: the text stays within 25 lines."""

MAX_ITEM = 200
"""Characters of one item: a ticket is not the place for the whole text."""


def summary_md(record: Record, journal_head: str = "") -> str:
    """Return at most 25 lines of Markdown: verdict, what, who, when, phases, what is left, what next.

    ``journal_head`` is the SHA-256 of the journal's last line; empty while the journal is still written.
    """
    header = record.header
    title = f"# Change record: cluster {header.cluster or 'unknown'}, {date_time(header.started)}"
    if header.ticket:
        title += f", {header.ticket}"
    lines = [
        _md(title),
        "",
        f"**{words.kind(record)}, {words.judgement(record)}** ({_md(words.ending(record))}): "
        + _md(words.verdict(record)),
        "",
        *(f"- {line}" for line in _facts(record, journal_head)),
        "",
        "| Phase | Outcome | Steps passed | Start (UTC) | Duration |",
        "| --- | --- | --- | --- | --- |",
        *(_row(phase) for phase in record.phases[:MAX_PHASES]),
    ]
    more = len(record.phases) - MAX_PHASES
    if more > 0:
        lines.append(f"| and {more} more, see report.html | | | | |")
    return "\n".join(lines) + "\n"


def _facts(record: Record, journal_head: str) -> list[str]:
    header = record.header
    took = words.took(record)
    authority = words.authority(record)
    facts = [
        f"Nodes: {_md(', '.join(header.hosts))}" + (f" (authority: {_md(authority)})" if authority else ""),
        f"By {_md(header.operator)}, until {date_time(words.ended_at(record))}{took and f' ({took})'}",
        f"Command: {_code(header.command)} ({_md(header.code)})",
    ]
    if record.survival is not None:
        facts.append(f"{_md(words.interrupted(record.survival))}; {words.survival(record.survival)}")
    facts.extend(f"Stopped at: {_md(_stop(step))}" for step in words.stopped_at(record)[:1])
    if record.approvals:
        facts.append(f"Approved: {_md(words.approved(record))}")
    proof = []
    if record.transfers:
        total = sum(item.size or 0 for item in record.transfers)
        proof.append(f"Backups: {count(len(record.transfers), 'file')}, {size(total)}, hashes in record.json")
    if journal_head:
        proof.append(f"Journal head: `{journal_head}`")
    if proof:
        facts.append("; ".join(proof))
    left = [words.said(node, text) for node, text in words.merged(record.topic("left"))]
    if left:
        facts.append(f"Left to do ({len(left)}): {_md('; '.join(left))}")
    following = words.what_next(record)
    if following:
        facts.append(f"Next: {_md(following)}")
    return facts


def _stop(step: Step) -> str:
    said = f"{step.title} ({step.node})" if step.node else step.title
    return f"{said}: {step.outcome}. {step.message}"


def _row(phase: Phase) -> str:
    took = duration(phase.seconds) if phase.started else ""
    cells = [
        _md(words.phase_name(phase)),
        phase.outcome,
        words.steps_passed(phase),
        clock(phase.started),
        took,
    ]
    return f"| {' | '.join(cells)} |"


def _flat(text: str) -> str:
    line = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    return line if len(line) <= MAX_ITEM else line[: MAX_ITEM - 1] + "…"


def _md(text: str) -> str:
    """Return one line of text that Markdown shows as it is, with no markup and no HTML in it."""
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", _flat(text)).replace("<", "&lt;")


def _code(text: str) -> str:
    """Return a literal; the fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {_flat(text)} {fence}" if longest else f"{fence}{_flat(text)}{fence}"


def record_json(record: Record, journal_head: str) -> dict[str, object]:
    """Return the record without the outputs of commands, made of JSON types only.

    ``journal_head`` is the SHA-256 of the journal's last line, which names the journal as a whole.
    Reads are folded: how many probes were asked, and which did not answer.
    """
    end = record.end
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": words.kind(record),
        "judgement": words.judgement(record),
        "verdict": words.verdict(record),
        "next": words.what_next(record),
        "exit_status": end.exit_status if end is not None else None,
        "signal": end.signal if end is not None else None,
        "ended": words.ended_at(record),
        "run": {**asdict(record.header), "hosts": list(record.header.hosts)},
        "authority": words.authority(record),
        "sent": asdict(record.sent),
        "phases": [_phase(phase) for phase in record.phases],
        "outside": [_command(command) for command in record.outside],
        "baseline": record.baseline or None,
        "approvals": [asdict(item) for item in record.approvals],
        "plan": _plan(record.plan) if record.plan is not None else None,
        "transfers": [asdict(item) for item in record.transfers],
        "notes": [asdict(item) for item in record.notes],
        "continuity": [_comparison(item, is_last=item is record.survival) for item in record.continuity],
        "samples": [{"at": item.at, "gone": list(item.gone)} for item in record.samples],
        "journal_head": journal_head,
    }


def _comparison(item: Continuity, is_last: bool) -> dict[str, object]:
    return {
        "line": item.line,
        "at": item.at,
        "phase": item.phase,
        "label": item.label,
        "compared": len(item.guests),
        "guests": [asdict(row) for row in item.guests if is_last or not row.same],
        "nodes": [asdict(row) for row in item.nodes],
    }


def _plan(plan: Planned) -> dict[str, object]:
    return {"hash": plan.hash, "commands": [{**asdict(c), "argv": list(c.argv)} for c in plan.commands]}


def _phase(phase: Phase) -> dict[str, object]:
    return {
        "phase": phase.number,
        "title": phase.title,
        "outcome": phase.outcome,
        "started": phase.started or None,
        "seconds": round(phase.seconds, 3),
        "steps_passed": phase.passed,
        "steps_total": len(phase.steps),
        "lines": list(phase.lines),
        "steps": [_step(step) for step in phase.steps],
    }


def _step(step: Step) -> dict[str, object]:
    return {
        "nodeid": step.nodeid,
        "title": step.title,
        "node": step.node,
        "outcome": step.outcome,
        "started": step.started or None,
        "seconds": step.seconds,
        "message": step.message,
        "commands": [_command(command) for command in step.commands],
    }


def _command(command: Command) -> dict[str, object]:
    match command:
        case Action():
            return {
                "kind": "action",
                "line": command.line,
                "node": command.node,
                "name": command.name,
                "argv": list(command.argv),
                "why": command.why,
                "undo": command.undo,
                "started": command.started,
                "seconds": command.seconds,
                "stdin_sha256": command.stdin_sha256,
                "outcome": command.outcome,
                "exit_status": command.exit_status,
                "error": command.error,
            }
        case Read():
            return {
                "kind": "read",
                "line": command.line,
                "node": command.node,
                "started": command.started,
                "seconds": command.seconds,
                "probes": command.probes,
                "unanswered": [{"id": item.id, "error": item.error} for item in command.unanswered],
            }
        case GateCommand():
            return {
                "kind": "testinfra",
                "line": command.line,
                "node": command.node,
                "command": command.command,
                "started": command.started,
                "seconds": command.seconds,
                "exit_status": command.exit_status,
            }
