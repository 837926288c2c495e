"""The plan in words: what plan.md holds and the terminal shows."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from pve_runbook.journal.rows import Command
from pve_runbook.plan import script_text
from pve_runbook.plan.model import Plan, Question, paragraphs
from pve_runbook.plan.script_steps import Steps
from pve_runbook.refusal.text import sentence

WIDTH = 80
NOT_EVALUATED = "not evaluated"
PASSED = "passed"
FOLDED = "{before} before, 1 after ({outcomes}); see --plan -v"
SCRIPT = "What {script} runs on {node}, in this order:"
SAME_SCRIPT = "What {script} runs on {node}: the same as on {first}, for the same reasons:"


class Gate(Struct, frozen=True):
    """A step of the runbook that judges, and how it ended for the plan."""

    title: str
    outcome: str = NOT_EVALUATED

    @property
    def said(self) -> str:
        """Its title, as a statement only where it passed."""
        return sentence(self.title, self.outcome)


class StageText(Struct, frozen=True):
    """A stage's place among the gates: those since the stage before it, and the one that judges its effect."""

    name: str
    phase: int
    before: Sequence[Gate]
    after: Gate


def plan_md(
    plan: Plan, stages: Sequence[StageText], phases: Mapping[int, str], made: str, hindered: str, *, folded: bool
) -> str:
    """The whole plan as Markdown.

    ``phases``: number → title. ``made``: when, and by which command line. ``hindered``: the first gate that does not
    hold now, in words, or "". ``folded``: all gates of a stage in one line, but for those that did not pass.
    """
    return "\n".join(_lines(plan, stages, phases, made, hindered, folded)) + "\n"


def _lines(
    plan: Plan, stages: Sequence[StageText], phases: Mapping[int, str], made: str, hindered: str, folded: bool
) -> Iterator[str]:
    yield f"# PLAN {plan.hash}: {plan.cluster}"
    yield ""
    yield from _wrapped(f"Nothing was changed. {made}")
    yield ""
    yield from _item(f"nodes: {', '.join(_identity(n.name, n.hostname) for n in plan.nodes)}")
    if plan.let_go:
        yield from _item(f"leaving: {', '.join(plan.let_go)}; the others stay a cluster")
    if plan.authority is not None:
        role = "stays, and lets the others go" if plan.let_go else "is given quorum first and leaves last"
        yield from _item(f"authority: {plan.authority}; it {role}")
    yield from _item(f"commands: {len(plan.commands)}")
    if hindered:
        yield from _item(f"as the nodes are now, the run stops before its first command, at {hindered}")
    shown = 0
    for number, title in phases.items():
        mine = [s for s in stages if s.phase == number]
        if not mine:
            continue
        yield ""
        yield f"## Phase {number}: {title}"
        for stage in mine:
            commands = [c for c in plan.commands if c.stage == stage.name]
            idle = [i for i in plan.idle if i.stage == stage.name]
            if commands or idle:
                asked = [q for q in plan.questions if q.stage == stage.name]
                yield from _stage(stage, commands, asked, plan.scripts, folded)
                for why in dict.fromkeys(i.why for i in idle):
                    names = ", ".join(i.node for i in idle if i.why == why)
                    yield from _item(f"{names}: nothing to do: {why}")
                shown += len(commands)
    assert shown == len(plan.commands), "every command stands in a phase"
    yield ""
    yield "## What cannot be known yet"
    yield ""
    for text in plan.unknown:
        yield from _item(text)


def _identity(name: str, hostname: str) -> str:
    return name if name == hostname else f"{name} ({hostname})"


def _stage(
    stage: StageText,
    commands: Sequence[Command],
    asked: Sequence[Question],
    scripts: Mapping[tuple[str, str], Steps],
    folded: bool,
) -> Iterator[str]:
    yield ""
    yield from _wrapped(f"### {stage.after.title}")
    yield ""
    if folded:
        yield from _folded(stage)
    else:
        for gate in stage.before:
            yield from _item(f"gate before: {gate.said} ({gate.outcome})")
    for question in asked:
        if question.node is None:
            yield from _question(question)
    groups: dict[tuple[str, str | None], list[Command]] = {}
    for command in commands:
        # What is asked per node is done node by node.
        groups.setdefault((command.line, command.node if any(q.node for q in asked) else None), []).append(command)
    told: set[str] = set()
    shown: dict[str, Steps] = {}
    for same in groups.values():
        first = same[0]
        for question in asked:
            if question.node == first.node and first.node not in told:
                yield from _question(question)
        told.add(first.node)
        yield from _item(f"{', '.join(c.node for c in same)}: `{first.line}`", keep=first.line)
        yield from _wrapped(f"why: {first.why}", "  ")
        yield from _wrapped(f"undo: {first.undo}", "  ")
        for command in same:
            steps = scripts.get((command.node, command.argv[-1]))
            if steps is not None and command.stdin_sha256 is None:
                yield from _script(command, steps, shown)
    if not folded:
        yield from _item(f"gate after: {stage.after.said} ({stage.after.outcome})")


def _folded(stage: StageText) -> Iterator[str]:
    """The gates of a stage in one line, and each that did not pass."""
    gates = (*stage.before, stage.after)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in Counter(g.outcome for g in gates).items())
    yield from _item("gates: " + FOLDED.format(before=len(stage.before), outcomes=outcomes))
    for gate in gates:
        if gate.outcome not in (PASSED, NOT_EVALUATED):
            yield from _item(f"{gate.outcome}, {gate.said}")


def _script(command: Command, steps: Steps, shown: dict[str, Steps]) -> Iterator[str]:
    """What a script runs: with every reason once, then its commands alone. ``shown``: node → what was shown of it."""
    script = command.argv[-1].rpartition("/")[2]
    first = next((node for node, others in shown.items() if others == steps), None)
    shown[command.node] = steps
    title = SCRIPT if first is None else SAME_SCRIPT
    yield ""
    yield from _wrapped(title.format(script=script, node=command.node, first=first), "  ")
    yield ""
    lines = script_text.listing(steps) if first is None else script_text.commands(steps)
    yield from (f"  {line}".rstrip() for line in ("```sh", *lines, "```"))
    yield ""


def _question(question: Question) -> Iterator[str]:
    yield from _item(f"asked: type {' or '.join(f'`{word}`' for word in question.words)} in full")
    for line in paragraphs(question.text.strip()):
        yield from _wrapped(line, "  > ")


def _item(text: str, keep: str = "") -> Iterator[str]:
    """A point of a list; ``keep`` is a command in it that stays on one line, to be copied."""
    if keep:
        head = text[: -len(keep) - 2].rstrip()
        yield f"- {head}"
        yield f"  `{keep}`"
        return
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False) or [""]
    yield from (("- " if i == 0 else "  ") + line for i, line in enumerate(lines))


def _wrapped(text: str, head: str = "") -> Iterator[str]:
    for line in textwrap.wrap(text, WIDTH - len(head), break_long_words=False, break_on_hyphens=False):
        yield head + line
