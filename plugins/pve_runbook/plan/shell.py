"""The part of bash in which the scripts for the nodes are written (`procedure/*.sh`), read as a tree.

Anything else in a script is a ValueError: nothing that a node would run may be passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct, field

_BLANK = " \t"
_ENDS_WORD = _BLANK + "\n;|&()"
_OPERATORS = ("&&", "||", ";;", ";", "|", "(", ")", "\n")
_REDIRECTION = re.compile(r"\d?(?:>>|>|<)(?:&\d)?")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_COMMENT = "#"


class Simple(Struct, frozen=True):
    """Words as they are written; ``assigned`` are the values that stand before them. ``why``: the comment above."""

    words: tuple[str, ...]
    assigned: tuple[tuple[str, str], ...] = ()
    why: str = ""


class Both(Struct, frozen=True):
    """``first && then`` or ``first || then``."""

    first: Node
    operator: str
    then: Node


class Not(Struct, frozen=True):
    """``! node``."""

    node: Node


class Pipe(Struct, frozen=True):
    """``a | b``."""

    parts: tuple[Node, ...]


class Block(Struct, frozen=True):
    """Commands one after the other."""

    nodes: tuple[Node, ...]


class If(Struct, frozen=True):
    """``if condition; then body; fi``."""

    condition: Block
    body: Block


class Loop(Struct, frozen=True):
    """``while`` or ``until``."""

    kind: str
    condition: Block
    body: Block


class For(Struct, frozen=True):
    """``for name in words; do body; done``."""

    name: str
    words: tuple[str, ...]
    body: Block


class Case(Struct, frozen=True):
    """``case word in pattern) body ;; esac``."""

    word: str
    branches: tuple[Block, ...]


class Function(Struct, frozen=True):
    """``name() { body }``; ``why`` is the comment above it."""

    name: str
    body: Node
    why: str


Node = Simple | Both | Not | Pipe | Block | If | Loop | For | Case | Function


def parse(text: str) -> Block:
    """The tree of a script. Raises ValueError for what is not understood."""
    reader = _Reader(list(_tokens(text)))
    found = reader.block(until=())
    if reader.peek() is not None:
        raise ValueError(f"not understood in a script: {reader.peek()!r}")
    return found


def _tokens(text: str) -> Iterator[str]:
    """Words, operators, and comments, which begin with a ``#``."""
    at = 0
    while at < len(text):
        rest = text[at:]
        operator = next((o for o in _OPERATORS if rest.startswith(o)), None)
        if text[at] in _BLANK:
            at += 1
        elif text[at] == _COMMENT:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            yield text[at:end]
            at = end
        elif operator is not None:
            yield operator
            at += len(operator)
        else:
            end = _end_of_word(text, at)
            if end == at or "<<" in text[at:end]:
                raise ValueError(f"not understood in a script: {text[at : at + 20]!r}")
            yield text[at:end]
            at = end


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and text[at] not in _ENDS_WORD:
        if match := _REDIRECTION.match(text, at):
            at = match.end()
        elif text[at] in "'\"" or text.startswith("$(", at):
            at = _closed(text, at)
        elif text[at] == "=" and text.startswith("=(", at):
            at = text.index(")", at) + 1
        else:
            at += 1
    return at


def _closed(text: str, at: int) -> int:
    """The place behind the quoted text, or the `$( )`, that begins at ``at``."""
    if text[at] == "'":
        return text.index("'", at + 1) + 1
    closing = '"' if text[at] == '"' else ")"
    depth = 1
    at += 1 if closing == '"' else 2
    while depth:
        if text[at] == "\\":
            at += 2
        elif text.startswith("$(", at) or (closing == ")" and text[at] in "'\""):
            at = _closed(text, at)
        else:
            depth += {closing: -1, "(": 1 if closing == ")" else 0}.get(text[at], 0)
            at += 1
    return at


class _Reader(Struct):
    tokens: list[str]
    at: int = 0
    why: str = ""
    """The comment that stands above what is read now: it holds up to an empty line."""
    _lines: list[str] = field(default_factory=list)

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if token is None or (wanted and token != wanted):
            raise ValueError(f"not understood in a script: {token!r} where {wanted or 'a word'!r} should be")
        self.at += 1
        return token

    def skip(self) -> None:
        """Go to the next command, over ends of lines and comments."""
        newlines = 0
        while (token := self.peek()) is not None and (token in ("\n", ";") or token.startswith(_COMMENT)):
            self.at += 1
            if token.startswith(_COMMENT):
                self._lines.append(token.lstrip("#! ").strip())
                newlines = 0
            elif token == "\n":
                newlines += 1
                if newlines > 1:
                    self.why, self._lines = "", []
        if self._lines:
            self.why, self._lines = " ".join(self._lines), []

    def block(self, until: tuple[str, ...]) -> Block:
        nodes: list[Node] = []
        self.skip()
        while (token := self.peek()) is not None and token not in until:
            nodes.append(self.and_or())
            self.skip()
        return Block(tuple(nodes))

    def and_or(self) -> Node:
        found = self.pipe()
        while self.peek() in ("&&", "||"):
            found = Both(found, self.take(), self.pipe())
        return found

    def pipe(self) -> Node:
        if self.peek() == "!":
            self.take()
            return Not(self.pipe())
        parts = [self.command()]
        while self.peek() == "|":
            self.take()
            parts.append(self.command())
        return parts[0] if len(parts) == 1 else Pipe(tuple(parts))

    def command(self) -> Node:
        match self.peek():
            case "if":
                return self._if()
            case "while" | "until":
                return Loop(self.take(), self._up_to("do"), self._up_to("done"))
            case "for":
                return self._for()
            case "case":
                return self._case()
            case "{":
                self.take()
                return self._up_to("}")
            case "function" | "select" | "(" | "((" | "[[" | "elif" | "else":
                raise ValueError(f"not understood in a script: {self.peek()!r}")
        if self.tokens[self.at + 1 : self.at + 3] == ["(", ")"]:
            name, why = self.take(), self.why
            self.at += 2
            body = self.command()
            self.why = ""
            return Function(name, body, why)
        return self._simple()

    def _up_to(self, end: str) -> Block:
        found = self.block(until=(end,))
        self.take(end)
        return found

    def _if(self) -> If:
        self.take("if")
        return If(self._up_to("then"), self._up_to("fi"))

    def _for(self) -> For:
        self.take("for")
        name = self.take()
        self.take("in")
        words = []
        while self.peek() not in (";", "\n", None):
            words.append(self.take())
        self.skip()
        self.take("do")
        return For(name, tuple(words), self._up_to("done"))

    def _case(self) -> Case:
        self.take("case")
        word = self.take()
        self.take("in")
        branches = []
        self.skip()
        while self.peek() != "esac":
            while self.take() != ")":
                pass
            branches.append(self.block(until=(";;", "esac")))
            if self.peek() == ";;":
                self.take()
            self.skip()
        self.take("esac")
        return Case(word, tuple(branches))

    def _simple(self) -> Simple:
        assigned: list[tuple[str, str]] = []
        words: list[str] = []
        while (token := self.peek()) is not None and token not in _OPERATORS and not token.startswith(_COMMENT):
            self.take()
            match = _ASSIGNMENT.fullmatch(token)
            if match is not None and not words:
                assigned.append((match[1], match[2]))
            elif _REDIRECTION.match(token) is None:
                words.append(token)
        if not words and not assigned:
            raise ValueError(f"not understood in a script: {token!r}")
        return Simple(tuple(words), tuple(assigned), self.why)
