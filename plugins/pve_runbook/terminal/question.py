"""A question on a terminal of 80 columns and 24 lines: all of it can be seen when it is answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pve_runbook.journal.rows import Command
from pve_runbook.plan import script_text
from pve_runbook.plan.model import Question, paragraphs
from pve_runbook.plan.script_steps import Steps
from pve_runbook.terminal.alike import names_in_words
from pve_runbook.terminal.wrap import WIDTH, wrapped

LINES = 12
"""What a question may take, with its prompt."""
SCRIPT = " " * 6
"""Before each line of what a script runs."""
PAGE = 20
"""Lines of what ``?`` shows that are shown at once."""
SHOW = "?"
REST = "… {count} more lines of this question: type ? to read all of it."
MORE = "Return shows the rest, q goes back to the question: "
BACK = "Return goes back to the question: "


def in_lines(text: str) -> list[str]:
    """``text`` wrapped at words for 80 columns; what is indented stays so."""
    found: list[str] = []
    for paragraph in paragraphs(text):
        bare = paragraph.lstrip()
        found += wrapped(" " * (len(paragraph) - len(bare)), bare)
    return found


def page(text: str, where: str, prompt: str) -> str:
    """The question as it is asked: ``text``, ``where`` the plan is, and the prompt; twelve lines at most."""
    lines, last = in_lines(text), [*in_lines(where), *wrapped("", prompt)]
    room = LINES - len(last)
    if len(lines) > room:
        lines = [*lines[: room - 1], REST.format(count=len(lines) - room + 1)]
    return "\n" + "\n".join([*lines, *last]) + " "


def covered(commands: Sequence[Command], asked: Question, others: Iterable[Question]) -> Sequence[Command]:
    """The commands of a plan that are sent before the next question is asked."""
    others = [q for q in others if (q.stage, q.node) != (asked.stage, asked.node)]
    for number, command in enumerate(commands):
        if any(command.stage == q.stage and q.node in (None, command.node) for q in others):
            return commands[:number]
    return commands


def in_full(
    text: str, commands: Sequence[Command], names: Sequence[str], scripts: Mapping[tuple[str, str], Steps]
) -> list[str]:
    """All that ``?`` shows: the whole question, and the commands that it is about, each once with its nodes.

    ``scripts``: (node, path) → what the script there runs, which stands below the command that starts it.
    """
    nodes: dict[tuple[str, str], list[str]] = {}
    runs: dict[tuple[str, str], Steps] = {}
    for command in commands:
        at = nodes.setdefault((command.line, command.why), [])
        if command.node not in at:
            at.append(command.node)
        if command.stdin_sha256 is None and (steps := scripts.get((command.node, command.argv[-1]))):
            runs[(command.line, command.why)] = steps
    number = f"{len(commands)} commands, in this order:" if commands else "no command: nothing is left to be sent."
    lines = [*in_lines(text), "", f"This approval is for {number}"]
    for (line, why), at in nodes.items():
        lines += [*wrapped("  $ ", line), *wrapped("      ", f"{names_in_words(at, len(names))}: {why}")]
        if steps := runs.get((line, why)):
            told = script_text.listing(steps, WIDTH - len(SCRIPT))
            lines += [f"{SCRIPT}It runs:", *(part.rstrip() for step in told for part in wrapped(SCRIPT, step) or [""])]
    return lines


def pages(lines: Sequence[str]) -> Iterator[str]:
    """``lines`` as prompts, one screen each."""
    for start in range(0, len(lines), PAGE):
        is_last = start + PAGE >= len(lines)
        yield "\n" + "\n".join(lines[start : start + PAGE]) + f"\n{BACK if is_last else MORE}"
