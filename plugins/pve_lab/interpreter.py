"""bash on one node: bashkit over the node's files, with the simulated commands as its builtins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

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
    answer: Future[BuiltinResult] = field(default_factory=Future)


_Queue = SimpleQueue[_Asked | None]


class Interpreter:
    """One bash. It runs in a thread of its own, and has its commands carried out in the thread that called `execute`.

    In the interpreter's own thread every question to a file system crosses into a third one, which takes twenty times
    as long (bashkit: a runtime is active there).
    """

    def __init__(self, node: Node, serve: Serve) -> None:
        self._serve = serve
        self._asked: _Queue = SimpleQueue()
        self._bash = Bash(
            username="root",
            hostname=node.hostname,
            cwd="/root",
            env=_ENVIRONMENT,
            timeout_seconds=86400.0,
            max_commands=_LIMIT,
            max_loop_iterations=_LIMIT,
            profile=ExecutionProfile.Interactive,  # the others cut an output off, at 1 MiB by default
            custom_builtins={name: _builtin(self._asked, name) for name in COMMANDS},
        )
        self._bash.mount("/", node.files.root)
        self.config_is_read_only = node.pmxcfs.mounted and not _may_write(node)
        self._bash.mount(CONFIG_MOUNT, node.files.config, read_only=self.config_is_read_only)
        self._bash.mount(DATABASE_MOUNT, node.files.database)
        for directory in BINARY_DIRECTORIES:
            self._bash.mount(directory, _BINARIES, read_only=True)

    def cancel(self) -> None:
        """Let it end; from any thread."""
        self._bash.cancel()

    def execute(self, command: str) -> ExecResult:
        """Run a command line to its end."""
        found: Future[ExecResult] = Future()
        threading.Thread(target=self._run, args=(command, found), daemon=True).start()
        while (asked := self._asked.get()) is not None:
            try:
                asked.answer.set_result(self._serve(asked.name, asked.argv, asked.stdin, asked.cwd))
            except Exception as problem:  # the interpreter says it, as that of a builtin
                asked.answer.set_exception(problem)
        return found.result()

    def _run(self, command: str, found: Future[ExecResult]) -> None:
        try:
            found.set_result(self._bash.execute_sync(command))
        except BaseException as problem:
            found.set_exception(problem)
        finally:
            self._asked.put(None)


def _builtin(queue: _Queue, name: str) -> Callable[[BuiltinContext], BuiltinResult]:
    """It holds the queue alone: bash holds it, and no collector sees through bash."""

    def run(context: BuiltinContext) -> BuiltinResult:
        asked = _Asked(name, context.argv, context.stdin, context.cwd)
        queue.put(asked)
        return asked.answer.result()

    return run


def _may_write(node: Node) -> bool:
    try:
        node.pmxcfs.may_write()
    except OSError:
        return False
    return True
