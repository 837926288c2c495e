"""What a script for a node runs there, in its order: told from the script's own text, by which the node will run it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct, field
from msgspec.structs import replace

from pve_runbook.plan import shell

POINT_OF_NO_RETURN = "standalone"
"""The stage of a script from which on a step that fails is not undone (procedure/node.sh)."""
TOO_LATE = "that did not come in time"
_READS = ("[", "date", "findmnt", "grep", "hostname", "pgrep", "printf", "sha256sum", "sleep", "stat", "wc")
_READS_AS = (("sqlite3", "-readonly"), ("systemctl", "cat"), ("systemctl", "is-enabled"))
_BUILTIN = ("exit", "export", "local", "return", "shift", "trap")
_SAYS, _FAILS, _ENDS = "say", "fail", "finish"
"""The scripts' own functions that write to the log, put the node back, and end the script."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)(\[@\])?\}|(\w+))")
_IS_THERE = {("-e",): "{} is there", ("!", "-e"): "{} is not there"}


class Step(Struct, frozen=True):
    """One command of a script, or a condition of its going on.

    ``line``: the command as a shell takes it; "" for what only waits or looks. ``why``: the comment above it, or what
    is waited for. ``stops``: in which words the script says that it does not go on; "" where it goes on in any case.
    ``only``: under which conditions it is run, in words. ``each``: name → values of a loop, where ``line`` has $name.
    ``is_past_return``: whether it comes behind the point of no return.
    """

    line: str = ""
    why: str = ""
    stops: str = ""
    only: tuple[str, ...] = ()
    each: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_past_return: bool = False


class Steps(Struct, frozen=True):
    """A script: what it runs, and what it runs to put the node back when a step of it fails."""

    runs: tuple[Step, ...]
    puts_back: tuple[Step, ...]


def steps_of(text: str, answers: Mapping[str, bool]) -> Steps:
    """What a script runs on a node.

    ``answers``: a command by which the script asks its node something that is known before → whether it succeeds; for
    any other the steps below it have a condition. Raises ValueError for a script that is not understood.
    """
    return _steps_of(text, tuple(sorted(answers.items())))


@lru_cache(maxsize=64)
def _steps_of(text: str, answers: tuple[tuple[str, bool], ...]) -> Steps:
    """Once a script: every node runs the same one, and each plan of a run names it again."""
    walk = _Walk(dict(answers))
    runs = tuple(_joined(walk.block(shell.parse(text))))
    walk.is_past_return = False
    walk.silent = (_SAYS, _ENDS)
    return Steps(runs, tuple(_joined(walk.block(shell.Block((walk.functions[_FAILS].body,))))))


def _joined(steps: Iterable[Step]) -> Iterator[Step]:
    """A step, and that it has to succeed, are one."""
    last: Step | None = None
    for step in steps:
        if last is not None and step.stops and not step.line and not last.stops and _is_of(last, step):
            last = replace(last, stops=step.stops)
            continue
        if last is not None:
            yield last
        last = step
    if last is not None:
        yield last


def _is_of(step: Step, stop: Step) -> bool:
    return stop.why == step.line + step.why and stop.only == step.only


