"""bash on one node: bashkit over the node's files, with the simulated commands as its builtins."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import ClassVar

from bashkit import Bash, BuiltinContext, BuiltinResult, ExecResult, ExecutionProfile

from pve_lab.commands.registry import BINARY_DIRECTORIES, COMMANDS, binaries
from pve_lab.model.files import CONFIG_MOUNT, DATABASE_MOUNT
from pve_lab.model.node import Node

_LIMIT = 10**9
_BINARIES = binaries()
_ENVIRONMENT = {
    "HOME": "/root",
    "USER": "root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

Serve = Callable[[str, list[str], str | None, str], BuiltinResult]
"""Carries out a simulated command: name, arguments, what is piped into it, working directory."""


@dataclass(frozen=True)
class _Asked:
    """A simulated command that the interpreter came to."""

    name: str
    argv: list[str]
    stdin: str | None
    cwd: str
    answer: SimpleQueue[BuiltinResult | Exception] = field(default_factory=SimpleQueue)


_Queue = SimpleQueue[_Asked | ExecResult | BaseException]
"""What the interpreter's thread says: a command to be carried out, in the end what came of it all."""


class Interpreter:
    """One bash. It runs in a thread of its own, and has its commands carried out in the thread that called `execute`.

    In the interpreter's own thread every question to a file system crosses into a third one, which takes twenty times
    as long (bashkit: a runtime is active there).
    """

    def __init__(self, node: Node, serve: Serve) -> None:
        self._serve = serve
        self._shell = _Shell.of(node.hostname)
        self.config_is_read_only = node.pmxcfs.mounted and not _may_write(node)
        bash = self._shell.bash
        bash.mount("/", node.files.root)
        bash.mount(CONFIG_MOUNT, node.files.config, read_only=self.config_is_read_only)
        bash.mount(DATABASE_MOUNT, node.files.database)
        for directory in BINARY_DIRECTORIES:
            bash.mount(directory, _BINARIES, read_only=True)

    def cancel(self) -> None:
        """Let it end; from any thread."""
        self._shell.was_cancelled = True
        self._shell.bash.cancel()

    def execute(self, command: str) -> ExecResult:
        """Run a command line to its end."""
        self._shell.runs = True
        self._shell.commands.put(command)
        while isinstance(said := self._shell.said.get(), _Asked):
            try:
                said.answer.put(self._serve(said.name, said.argv, said.stdin, said.cwd))
            except Exception as problem:  # the interpreter says it, as that of a builtin
                said.answer.put(problem)
        self._shell.runs = False
        if isinstance(said, BaseException):
            raise said
        return said

    def close(self) -> None:
        """It runs nothing more: another may have its bash."""
        self._shell.give_back()


class _Shell:
    """A bash with the simulated commands. To make one takes longer than most of what it is asked to run, so it is used
    again: reset, it has neither files nor variables of what ran before.
    """

    _idle: ClassVar[defaultdict[str, list[_Shell]]] = defaultdict(list)
    """By host name."""

    def __init__(self, hostname: str) -> None:
        self.commands: SimpleQueue[str | None] = SimpleQueue()
        """What is to be run; None for its end."""
        self.said: _Queue = SimpleQueue()
        self.runs = self.was_cancelled = False
        self._hostname = hostname
        self.bash = Bash(
            username="root",
            hostname=hostname,
            cwd="/root",
            env=_ENVIRONMENT,
            timeout_seconds=86400.0,
            max_commands=_LIMIT,
            max_loop_iterations=_LIMIT,
            profile=ExecutionProfile.Interactive,  # the others cut an output off, at 1 MiB by default
            custom_builtins={name: _builtin(self.said, name) for name in COMMANDS},
        )
        threading.Thread(target=self._run, daemon=True).start()

    @classmethod
    def of(cls, hostname: str) -> _Shell:
        """One that nobody uses."""
        try:
            return cls._idle[hostname].pop()
        except IndexError:
            return cls(hostname)

    def _run(self) -> None:
        while (command := self.commands.get()) is not None:
            try:
                self.said.put(self.bash.execute_sync(command))
            except BaseException as problem:
                self.said.put(problem)

    def give_back(self) -> None:
        """Keep it for another, if it is as it was made; else let it end."""
        if self.runs or self.was_cancelled:
            self.commands.put(None)
        else:
            self.bash.reset()
            self._idle[self._hostname].append(self)


def _builtin(said: _Queue, name: str) -> Callable[[BuiltinContext], BuiltinResult]:
    """It holds the queue alone: bash holds it, and no collector sees through bash."""

    def run(context: BuiltinContext) -> BuiltinResult:
        asked = _Asked(name, context.argv, context.stdin, context.cwd)
        said.put(asked)
        answer = asked.answer.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return run


def _may_write(node: Node) -> bool:
    try:
        node.pmxcfs.may_write()
    except OSError:
        return False
    return True
