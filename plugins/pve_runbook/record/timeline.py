"""The run as one picture: phases across, nodes down, each change a mark, every running guest a line.

Inline SVG without a script. Every phase is as wide as every other, and within it time runs evenly: a wait for the
operator would otherwise leave no room for the rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from textwrap import wrap

from msgspec import Struct

from pve_runbook.journal.events import Approval
from pve_runbook.journal.rows import GuestRow
from pve_runbook.record import phrases
from pve_runbook.record.html_markup import Html, clock, esc, join, tag
from pve_runbook.record.model import Action, Phase, Record

LEFT, RIGHT = 92, 8
COLUMN = 112
"""The least width of a phase; fewer than eight share the width of the page."""
PAGE = 1100
HEAD = 62
"""Height of the phases' names."""
LANE = 20
"""Height of a node's marks, and of the operator's."""
GUEST = 5
"""Distance of two guests' lines."""
GAP = 12
LETTERS = 19
"""Letters of a phase's name in one line of its column."""


class _Axis(Struct, frozen=True):
    """Where a time stands: ``starts`` are the phases' beginnings in seconds, the end of the run last."""

    starts: tuple[float, ...]

    @property
    def column(self) -> float:
        """How wide a phase is."""
        return max(COLUMN, (PAGE - LEFT - RIGHT) / (len(self.starts) - 1))

    def x(self, stamp: str) -> float:
        """Return the place of a time; what lies outside the run stands at its border."""
        at = min(max(_seconds(stamp), self.starts[0]), self.starts[-1])
        column = min(bisect_right(self.starts, at) - 1, len(self.starts) - 2)
        begin, end = self.starts[column], self.starts[column + 1]
        within = (at - begin) / (end - begin) if end > begin else 0.0
        return LEFT + self.column * (column + within)

    @property
    def width(self) -> float:
        """Of the whole picture."""
        return LEFT + self.column * (len(self.starts) - 1) + RIGHT


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def timeline(record: Record) -> Html:
    """Return the picture of a run that changed something or was to; empty for a run without phases or times."""
    phases = [phase for phase in record.phases if phase.number is not None and phase.started]
    if not phases or not (record.actions or record.continuity):
        return Html()
    ends = max(_seconds(phrases.ended_at(record)), _seconds(phases[-1].started))
    axis = _Axis((*sorted(_seconds(phase.started) for phase in phases), ends))
    bands = _bands(record)
    compared = [(axis.x(item.at), {row.vmid: row for row in item.guests}) for item in record.continuity]
    parts = [*_columns(phases, axis)]
    y = HEAD
    if record.approvals:
        parts += [_label("Operator", y), *(_approval(item, axis, y) for item in record.approvals)]
        y += LANE + GAP
    for node, guests in bands.items():
        parts += [_label(node, y), *(_action(a, axis, y) for a in record.actions if a.node == node)]
        y += LANE
        for row in guests:
            parts.append(_guest(row, axis.x(record.baseline) if record.baseline else LEFT, compared, y))
            y += GUEST
        y += GAP
    shades = [_shade(phase, number, axis, y) for number, phase in enumerate(phases)]
    said = "Phases from left to right, nodes from top to bottom"
    size = {"viewBox": f"0 0 {axis.width:g} {y}", "width": f"{axis.width:g}", "height": str(y)}
    picture = tag("svg", join([tag("title", said), *shades, *parts]), role="img", **size)
    return join([tag("div", picture, css="pve-scroll pve-timeline", tabindex="0"), _legend(record)])


def _bands(record: Record) -> dict[str, list[GuestRow]]:
    """Return the running guests of every node, by the last comparison."""
    bands: dict[str, list[GuestRow]] = {node: [] for node in record.header.hosts}
    for action in record.actions:
        bands.setdefault(action.node, [])
    for row in record.survival.running if record.survival is not None else ():
        bands.setdefault(row.node, []).append(row)
    return bands


