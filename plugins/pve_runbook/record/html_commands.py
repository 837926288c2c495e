"""Every command of a run as HTML: changes, readings with their answers, and what gates of somebody's own asked.

What is the same many times is said once, with where it was so: a change that many nodes were sent, an answer that
differs from another one in a few lines. The whole of every answer is in journal.jsonl, by its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from msgspec.structs import replace

from pve_runbook.record.answer_diff import Likeness, Shown, alike_but_for_name
from pve_runbook.record.html_markup import (
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
    span,
    tag,
)
from pve_runbook.record.model import Action, Answer, Command, GateCommand, Read

FEW = 1
"""Requests in a row that stand by themselves; more are folded together."""

BRIEF = 60
"""Letters of one line up to which an answer stands in the line of its read."""

SHORT = 60
"""Letters of a command up to which it stands beside every answer; longer ones stand in the list of what was read."""

MANY = 8
"""Probes that answered as before are named up to here; more are a range of lines."""


class Commands:
    """Writes the commands of one page, from its top to its end: later ones refer to what stands above them."""

    def __init__(self) -> None:
        self._shown = Shown()

    def html(self, commands: Iterable[Command]) -> Html:
        """Return them in order; several reads in a row that were all answered are one fold."""
        parts: list[Html] = []
        sent: dict[object, Action] = {}
        for quiet, group in groupby(commands, lambda c: isinstance(c, Read) and not c.unanswered):
            found = list(group)
            shown = join(self._alike(found, sent))
            parts.append(_fold(found, shown) if quiet and len(found) > FEW else shown)
        return join(parts)

    def _alike(self, commands: Sequence[Command], sent: dict[object, Action]) -> Iterator[Html]:
        """Yield the reads in a row that brought hardly anything new as lines of one block, and changes in a row that
        are the same as one; everything else by itself."""
        for kind, group in groupby(commands, _kind):
            found = list(group)
            if kind == "brief":
                lines = _lines([c for c in found if isinstance(c, Read)])
                yield tag("pre", "\n".join(lines), css="pve-out pve-read")
            elif kind == "action":
                yield from _actions([c for c in found if isinstance(c, Action)], sent)
            else:
                yield from (self._read(c) for c in found if isinstance(c, Read))
                yield from (_gate_command(c) for c in found if isinstance(c, GateCommand))

    def _read(self, read: Read) -> Html:
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
        fresh = alike_but_for_name(sorted(read.answers, key=lambda answer: answer.is_answered))
        parts = [tag("ul", join(self._answer(read.node, group) for group in fresh), css="pve-probes")] if fresh else []
        parts += [tag("p", told, css="pve-label") for told in _referred(read)]
        return details(summary, join(parts), css="pve-read", is_open=False)

    def _answer(self, node: str, group: Sequence[Answer]) -> Html:
        """An answer, and after it the names of those that are the same but for their names."""
        answer, *others = group
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
        like = self._shown.likeness(node, answer, ANSWER_CAP) if answer.is_answered else None
        if like is None:
            parts.append(output(answer.stdout, answer.stderr, answer.line, ANSWER_CAP))
        else:
            parts += [" ", tag("span", _compared(node, like, answer), css="pve-meta")]
            parts.append(output(like.text, answer.stderr, answer.line, ANSWER_CAP))
        if others:
            named = ", ".join(f"{other.id.partition(':')[2]} (line {other.line})" for other in others)
            parts.append(tag("p", f"the same except for its name: {named}", css="pve-label"))
        return tag("li", join(parts))


def _compared(node: str, like: Likeness, answer: Answer) -> str:
    """Name the answer that another one is shown against, and where both are whole."""
    other = "this node's" if like.node == node else f"{like.node}'s"
    told = f"as {other} in line {like.line}" + (", except for:" if like.text else "")
    return f"(line {answer.line}) {told}"


def _kind(command: Command) -> str:
    match command:
        case Action():
            return "action"
        case Read():
            return "brief" if all(map(_is_brief, command.answers)) else "read"
        case GateCommand():
            return "testinfra"


def _actions(actions: Sequence[Action], sent: dict[object, Action]) -> Iterator[Html]:
    """Yield changes in a row, those that are the same and ended the same as one.

    ``sent`` holds what was sent above, in the same step: what a change is, why, and its undo are said once there.
    """
    groups: dict[object, list[Action]] = {}
    for action in actions:
        ended = replace(action, line=0, node="", started="", seconds=0.0)
        groups.setdefault(ended, []).append(action)
    for group in groups.values():
        first = group[0]
        what = replace(first, line=0, node="", started="", seconds=0.0, outcome="unknown", exit_status=None)
        what = replace(what, stdout="", stderr="", error=None)
        yield _action(group, sent.get(what))
        sent.setdefault(what, first)


def _action(group: Sequence[Action], above: Action | None) -> Html:
    """One change as it was sent to one node, or to several with the same outcome."""
    action = group[0]
    told = [span([a.started for a in group]), f"exit status {action.exit_status}", _durations(group)]
    if action.exit_status is None:
        told[1] = action.error or "no exit status"
    if len(group) > 1:
        told.insert(0, count(len(group), "time"))
    head = [
        badge(action.outcome),
        " ",
        tag("span", ", ".join(a.node for a in group), css="pve-node"),
        " ",
        tag("b", action.name),
        " ",
        tag("span", " · ".join(told), css="pve-meta"),
    ]
    reasons = [("Why", action.why), ("Undo", action.undo)]
    if action.stdin_sha256 is not None:
        reasons.append(("Input", f"SHA-256 {action.stdin_sha256}"))
    parts: list[str] = [tag("p", join(head))]
    if above is None:
        parts.append(tag("pre", shell(action.argv), css="pve-command"))
        parts += [tag("p", join([tag("b", f"{name}: "), text])) for name, text in reasons if text]
    else:
        same = f"Command, reason and undo as above, for {above.node} at {clock(above.started)}."
        parts.append(tag("p", same, css="pve-label"))
    if action.exit_status is not None and action.error is not None:
        parts.append(tag("p", join([tag("b", "Error: "), action.error])))
    parts.append(output(action.stdout, action.stderr, action.line))
    return tag("div", join(parts), css="pve-action")


def _durations(group: Sequence[Action]) -> str:
    least, most = (duration(of(action.seconds for action in group)) for of in (min, max))
    return least if least == most else f"{least} to {most}"


def _lines(reads: Sequence[Read]) -> Iterator[str]:
    """Yield a line for each read with news, and one for those in a row that brought nothing new at all."""
    for is_news, group in groupby(reads, lambda read: bool(read.answers)):
        found = list(group)
        if is_news or len(found) == 1:
            yield from map(_line, found)
            continue
        nodes = ", ".join(dict.fromkeys(read.node for read in found))
        probes = count(sum(read.probes for read in found), "probe")
        how = "as before or as another node had" if any(read.alike for read in found) else "as before"
        until = f"lines {found[0].line} to {found[-1].repeated_line} of journal.jsonl"
        yield f"{clock(found[0].started)} {nodes}: {len(found)} requests, {probes}, all answered {how} ({until})"


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