class _Walk(Struct):
    """Goes through a script as bash does, where nothing fails."""

    answers: Mapping[str, bool]
    functions: dict[str, shell.Function] = field(default_factory=dict)
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    """What "$@" is here, as shell words."""
    why: str = ""
    """Of the call whose "$@" it is."""
    only: tuple[str, ...] = ()
    each: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_past_return: bool = False
    silent: tuple[str, ...] = (_SAYS,)
    """Functions that are passed over."""

    def block(self, block: shell.Block) -> Iterator[Step]:
        for node in block.nodes:
            yield from self.node(node)

    def node(self, node: shell.Node) -> Iterator[Step]:
        match node:
            case shell.Function():
                self.functions[node.name] = node
            case shell.Block():
                yield from self.block(node)
            case shell.Simple():
                yield from self._simple(node)
            case shell.Pipe():
                for part in node.parts:
                    yield from self.node(part)
            case shell.Not():
                yield from self.node(node.node)
            case shell.Both():
                yield from self._both(node)
            case shell.If():
                yield from self._if(node)
            case shell.For():
                yield from self._for(node)
            case shell.Loop():
                yield from self.block(node.condition)
                yield from self._under(f"`{self._words(node.condition)}` fails", node.body)
            case shell.Case():
                for branch in node.branches:
                    yield from self.block(branch)

    def _both(self, node: shell.Both) -> Iterator[Step]:
        first = list(self.node(node.first))
        yield from first
        then = list(self.node(node.then))
        if all(step.stops and not step.line for step in then):
            # What has to hold: the last thing that was run, if one was.
            of = first[-1] if first else Step(only=self.only)
            yield from (replace(step, why=of.line + of.why, only=of.only) for step in then)
            return
        fails = "fails" if node.operator == "||" else "succeeds"
        known = self._is_known(node.first)
        if known is None:
            condition = (
                self._condition(node.first, holds=node.operator == "&&") or f"`{self._words(node.first)}` {fails}"
            )
            if first and node.operator == "&&":
                condition = ""  # the step above has to succeed: the shell's own way to say so
            elif first and not any(step.line for step in first):
                condition = TOO_LATE
            yield from (replace(s, only=(*s.only, condition)) if condition else s for s in then)
        elif known is (node.operator == "&&"):
            yield from then

    def _if(self, node: shell.If) -> Iterator[Step]:
        known = self._is_known(node.condition)
        if known is None:
            condition = self._condition(node.condition, holds=True) or f"`{self._words(node.condition)}` succeeds"
            yield from self._under(condition, node.body)
        elif known:
            yield from self.block(node.body)

    def _for(self, node: shell.For) -> Iterator[Step]:
        values = tuple(w for word in node.words for w in self._expand(word))
        self.each[node.name] = values
        self.values[node.name] = (f"${node.name}",)
        if values:
            yield from self.block(node.body)
        del self.each[node.name], self.values[node.name]

    def _under(self, condition: str, block: shell.Block) -> Iterator[Step]:
        before = self.only
        self.only = (*before, condition)
        yield from self.block(block)
        self.only = before

    def _simple(self, node: shell.Simple) -> Iterator[Step]:
        for name, value in node.assigned:
            self._assign(name, value)
        if not node.words:
            return
        words = tuple(w for word in node.words for w in self._expand(word))
        if words[0] == "set":
            self.given = words[2:] if words[1] == "--" else self.given
        elif words[0] == "shift":
            self.given = self.given[int(words[1]) if len(words) > 1 else 1 :]
        elif words[0] == _FAILS:
            yield self._step(stops=" ".join(self.given) if node.words[1] == '"$*"' else _plain(words[1]))
        elif words[0] in self.functions:
            yield from self._call(words, self.why if '"$@"' in node.words else node.why)
        elif not (words[0] in (*_READS, *_BUILTIN) or words[:2] in _READS_AS):
            yield self._step(line=" ".join(words), why=self.why if node.words[0] == '"$@"' else node.why)

    def _call(self, words: tuple[str, ...], why: str) -> Iterator[Step]:
        function = self.functions[words[0]]
        if words[0] in self.silent:
            return
        before = self.given, self.why
        self.given, self.why = words[1:], why
        inside = list(self.node(function.body))
        self.given, self.why = before
        # A function that changes nothing is a wait; its comment says for what.
        yield from inside or [self._step(why=function.why)] if function.why or inside else []

    def _step(self, line: str = "", why: str = "", stops: str = "") -> Step:
        each = {n: v for n, v in self.each.items() if f"${n}" in line + why + stops + "".join(self.only)}
        return Step(line, why, stops, self.only, each, self.is_past_return)

    def _assign(self, name: str, value: str) -> None:
        array = value.startswith("(")
        words = shlex.split(value[1:-1], posix=False) if array else [value]
        self.values[name] = tuple(w for word in words for w in self._expand(word))
        if name == "STAGE" and value == POINT_OF_NO_RETURN:
            self.is_past_return = True

    # --- words

    def _expand(self, word: str) -> Sequence[str]:
        """A word with the values that are known; each as a shell takes it."""
        if word in ('"$@"', "$@"):
            return self.given
        whole = _VARIABLE.fullmatch(word.strip('"'))
        if whole is not None and whole[2]:
            return self.values.get(whole[1], ())
        if word.startswith("$("):
            return [word]
        return [_quoted(_VARIABLE.sub(self._value, word))]

    def _value(self, found: re.Match[str]) -> str:
        name = found[1] or found[3]
        if name.isdigit():
            number = int(name)
            return _plain(self.given[number - 1]) if 0 < number <= len(self.given) else found[0]
        values = self.values.get(name)
        return found[0] if values is None else " ".join(map(_plain, values))

    # --- conditions

    def _is_known(self, node: shell.Node) -> bool | None:
        """Whether a condition holds on the node; None for what only the node knows."""
        return self.answers.get(self._words(node))

    def _condition(self, node: shell.Node, *, holds: bool) -> str:
        """A test of bash as words; "" for another command."""
        words = self._words(node).split()
        if words[:1] != ["["]:
            return ""
        words = words[1:-1]
        if len(words) == 3 and words[1] in ("=", "!="):
            same = (words[1] == "=") is holds
            return f"{words[0].strip('$')} is {'' if same else 'not '}{words[2]}"
        *operator, thing = words
        if not holds:
            operator = operator[1:] if operator[0] == "!" else ["!", *operator]
        return _IS_THERE[tuple(operator)].format(thing)

    def _words(self, node: shell.Node) -> str:
        """The words of a command, with the values that are the same on all ways through the script."""
        match node:
            case shell.Block(nodes=(only,)):
                return self._words(only)
            case shell.Not():
                return self._words(node.node)
            case shell.Both(first=first, operator=operator, then=then):
                return f"{self._words(first)} {operator} {self._words(then)}"
            case shell.Simple() if node.words:
                words = [w for word in node.words for w in self._expand(word)]
                if words[0] == "[":
                    words = [word.strip('"') if _varies(word) else self._expand(word)[0] for word in node.words]
                return " ".join(w for w in words if w not in ("run", "must"))
        raise ValueError(f"not understood in a script: a condition of {node}")


_VARIES = ("STAGE", "COPIED", "MASKED")
"""What a script remembers of its own way."""


def _varies(word: str) -> bool:
    return word.strip('"').lstrip("$") in _VARIES


def _quoted(word: str) -> str:
    """A word with the quotes that it needs."""
    plain = _plain(word)
    return (
        word
        if word in ("[", "]", "!", "=", "!=")
        else word
        if re.search(r"[*$]", plain) and word == plain
        else shlex.quote(plain)
        if "$" not in plain
        else plain
    )


def _plain(word: str) -> str:
    """A word without its quotes."""
    return "".join(shlex.split(word)) if re.search(r"['\"]", word) else word
