"""The change record to paste: summary.md."""

from __future__ import annotations

import re

from pve_runbook.record import phrases
from pve_runbook.record.html_markup import clock, count, date_time, duration, size
from pve_runbook.record.model import Phase, Record, Step

MAX_PHASES = 8
"""Rows of the phase table in Markdown: the text stays within 25 lines."""

MAX_ITEM = 200
"""Characters of one item: a ticket is not the place for the whole text."""


def summary_md(record: Record, journal_head: str = "") -> str:
    """Return at most 25 lines of Markdown: verdict, cause, what next, what is left; then who, when, phases.

    ``journal_head`` is the SHA-256 of the journal's last line; empty while the journal is still written.
    """
    header = record.header
    title = f"# Change record: cluster {header.cluster or 'unknown'}, {date_time(header.started)}"
    if header.ticket:
        title += f", {header.ticket}"
    lines = [
        _md(title),
        "",
        f"**{phrases.kind(record)}, {phrases.judgement(record)}** ({_md(phrases.ending(record))}): "
        + _md(phrases.verdict(record)),
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
    took = phrases.took(record)
    authority = phrases.authority(record)
    cause = phrases.cause(record)
    facts = [f"Cause: {_md(cause)}"] if cause and header.mode == "checks" else []
    facts.extend(f"Stopped at: {_md(_stop(step))}" for step in phrases.stopped_at(record)[:1])
    following = phrases.what_next(record)
    if following:
        facts.append(f"Next: {_md(following)}")
    left = [phrases.said(node, text) for node, text in phrases.merged(record.topic("left"))]
    if left:
        facts.append(f"Left to do ({len(left)}): {_md('; '.join(left))}")
    if record.survival is not None:
        facts.append(f"{_md(phrases.interrupted(record.survival))}; {phrases.survival(record.survival)}")
    facts += [
        f"Nodes: {_md(', '.join(header.hosts))}" + (f" (authority: {_md(authority)})" if authority else ""),
        f"By {_md(header.operator)}, until {date_time(phrases.ended_at(record))}{took and f' ({took})'}",
        f"Command: {_code(header.command)} ({_md(header.code)})",
    ]
    if record.approvals:
        facts.append(f"Approved: {_md(phrases.approved(record))}")
    proof = []
    if record.transfers:
        total = sum(item.size or 0 for item in record.transfers)
        proof.append(f"Backups: {count(len(record.transfers), 'file')}, {size(total)}, hashes in record.json")
    if journal_head:
        proof.append(f"Journal head: `{journal_head}`")
    if proof:
        facts.append("; ".join(proof))
    return facts


def _stop(step: Step) -> str:
    said = f"{step.title} ({step.node})" if step.node else step.title
    return f"{said}: {step.outcome}. {step.message}"


def _row(phase: Phase) -> str:
    took = duration(phase.seconds) if phase.started else ""
    cells = [
        _md(phrases.phase_name(phase)),
        phase.outcome,
        phrases.steps_passed(phase),
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
