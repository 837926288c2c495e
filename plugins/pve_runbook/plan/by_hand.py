"""The rest of the work as a card: plain shell lines, to be typed as root at the nodes' own consoles."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from pve_runbook.journal.rows import Command
from pve_runbook.plan import script_text
from pve_runbook.plan.model import Plan

HEADER = """\
# By hand: {cluster} -> {goal}, without the tool

For when the machine that runs pve-runbook is lost. Type the blocks in their
order, as root, at the console of the node that each one names. What is done
already does no harm when it is typed again, except for two things: a backup has to
stay the one from before the first change; and a window is left out on a node
where `pvecm status` says that corosync.conf does not exist.
A block that fails: stop there, and look at it. No guest is stopped or started.

The nodes leave in this order: {order}.
Everything of this work lies in {folder} on each node: its backup, this card.
"""
RUNS = "What this script runs once it is started, further below, in this order:"
WINDOW_DONE = "The last word has to be `done`; else read {log} there, and stop."
ALONE = "until pvecm status | grep -Eq '^Nodes: +1$'; do sleep 1; done"
ONLY_THESE = "until pvecm status | grep -Eq '^Total votes: +{votes}$'; do sleep 1; done"
QUORATE = "until pvecm status | grep -Eq '^Quorate: +Yes$'; do sleep 1; done"
DISARMED = (
    "until ha-manager status | grep -q '^fencing disarmed' && ! ha-manager status | grep -q 'watchdog active'; "
    "do sleep 5; done"
)
"""As a node says it once every LRM let go (recorded on PVE 9.1)."""
END_OF_TEXT = "END-OF-TEXT"


class Block(Struct, frozen=True):
    """Lines for the shells of ``nodes``, one node after the other; ``title`` says what holds after them."""

    title: str
    nodes: tuple[str, ...]
    lines: tuple[str, ...]
    note: str = ""


def by_hand_md(plan: Plan, folder: str, titles: Mapping[str, str], left_out: Iterable[str], last: Sequence[str]) -> str:
    """The card, for the commands of ``plan``.

    ``folder``: the work's own on each node. ``titles``: stage → what holds after it. ``left_out``: stages that only the
    tool needs. ``last``: lines for every node in the end.
    """
    order = ", ".join(c.node for c in plan.commands if c.name == "window") or "none has to"
    gone = ", ".join(plan.let_go)
    goal = f"a cluster without {gone}" if gone else "standalone nodes"
    parts = [HEADER.format(cluster=plan.cluster, goal=goal, order=order, folder=folder)]
    names = tuple(n.name for n in plan.nodes)
    blocks = [*blocks_of(plan, titles, left_out), Block("Nothing of this work is left.", names, tuple(last))]
    for number, block in enumerate(blocks, 1):
        lines = "\n".join(block.lines)
        note = f"\n{block.note}\n" if block.note else ""
        parts.append(f"## {number}. {', '.join(block.nodes)}\n\n{block.title}\n\n```sh\n{lines}\n```\n{note}")
    return "\n".join(parts)


def blocks_of(plan: Plan, titles: Mapping[str, str], left_out: Iterable[str]) -> list[Block]:
    """The blocks in their order; one for several nodes where their lines are the same."""
    away = set(left_out)
    found: list[Block] = []
    for stage in dict.fromkeys(c.stage for c in plan.commands):
        if stage in away:
            continue
        mine = [c for c in plan.commands if c.stage == stage]
        # The script of the window is put on all nodes first: it lies there, and does nothing.
        for part in ([c for c in mine if c.stdin_sha256], [c for c in mine if not c.stdin_sha256]):
            found += _grouped(titles[stage], part, plan)
    return found


def _grouped(title: str, commands: Sequence[Command], plan: Plan) -> Iterator[Block]:
    by_node: dict[str, list[Command]] = {}
    for command in commands:
        by_node.setdefault(command.node, []).append(command)
    same: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for node, mine in by_node.items():
        lines = tuple(line for c in mine for line in _typed(c, plan.texts))
        note = "\n".join(n for c in mine for n in _notes(c, plan))
        same.setdefault((lines, note), []).append(node)
    for (lines, note), nodes in same.items():
        yield Block(title, tuple(nodes), lines, note)


def _notes(command: Command, plan: Plan) -> Iterator[str]:
    """What is to be known of a command of the window."""
    if command.name == "window":
        yield WINDOW_DONE.format(log=_window_files(command) + ".log")
    elif (steps := plan.scripts.get((command.node, command.argv[-1]))) is not None:
        yield "\n".join((RUNS, "", "```text", *script_text.listing(steps), "```"))


def _typed(command: Command, texts: Mapping[str, str]) -> Iterator[str]:
    if command.stdin_sha256 is not None:
        yield f"cat <<'{END_OF_TEXT}' | {command.line}"
        yield from texts[command.stdin_sha256].rstrip("\n").split("\n")
        yield END_OF_TEXT
        return
    if command.name == "expect-own-votes":
        yield ALONE
    if command.name == "expected-rest":
        yield ONLY_THESE.format(votes=command.argv[-1])
    if command.argv[0] == "mv":  # what is moved already is not there any more
        source = shlex.quote(command.argv[-2])
        yield f"if [ -e {source} ] || [ -L {source} ]; then {command.line}; fi"
    else:
        yield command.line
    if command.name in ("expect-own-votes", "expected-rest"):
        yield QUORATE
    if command.name == "disarm-ha":
        yield DISARMED
    if command.name == "window":
        status = f"{_window_files(command)}.status"
        yield f"until [ -e {status} ]; do sleep 1; done; cat {status}"


def _window_files(command: Command) -> str:
    """What the window calls its own files, without their ending: beside its script, named by its unit."""
    attempt = next(a.partition("--unit=pve-runbook-")[2] for a in command.argv if a.startswith("--unit="))
    return f"{command.argv[-1].rpartition('/')[0]}/{attempt}"
