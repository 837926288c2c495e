"""What a script runs, as lines that a person reads: commands, each below its reason, and the point of no return."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from pve_runbook.plan.script_steps import Step, Steps

NO_RETURN = "===== POINT OF NO RETURN: what fails after this line is not undone ====="
PUTS_BACK = "Where a command or a condition above fails before that point, it puts the node back:"
PUTS_BACK_ALWAYS = "Where a command or a condition above fails, it puts the node back:"
WIDTH = 78


def listing(steps: Steps, width: int = WIDTH) -> list[str]:
    """The whole script, with every reason; reasons are wrapped for ``width`` columns."""
    lines = list(_lines(steps.runs, width))
    if steps.puts_back:
        ends = any(s.is_past_return for s in steps.runs)
        lines += ["", *_comment(PUTS_BACK if ends else PUTS_BACK_ALWAYS, width), *_lines(steps.puts_back, width)]
    return lines


def commands(steps: Steps) -> list[str]:
    """Its commands alone, and the point of no return."""
    found: list[str] = []
    for step in steps.runs:
        if step.is_past_return and not any(NO_RETURN in line for line in found):
            found.append(f"# {NO_RETURN}")
        if step.line:
            found.append(f"{step.line}{'  # see above when' if step.only else ''}")
    return found


def _lines(steps: Sequence[Step], width: int) -> Iterator[str]:
    last, why = Step(), ""
    for step in steps:
        if step.is_past_return and not last.is_past_return:
            yield ""
            yield f"# {NO_RETURN}"
        indent = "  " * bool(step.only or step.each)
        if step.why and (step.why != why or not step.line):
            yield from _comment(step.why, width)
            why = step.why
        if (step.only, step.each) != (last.only, last.each):
            yield from _comment(_when(step), width)
        if step.line:
            yield indent + step.line
        if step.stops and step.stops != step.line:
            yield from _comment(f"stops here if: {step.stops}", width, indent)
        last = step


def _when(step: Step) -> str:
    """Under which condition, and how often, a step is run; "" for always and once."""
    each = "; ".join(f"for each {name} of {', '.join(values)}" for name, values in step.each.items())
    only = " and ".join(step.only)
    return ", ".join(text for text in (each, only and f"only if {only}") if text) + (":" if each or only else "")


def _comment(text: str, width: int, indent: str = "") -> Iterator[str]:
    head = f"{indent}# "
    yield from textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=head, break_long_words=False, break_on_hyphens=False
    )
