"""The first part of the change record as HTML: the verdict, and everything a ticket needs on one page.

Static: it reads without a script and without a network. Text from nodes and people is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator

from pve_runbook.record import words
from pve_runbook.record.fields import Scalar
from pve_runbook.record.html_detail import detail_html
from pve_runbook.record.markup import (
    NOTHING,
    Html,
    badge,
    clock,
    code,
    count,
    date_time,
    duration,
    join,
    pairs,
    short_hash,
    shown,
    size,
    table,
    tag,
)
from pve_runbook.record.parts import Continuity, GuestRow, NodeRow, Record

__all__ = ["detail_html", "summary_html"]


def summary_html(record: Record, journal_head: str = "") -> str:
    """Return the part that is read first: verdict, facts, phases, survival, approvals, backups, what is left.

    Self-contained markup for the top of a page; ``style.css`` beside this module dresses it.
    ``journal_head`` is the SHA-256 of the journal's last line; empty while the journal is still written.
    """
    sections = [
        _banner(record),
        _stopped(record),
        _notes(record, "left", "What is left for you"),
        _section("Facts", _facts(record, journal_head)),
        _section("Phases", _phases(record)),
        _continuity(record),
        _approvals(record),
        _backups(record),
        _notes(record, "undo", "The way back"),
        _notes(record, "earlier", "What earlier attempts did, which this run took up"),
        _notes(record, "article", "Where this differs from the article, and why"),
    ]
    return tag("div", join(sections), css="pve-record")


def _section(title: str, *content: str) -> Html:
    return tag("section", join([tag("h2", title), *content]))


def _banner(record: Record) -> Html:
    judgement = words.judgement(record)
    lines = [
        tag("p", f"{words.kind(record)} · {words.ending(record)}", css="pve-kind"),
        tag("p", words.verdict(record), css="pve-verdict"),
    ]
    if record.survival is not None:
        lines.append(tag("p", f"{words.survival(record.survival)}."))
        lines.extend(tag("p", f"{what}.", css="pve-changed") for what in words.changed(record.survival))
    following = words.what_next(record)
    if following:
        lines.append(tag("p", join([tag("b", "Next: "), tag("span", following, css="pve-next")])))
    return tag("header", join(lines), css=f"pve-banner pve-is-{judgement}")


def _stopped(record: Record) -> Html:
    steps = words.stopped_at(record)
    if not steps:
        return Html()
    items = [
        tag(
            "li",
            join(
                [
                    badge(step.outcome),
                    " ",
                    tag("b", step.title),
                    f" ({step.node or 'all nodes'}, {clock(step.started)})",
                    tag("pre", step.message, css="pve-message") if step.message else "",
                ]
            ),
        )
        for step in steps
    ]
    content = [tag("ul", join(items), css="pve-list")]
    if words.blocked(record):
        content.append(tag("p", f"{count(words.blocked(record), 'step')} after that did not run."))
    return _section("Where it stopped" if record.header.mode == "runbook" else "What did not hold", *content)


def _facts(record: Record, journal_head: str) -> Html:
    header = record.header
    authority = words.authority(record)
    evidence = [tag("li", words.said(node, text)) for node, text in words.merged(record.topic("authority"))]
    rows: list[tuple[str, str]] = [
        ("Cluster", header.cluster or NOTHING),
        ("Nodes", ", ".join(header.hosts) or NOTHING),
        ("Operator", header.operator or NOTHING),
        ("Ticket", header.ticket or NOTHING),
        ("Started", date_time(header.started)),
        ("Ended" if record.end is not None else "Last event", _ended(record)),
        ("Command", code(header.command) if header.command else NOTHING),
        ("Code", " · ".join(filter(None, [header.code, header.version and f"version {header.version}"]))),
        ("Run", header.run or NOTHING),
    ]
    if journal_head:
        rows.append(("Journal head", code(journal_head)))
    if evidence:
        rows.insert(2, ("Authority", join([tag("b", authority or ""), tag("ul", join(evidence), css="pve-list")])))
    return pairs(rows)


def _ended(record: Record) -> str:
    took = words.took(record)
    return date_time(words.ended_at(record)) + (f" ({took})" if took else "")


def _phases(record: Record) -> Html:
    rows = [
        [
            words.phase_name(phase),
            badge(phase.outcome),
            words.steps_passed(phase),
            clock(phase.started),
            duration(phase.seconds) if phase.started else NOTHING,
        ]
        for phase in record.phases
    ]
    if not rows:
        return tag("p", "No step was started.")
    return table(["Phase", "Outcome", "Steps passed", "Start (UTC)", "Duration"], rows, css="pve-phases")


def _continuity(record: Record) -> Html:
    last = record.survival
    if last is None:
        if record.header.mode == "checks":
            return Html()
        return _section("Guests before and after", tag("p", "The run ended before guests were compared."))
    caption = f"{words.survival(last)}. Compared at {date_time(last.at)}"
    caption += f": {last.label}." if last.label else "."
    return _section("Guests before and after", tag("p", caption), *guest_tables(last))


def guest_tables(item: Continuity) -> Iterator[Html]:
    """Yield the table of guests and the table of nodes; what changed stands first."""
    head = [
        "Guest", "Node", "Kind", "Result", "pid before", "after", "Started before", "after",
        "Config before", "after", "Owner before", "after", "Volumes before", "after",
    ]  # fmt: skip
    guests = sorted(item.guests, key=lambda row: row.same)
    yield table(head, (_guest(row) for row in guests), css="pve-compare")
    nodes = sorted(item.nodes, key=lambda row: row.same)
    yield table(["Node", "Result", "boot_id before", "after"], (_node(row) for row in nodes), css="pve-compare")


def _guest(row: GuestRow) -> list[str]:
    return [
        f"{shown(row.vmid)} {row.name}",
        row.node,
        row.kind,
        badge("same" if row.same else "changed"),
        *_both(row.pid_before, row.pid_after),
        *_both(row.start_before, row.start_after),
        *_both(row.config_before, row.config_after, hashed=True),
        *_both(row.owner_before, row.owner_after),
        *_both(row.volumes_before, row.volumes_after),
    ]


def _node(row: NodeRow) -> list[str]:
    return [row.node, badge("same" if row.same else "changed"), *_both(row.boot_before, row.boot_after)]


def _both(before: Scalar, after: Scalar, hashed: bool = False) -> tuple[str, str]:
    word = short_hash if hashed else shown
    then = tag("span", word(after), css="pve-changed") if before != after else word(after)
    return word(before), then


def _approvals(record: Record) -> Html:
    if not record.approvals:
        if record.header.mode == "checks":
            return Html()
        return _section("Approvals", tag("p", "The run ended before the operator was asked anything."))
    rows = [
        [
            date_time(item.at),
            NOTHING if item.phase is None else str(item.phase),
            item.subject,
            badge(item.answer),
            item.how,
            item.by,
            tag("span", item.text, css="pve-lines"),
        ]
        for item in record.approvals
    ]
    return _section(
        "Approvals", table(["Time", "Phase", "For", "Answer", "How", "By", "What was asked"], rows, css="pve-approvals")
    )


def _backups(record: Record) -> Html:
    notes = [tag("p", _at(node, text)) for node, text in words.merged(record.topic("backup"))]
    if not record.transfers:
        if record.header.mode == "checks":
            return Html()
        return _section("Backups", *notes, tag("p", "No backup was pulled to this machine."))
    rows = [
        [
            item.node,
            code(item.file),
            tag("span", size(item.size), title=f"{item.size} bytes"),
            code(item.sha256),
        ]
        for item in record.transfers
    ]
    where = tag("p", join(["Pulled into the folder ", code("backups"), " beside this report."]))
    return _section("Backups", where, *notes, table(["Node", "File", "Size", "SHA-256"], rows))


def _notes(record: Record, topic: str, title: str) -> Html:
    items = words.merged(record.topic(topic))
    return _section(title, _list(items)) if items else Html()


def _list(items: list[tuple[str, str]]) -> Html:
    return tag("ul", join(tag("li", _at(node, text)) for node, text in items), css="pve-list")


def _at(node: str, text: str) -> Html:
    return join([tag("b", f"{node}: ") if node else "", tag("span", text, css="pve-lines")])
