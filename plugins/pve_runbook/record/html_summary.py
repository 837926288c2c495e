"""The first part of the change record as HTML: the verdict, and everything a ticket needs on one page.

Static: it reads without a script and without a network. Text from nodes and people is escaped.
"""

from __future__ import annotations

import shlex

from pve_runbook.probes.probe import BACKUP_ROOT
from pve_runbook.record import phrases
from pve_runbook.record.html_detail import detail_html
from pve_runbook.record.html_markup import (
    NOTHING,
    Html,
    badge,
    clock,
    code,
    count,
    date_time,
    details,
    join,
    pairs,
    size,
    table,
    tag,
)
from pve_runbook.record.html_tables import change_table, guest_tables, phase_grid, waited_table
from pve_runbook.record.model import Record
from pve_runbook.record.timeline import timeline

__all__ = ["detail_html", "summary_html"]


def summary_html(record: Record, journal_head: str = "") -> str:
    """Return the part that is read first: verdict, what was done, phases, survival, approvals, backups, what is left.

    Self-contained markup for the top of a page; ``style.css`` beside this module dresses it.
    ``journal_head`` is the SHA-256 of the journal's last line; empty while the journal is still written.
    """
    is_reading = record.header.mode == "checks"
    sections = [
        _banner(record),
        _notes(record, "verdict", "Why this verdict") if is_reading else Html(),
        _stopped(record),
        _planned(record),
        _notes(record, "left", "What is left for you"),
        _notes(record, "rehearsed", "What was rehearsed"),
        _notes(record, "twin", "What the twin could not know"),
        _section("What was done, by whom, on which nodes", _facts(record, journal_head)),
        _timeline(record),
        _section("Phases and nodes", phase_grid(record)),
        _waited(record),
        _continuity(record),
        _approvals(record),
        Html() if is_reading else _notes(record, "verdict", "What the cluster was like before the first change"),
        _notes(record, "accepted", "What the operator accepted by name"),
        _notes(record, "undo", "How to undo all of it"),
        _changes(record),
        _backups(record),
        _notes(record, "earlier", "What earlier attempts did, which this run took up"),
        _notes(record, "article", "Where this differs from the article, and why"),
    ]
    return tag("div", join(sections), css=f"pve-record {phrases.mode_class(record)}")


def _section(title: str, *content: str) -> Html:
    return tag("section", join([tag("h2", title), *content]))


def _banner(record: Record) -> Html:
    judgement = phrases.judgement(record)
    lines = [
        tag("p", f"{phrases.kind(record)} · {phrases.ending(record)}", css="pve-kind"),
        tag("p", phrases.verdict(record), css="pve-verdict"),
    ]
    if record.header.mode in phrases.ON_NO_REAL_NODE:
        lines.append(tag("p", phrases.ON_NO_REAL_NODE[record.header.mode], css="pve-changed"))
    for label, text in (("Cause", phrases.cause(record)), ("Next", phrases.what_next(record))):
        if text:
            lines.append(tag("p", join([tag("b", f"{label}: "), tag("span", text, css="pve-next")])))
    if record.survival is not None:
        lines.append(tag("p", f"{phrases.interrupted(record.survival)}."))
        lines.append(tag("p", f"{phrases.survival(record.survival)}."))
        lines.extend(tag("p", f"{what}.", css="pve-changed") for what in phrases.changed(record.survival))
    return tag("header", join(lines), css=f"pve-banner pve-is-{judgement}")


def _stopped(record: Record) -> Html:
    steps = phrases.stopped_at(record)
    if not steps:
        return Html()
    above = {note.text.strip() for note in record.topic("verdict")}
    items = [
        tag(
            "li",
            join(
                [
                    badge(step.outcome),
                    " ",
                    tag("b", phrases.step_title(step)),
                    f" ({step.node or 'all nodes'}, {clock(step.started)})",
                    tag("pre", step.message, css="pve-message")
                    if step.message and step.message.strip() not in above
                    else "",
                ]
            ),
        )
        for step in steps
    ]
    content = [tag("ul", join(items), css="pve-list")]
    if phrases.blocked(record):
        content.append(tag("p", f"{count(phrases.blocked(record), 'step')} after that did not run."))
    return _section("What failed, or is unknown" if record.header.mode == "checks" else "Where it stopped", *content)


