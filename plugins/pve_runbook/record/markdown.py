"""The change record to paste: summary.md."""

from __future__ import annotations

import re

from pve_runbook.record import phrases
from pve_runbook.record.html_markup import clock, count, date_time, duration, size
from pve_runbook.record.model import Phase, Record, Step

MAX_PHASES = 8
"""Rows of the phase table in Markdown: the text stays within 25 lines, and a line for each thing that is left to do."""


def summary_md(record: Record, journal_head: str = "") -> str:
    """Return at most 25 lines of Markdown, and one more for each thing that is left to do: verdict, cause, what next,
    what is left; then who, when, phases. Nothing of it is cut.

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
        *_facts(record, journal_head),
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
    lines = [f"- Cause: {_md(cause)}"] if cause and header.mode == "checks" else []
    lines += [f"- Stopped at: {_md(_stop(step))}" for step in phrases.stopped_at(record)[:1]]
    following = phrases.what_next(record)
    if following:
        lines.append(f"- Next: {_md(following)}")
    left = [phrases.said(node, text) for node, text in phrases.merged(record.topic("left"))]
    if left:
        lines += [f"- Left to do ({len(left)}):", *(f"  - {_md(text)}" for text in left)]
    facts = []
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
    return [*lines, *(f"- {fact}" for fact in facts)]


def _stop(step: Step) -> str:
    where = f"{step.node}, {step.outcome}" if step.node else step.outcome
    return (
        f"{step.message} ({where}; {phrases.step_title(step)})"
        if step.message
        else f"{phrases.step_title(step)} ({where})"
    )


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
    return " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())


def _md(text: str) -> str:
    """Return one line of text that Markdown shows as it is, with no markup and no HTML in it."""
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", _flat(text)).replace("<", "&lt;")


def _code(text: str) -> str:
    """Return a literal; the fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {_flat(text)} {fence}" if longest else f"{fence}{_flat(text)}{fence}"
