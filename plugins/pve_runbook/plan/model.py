"""What a plan holds, its hash, and in what two plans differ."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from pve_runbook.journal.rows import Command, Identity
from pve_runbook.plan.script_steps import Steps

SCHEMA = 1
_NOT_WRITTEN = ("texts", "scripts")
SHORT = 12
"""Letters of a plan's hash: enough for no two plans of one operator to share it."""


class Question(Struct, frozen=True):
    """What the operator will be asked before ``stage`` (for windows: of ``node``), and the word to be typed.
    ``or_word``: what else may be typed, where either can be so; else ""."""

    phase: int
    stage: str
    node: str | None
    word: str
    text: str
    or_word: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What may be typed for a yes."""
        return (self.word, self.or_word) if self.or_word else (self.word,)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a question's text: a line that ends in the middle of a sentence goes on in the next one."""
    found: list[str] = []
    for line in text.rstrip().splitlines():
        goes_on = bool(found) and not line.startswith((" ", "- ", "+ ")) and not found[-1].endswith((".", ":", "!"))
        if goes_on:
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


class Idleness(Struct, frozen=True):
    """Why ``stage`` has nothing to do on ``node``."""

    phase: int
    stage: str
    node: str
    why: str


class Plan(Struct, frozen=True):
    """The commands still to be sent, in their order: stage by stage, within a stage node by node."""

    cluster: str
    nodes: tuple[Identity, ...]
    members: tuple[str, ...]
    authority: str | None
    code: Mapping[str, str]
    """Source file → SHA-256, of the package and of runbook/."""
    commands: tuple[Command, ...]
    idle: tuple[Idleness, ...] = ()
    questions: tuple[Question, ...] = ()
    unknown: tuple[str, ...] = ()
    """What cannot be known before the run, in words."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 → what a command reads; not written down with the plan."""
    scripts: Mapping[tuple[str, str], Steps] = field(default_factory=dict)
    """(node, path) → what the script runs that is put there; told from its text, by which the hash knows it."""

    @property
    def hash(self) -> str:
        """Short SHA-256 of the commands, the nodes' identities and the code; of nothing that is only said."""
        names = to_builtins(self.nodes)
        parts = [self.cluster, names, self.members, self.authority, dict(sorted(self.code.items())), self._sent]
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:SHORT]

    @property
    def let_go(self) -> tuple[str, ...]:
        """The members that the others, which stay a cluster, are to forget; empty where every node leaves."""
        return tuple(c.argv[-1] for c in self.commands if c.name == "delnode")

    @property
    def _sent(self) -> list[tuple[object, ...]]:
        return [(c.stage, c.node, c.argv, c.stdin_sha256) for c in self.commands]

    def with_words(self, questions: Iterable[Question], unknown: Iterable[str]) -> Plan:
        """The same plan, with what will be asked and what cannot be known: its hash does not change by it."""
        return replace(self, questions=tuple(questions), unknown=tuple(unknown))

    def without(self, done: Iterable[tuple[str, str]]) -> tuple[Command, ...]:
        """The commands that are left once the (stage, node) pairs in ``done`` are."""
        gone = set(done)
        return tuple(c for c in self.commands if (c.stage, c.node) not in gone)

    def for_json(self) -> dict[str, Any]:
        """Everything, as plan.json has it."""
        held = {
            name: value
            for name, value in to_builtins(replace(self, texts={}, scripts={})).items()
            if name not in _NOT_WRITTEN
        }
        return {"schema": SCHEMA, "hash": self.hash, **held}


def from_json(data: Mapping[str, Any]) -> Plan:
    """A plan that :meth:`Plan.for_json` gave. Raises ValueError for anything else."""
    try:
        plan = Plan(
            cluster=data["cluster"],
            nodes=tuple(Identity(**n) for n in data["nodes"]),
            members=tuple(data["members"]),
            authority=data["authority"],
            code=dict(data["code"]),
            commands=tuple(Command(**{**c, "argv": tuple(c["argv"])}) for c in data["commands"]),
            idle=tuple(Idleness(**i) for i in data["idle"]),
            questions=tuple(Question(**q) for q in data["questions"]),
            unknown=tuple(data["unknown"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a plan: {error}") from None
    if data.get("schema") != SCHEMA or data.get("hash") != plan.hash:
        raise ValueError("not a plan: its hash is not that of what it holds")
    return plan


def differences(approved: Plan, now: Plan) -> list[str]:
    """In what ``now`` differs from ``approved``, a line each: nodes, authority, code, commands; [] when in nothing."""
    found = []
    if approved.cluster != now.cluster:
        found.append(f"cluster: {approved.cluster} -> {now.cluster}")
    order = [n.name for n in approved.nodes]
    if order != [n.name for n in now.nodes]:
        found.append(f"nodes: {', '.join(order)} -> {', '.join(n.name for n in now.nodes)}")
    before, after = (sorted(f"{n.name} is {n.hostname}, boot {n.boot_id}" for n in p.nodes) for p in (approved, now))
    found += [f"node: {line}" for line in _diff(before, after)]
    found += [f"member: {line}" for line in _diff(approved.members, now.members)]
    if approved.authority != now.authority:
        found.append(f"authority: {approved.authority} -> {now.authority}")
    for path in sorted(approved.code.keys() | now.code.keys()):
        if approved.code.get(path) != now.code.get(path):
            how = "is new" if path not in approved.code else "is gone" if path not in now.code else "was changed"
            found.append(f"code: {path} {how}")
    if order == [n.name for n in now.nodes]:
        return found + _changed(approved.commands, now.commands)
    # Named in another order: what is sent to each node tells more than where it stands among the others'.
    names = dict.fromkeys((*order, *(n.name for n in now.nodes)))
    return found + [line for name in names for line in _changed(*(_of(p.commands, name) for p in (approved, now)))]


def _of(commands: Sequence[Command], node: str) -> list[Command]:
    return [c for c in commands if c.node == node]


def _changed(approved: Sequence[Command], now: Sequence[Command]) -> list[str]:
    """What was taken from (-) the approved commands and what was put (+) among them, in their order."""
    return _diff(*([_in_words(c) for c in commands] for commands in (approved, now)))


def _in_words(command: Command) -> str:
    reads = f" < {command.stdin_sha256[:SHORT]}" if command.stdin_sha256 is not None else ""
    return f"phase {command.phase} {command.node}: {command.line}{reads}"


def _diff(before: Sequence[str], after: Sequence[str]) -> list[str]:
    lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    return [f"{line[0]} {line[1:]}" for line in lines if line[0] in "+-"]


def is_part_of(some: Sequence[Command], whole: Sequence[Command]) -> bool:
    """Whether ``some`` are among ``whole``, in the same order: what is left of a run that was cut short."""
    rest = iter([_in_words(c) for c in whole])
    return all(_in_words(c) in rest for c in some)