def _facts(record: Record, journal_head: str) -> Html:
    header = record.header
    authority = phrases.authority(record)
    evidence = [tag("li", phrases.said(node, text)) for node, text in phrases.merged(record.topic("authority"))]
    rows: list[tuple[str, str]] = [
        ("Cluster", header.cluster or NOTHING),
        ("Nodes", ", ".join(header.hosts) or NOTHING),
        ("Operator", header.operator or NOTHING),
        ("Ticket", header.ticket or NOTHING),
        ("Changes", phrases.changes(record)),
        ("Approved", phrases.approved(record) or NOTHING),
        ("Started", date_time(header.started)),
        ("Ended" if record.end is not None else "Last event", _ended(record)),
        ("Command", code(header.command) if header.command else NOTHING),
        ("Code", " · ".join(filter(None, [header.code, header.version and f"version {header.version}"]))),
        ("Run", header.run or NOTHING),
        ("Record", code(header.folder) if header.folder else NOTHING),
        ("Sent", str(record.sent)),
    ]
    if journal_head:
        rows.append(("Journal head", code(journal_head)))
    if evidence:
        rows.insert(2, ("Authority", join([tag("b", authority or ""), tag("ul", join(evidence), css="pve-list")])))
    return pairs(rows)


def _ended(record: Record) -> str:
    took = phrases.took(record)
    return date_time(phrases.ended_at(record)) + (f" ({took})" if took else "")


def _waited(record: Record) -> Html:
    spent = waited_table(record)
    return _section("Where the time went", spent) if spent else Html()


def _timeline(record: Record) -> Html:
    picture = timeline(record)
    return _section("Timeline", picture) if picture else Html()


def _changes(record: Record) -> Html:
    changes = change_table(record)
    if not changes:
        return Html()
    told = "Each kind of change once; every command with its output stands under its phase below."
    return _section("What was changed, and how each change is undone", tag("p", told), changes)


def _continuity(record: Record) -> Html:
    last = record.survival
    if last is None:
        if record.header.mode in ("checks", "plan"):
            return Html()
        return _section("Guests before and after", tag("p", "The run ended before guests were compared."))
    caption = f"{phrases.survival(last)}. Compared at {date_time(last.at)}"
    caption += f": {last.label}." if last.label else "."
    return _section("Guests before and after", tag("p", caption), *guest_tables(last))


def _planned(record: Record) -> Html:
    """What a plan names; a run's own commands stand in its phases."""
    plan = record.plan
    if plan is None or record.header.mode != "plan":
        return Html()
    rows = [
        [NOTHING if c.phase is None else str(c.phase), c.node, code(shlex.join(c.argv)), c.why, c.undo]
        for c in plan.commands
    ]
    told = f"Plan {plan.hash}: {count(len(rows), 'command')}. Names in capitals stand for values that the run has."
    return _section("What a run would send", tag("p", told), table(["Phase", "Node", "Command", "Why", "Undo"], rows))


def _approvals(record: Record) -> Html:
    if not record.approvals:
        if record.header.mode != "runbook":
            return Html()
        return _section("Approvals", tag("p", "The run ended before the operator was asked anything."))
    rows = [
        [
            date_time(item.at),
            NOTHING if item.phase is None else str(item.phase),
            item.subject,
            badge(item.answer),
            item.how + (f" (plan {item.plan})" if item.plan else ""),
            item.by,
            _asked(item.text),
        ]
        for item in record.approvals
    ]
    return _section(
        "Approvals", table(["Time", "Phase", "For", "Answer", "How", "By", "What was asked"], rows, css="pve-approvals")
    )


def _asked(text: str) -> Html:
    """The question's first line, the rest of it folded: who approved what has to fit one screen."""
    first, _, rest = text.strip().partition("\n")
    return details(first, tag("p", rest, css="pve-lines"), css="pve-asked") if rest else tag("span", first)


def _backups(record: Record) -> Html:
    notes = [tag("p", _at(node, text)) for node, text in phrases.merged(record.topic("backup"))]
    if not record.transfers:
        if record.header.mode in ("checks", "plan"):
            return Html()
        return _section("Backups", *notes, tag("p", "No backup was pulled to this machine."))
    rows = [
        [
            item.node,
            code(f"backups/{item.node}/{item.file}"),
            tag("span", size(item.size), title=f"{item.size} bytes"),
            code(item.sha256),
        ]
        for item in record.transfers
    ]
    where = tag("p", join(_where(record)))
    return _section("Backups", where, *notes, table(["Node", "File", "Size", "SHA-256"], rows))


def _where(record: Record) -> list[str]:
    folder = code(f"{record.header.folder or '.'}/backups")
    here = ["On the control host, where ", record.header.operator, " ran this: ", folder, " (secret: never attach it)."]
    if not record.header.work:
        return here
    there = code(f"{BACKUP_ROOT}/{record.header.work}")
    return [*here, " On each node that was backed up: ", there, "."]


def _notes(record: Record, topic: str, title: str) -> Html:
    items = phrases.merged(record.topic(topic))
    return _section(title, _list(items)) if items else Html()


def _list(items: list[tuple[str, str]]) -> Html:
    return tag("ul", join(tag("li", _at(node, text)) for node, text in items), css="pve-list")


def _at(node: str, text: str) -> Html:
    return join([tag("b", f"{node}: ") if node else "", tag("span", text, css="pve-lines")])