def _columns(phases: list[Phase], axis: _Axis) -> Iterator[Html]:
    for number, phase in enumerate(phases):
        x = LEFT + axis.column * number
        name = phrases.phase_name(phase).removeprefix("Phase ").partition(": ")
        short = f"{name[0]} {name[2]}".partition(":")[0].partition(",")[0]
        for line, part in enumerate(wrap(short, LETTERS)[:3]):
            yield _text(part, x + 4, 12 + 13 * line, "pve-svg-name")
        yield _text(clock(phase.started), x + 4, HEAD - 10, "pve-svg-time")


def _shade(phase: Phase, number: int, axis: _Axis, height: int) -> Html:
    css = f"pve-svg-phase pve-svg-{phase.outcome.replace(' ', '-')}"
    hint = tag("title", f"{phrases.phase_name(phase)}: {phase.outcome}")
    return _shape("rect", css, hint, x=LEFT + axis.column * number, y=0, width=axis.column - 2, height=height)


def _label(name: str, y: float) -> Html:
    shown = name if len(name) <= 13 else name[:12] + "…"
    return _text(shown, 2, y + 12, "pve-svg-node", name)


def _action(action: Action, axis: _Axis, y: float) -> Html:
    x = axis.x(action.started)
    hint = tag("title", f"{clock(action.started)} {action.node}: {action.name}, {action.outcome}")
    if action.outcome == "done":
        return _shape("rect", "pve-svg-done", hint, x=x - 1, y=y + 2, width=2.5, height=12)
    cross = f"M{x - 5:.1f} {y + 2}l10 12m0 -12l-10 12"
    return _shape("path", f"pve-svg-cross pve-svg-{action.outcome}", hint, d=cross)


def _approval(item: Approval, axis: _Axis, y: float) -> Html:
    x = axis.x(item.at)
    hint = tag("title", f"{clock(item.at)} {item.subject}: {item.answer} by {item.by} ({item.how})")
    if item.answer == "approved":
        return _shape("path", "pve-svg-approved", hint, d=f"M{x:.1f} {y + 1}l6 7l-6 7l-6 -7z")
    return _shape("path", "pve-svg-cross pve-svg-failed", hint, d=f"M{x - 5:.1f} {y + 2}l10 12m0 -12l-10 12")


def _guest(row: GuestRow, first: float, compared: Sequence[tuple[float, Mapping[int, GuestRow]]], y: float) -> Html:
    """A line from the baseline to the last comparison; broken where the guest was first seen to be another."""
    whole = end = first
    broken = False
    for end, guests in compared:
        now = guests.get(row.vmid)
        broken = broken or now is None or not now.ran_on
        whole = whole if broken else end
    told = f"{row.vmid} {row.name} on {row.node}: " + ("interrupted" if broken else "ran on")
    hint = tag("title", told)
    parts = [_shape("path", "pve-svg-guest", hint, d=f"M{first:.1f} {y}H{whole:.1f}")]
    if broken:
        parts.append(_shape("path", "pve-svg-broken", hint, d=f"M{end - 4:.1f} {y - 4}l8 8m0 -8l-8 8"))
        parts.append(_shape("path", "pve-svg-lost", hint, d=f"M{whole + 8:.1f} {y}H{end:.1f}"))
    return join(parts)


def _legend(record: Record) -> Html:
    said = "Upright marks: changes sent to a node (a cross: it failed, or its outcome is unknown). "
    if record.approvals:
        said += "Diamonds: the operator approved. "
    if record.continuity:
        said += "Lines: the guests that ran, unbroken as long as process and start time are the same. "
    if record.samples:
        gone = sorted({vmid for sample in record.samples for vmid in sample.gone})
        missing = f"missing then: {', '.join(gone)}" if gone else "none was missing"
        said += f"While nodes left, every guest's process was looked for {len(record.samples)} times; {missing}. "
    return tag("p", f"{said}Each phase is drawn equally wide; times are UTC.", css="pve-label")


def _text(text: str, x: float, y: float, css: str, hint: str = "") -> Html:
    return _shape("text", css, join([esc(text), tag("title", hint) if hint else ""]), x=x, y=y)


def _shape(name: str, css: str, content: str, **attributes: float | str) -> Html:
    given = {key: value if isinstance(value, str) else f"{value:g}" for key, value in attributes.items()}
    return tag(name, content, css=css, **given)
