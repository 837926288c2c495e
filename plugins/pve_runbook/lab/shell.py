"""One SSH channel or transient unit: a bash interpreter over the node's files and the simulated commands."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

from bashkit import Bash, BuiltinContext, BuiltinResult

from pve_runbook.lab.commands.base import Call, Result
from pve_runbook.lab.commands.registry import BINARY_DIRECTORIES, COMMANDS, binaries
from pve_runbook.lab.model.errors import Hung
from pve_runbook.lab.model.files import CONFIG_MOUNT, DATABASE_MOUNT
from pve_runbook.lab.model.node import Node

BATCH_SECONDS = 0.02
"""Model seconds of a batch of probes that run side by side."""
_NOT_FOUND = re.compile(r"^(bash: (?:line \d+: )?)(\S+): command not found(?:\. Did you mean.*)?$", re.M)
_NO_BINARY = re.compile(r"^bash: (?:line \d+: )?(/(?:usr/)?s?bin/\S+): No such file or directory$", re.M)
_LIMIT = 10**9
_BINARIES = binaries()

Reader = Callable[[], Awaitable[bytes]]


async def _nothing() -> bytes:
    return b""


class Machine:
    """A node with what the lab keeps about it: its log, its channels, its detached units."""

    def __init__(self, node: Node, log: Path, unsimulated: Path) -> None:
        self.node = node
        self.log = log
        self.unsimulated = unsimulated
        self.channels = 0
        self.detached: dict[str, asyncio.Task[int]] = {}
        self.blocked: set[str] = set()
        self.progress = asyncio.Event()
        self.frozen: asyncio.Event | None = None
        self._generation = -1
        self._log_file = log.open("a", encoding="utf-8", buffering=1)

    def close(self) -> None:
        """Close the log."""
        self._log_file.close()

    def record(self, argv: list[str], result: Result, channel: int, via: str) -> None:
        """Write one line into the node's log."""
        line = {
            "t": round(self.node.clock.now, 3), "argv": argv, "exit_status": result.exit_status,
            "mutating": result.mutating, "channel": channel, "via": via,
        }
        self._log_file.write(json.dumps(line) + "\n")

    def refresh(self) -> None:
        """Bring what the interpreter reads by itself up to date: /etc/pve and /proc."""
        pmxcfs = self.node.pmxcfs
        if pmxcfs.mounted and pmxcfs.database.generation != self._generation:
            self._generation = pmxcfs.database.generation
            pmxcfs.refresh()
        if not pmxcfs.mounted:
            self._generation = -1

    def refresh_proc(self) -> None:
        """Write the files of /proc that change by themselves."""
        files = self.node.files
        files.put("/proc/uptime", f"{self.node.processes.uptime:.2f} {self.node.processes.uptime * 7:.2f}\n")
        files.put("/proc/loadavg", "0.42 0.35 0.30 1/512 4242\n")
        mounts = self.node.storages.all_mounts()
        files.put("/proc/mounts", "".join(f"{m.source} {m.target} {m.fstype} {m.options} 0 0\n" for m in mounts))


class Channel:
    """One exec request; commands in it run one after the other, or side by side with `&`."""

    def __init__(self, machine: Machine, stdin: Reader = _nothing, via: str = "ssh") -> None:
        machine.channels += 1
        self.machine = machine
        self.node = machine.node
        self.number = machine.channels
        self.via = via
        self.batch = False
        self._reader = stdin
        self._stdin: bytes | None = None
        self._redirects = False

    # -- Session -----------------------------------------------------------------------------

    async def stdin(self) -> bytes:
        """All that the client sends on standard input, read once."""
        if self._stdin is None:
            self._stdin = await self._reader()
        data, self._stdin = self._stdin, b""
        return data

    async def run(self, argv: list[str], stdin: str | None) -> Result:
        """Run a command of this channel: a simulated one, or one of the interpreter's."""
        name = argv[0].rpartition("/")[2]
        if name in COMMANDS:
            return await self._call(name, argv[1:], stdin if not self.batch else stdin or "", "/root")
        result = await self._interpreter().execute(shlex.join(argv))
        stderr = self._errors(result.stderr)
        return Result(result.stdout, stderr, result.exit_code, 0.005)

    async def sleep(self, seconds: float) -> None:
        """Let model time pass; detached units of the node use it first."""
        clock = self.node.clock
        until = clock.now + seconds
        if self.via == "ssh":
            while clock.now < until and self.machine.detached.keys() - self.machine.blocked:
                self.machine.progress.clear()
                await self.machine.progress.wait()
        clock.advance_to(until)
        self.machine.refresh()

    async def detach(self, unit: str, argv: list[str], *, collect: bool, wait: bool, oneshot: bool) -> int:
        """Run a command as a transient unit with a shell of its own."""
        from pve_runbook.lab.detached import run_unit

        task = asyncio.ensure_future(run_unit(self.machine, unit, argv, collect=collect, oneshot=oneshot))
        self.machine.detached[unit] = task
        return await asyncio.shield(task) if wait else 0

    # -- running -----------------------------------------------------------------------------

    async def execute(self, command: str) -> tuple[str, str, int]:
        """Run a command line as sshd would: stdout, stderr, exit status."""
        if self.machine.frozen is not None:
            await self.machine.frozen.wait()
        self.batch = _is_batch(command)
        self._redirects = not self.batch and (">" in command or ".sh" in command or self.via == "unit")
        self.machine.refresh()
        self.machine.refresh_proc()
        result = await self._interpreter().execute(command)
        if self.batch:
            self.node.clock.advance(BATCH_SECONDS)
        stderr = self._errors(result.stderr) + self._collect()
        status = result.exit_code
        parse = re.match(r"parse error at line (\d+).*?: (.*)", result.error or "", re.S)
        if parse is not None:
            stderr += f"bash: -c: line {parse[1]}: {parse[2]}\nbash: -c: line {parse[1]}: `{command}'\n"
            status = 2
        return result.stdout, stderr, status

    def _interpreter(self) -> Bash:
        node = self.node
        bash = Bash(
            username="root", hostname=node.name, cwd="/root",
            env={"HOME": "/root", "USER": "root", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            timeout_seconds=86400.0, max_commands=_LIMIT, max_loop_iterations=_LIMIT,
            custom_builtins=self._builtins(),
        )
        bash.mount("/", node.files.root)
        refuse = node.pmxcfs.mounted and not self._may_write()
        bash.mount(CONFIG_MOUNT, node.files.config, read_only=refuse)
        bash.mount(DATABASE_MOUNT, node.files.database)
        for directory in BINARY_DIRECTORIES:
            bash.mount(directory, _BINARIES, read_only=True)
        return bash

    def _builtins(self) -> dict[str, Callable[[BuiltinContext], str | Awaitable[BuiltinResult]]]:
        """A batch's probes all come by way of timeout; the rest of its runner is the interpreter's own."""
        if self.batch:
            return {"timeout": self._builtin("timeout"), "flock": lambda _context: ""}
        return {name: self._builtin(name) for name in COMMANDS}

    def _may_write(self) -> bool:
        try:
            self.node.pmxcfs.may_write()
        except OSError:
            return False
        return True

    def _builtin(self, name: str) -> Callable[[BuiltinContext], Awaitable[BuiltinResult]]:
        async def run(context: BuiltinContext) -> BuiltinResult:
            try:
                result = await self._call(name, context.argv, context.stdin, context.cwd)
            except Hung:
                self.machine.blocked.add(self.via)
                self.machine.progress.set()
                await asyncio.Event().wait()
                raise
            return BuiltinResult(result.stdout, result.stderr, result.exit_status)

        return run

    async def _call(self, name: str, argv: list[str], stdin: str | None, cwd: str) -> Result:
        errors = self._collect()
        call = Call(self.node, name, argv, self, stdin, cwd)
        try:
            outcome = COMMANDS[name](call)
            result = await outcome if inspect.isawaitable(outcome) else outcome
        except (IndexError, KeyError, ValueError) as problem:
            self._unsimulated(f"{name} {shlex.join(argv)} ({problem!r})")
            result = Result("", f"{name}: these arguments are not simulated: {shlex.join(argv)}\n", 127)
        if errors:
            result.stderr = errors + result.stderr
        if not self.batch and name not in ("sleep", "timeout"):
            self.node.clock.advance(result.seconds)
            self.machine.refresh()
        if name not in ("flock", "timeout"):
            self.machine.record([name, *argv], result, self.number, self.via)
        self.machine.progress.set()
        return result

    def _collect(self) -> str:
        """Take over what a redirection wrote into /etc/pve."""
        if not self._redirects:
            return ""
        try:
            changed = self.node.pmxcfs.collect()
        except OSError as error:
            return f"bash: line 1: {error.filename}: {error.strerror}\n"
        for path in changed:
            self.machine.record([">", f"{CONFIG_MOUNT}/{path}"], Result(mutating=True), self.number, self.via)
        self.machine.refresh()
        return ""

    def _errors(self, text: str) -> str:
        for match in _NOT_FOUND.finditer(text):
            if match[2] != "curl":
                self._unsimulated(match[2])
        for match in _NO_BINARY.finditer(text):
            self._unsimulated(match[1])
        text = _NOT_FOUND.sub(r"\1\2: command not found", text)
        return text.replace("filesystem is read-only", "Permission denied")

    def _unsimulated(self, name: str) -> None:
        with self.machine.unsimulated.open("a", encoding="utf-8") as log:
            log.write(f"{self.node.name}: {name}\n")


def _is_batch(command: str) -> bool:
    """Whether the command is the batch runner of the wire: `bash -c RUNNER batch ...`."""
    if not command.startswith("bash -c "):
        return False
    with contextlib.suppress(ValueError):
        return shlex.split(command)[3:4] == ["batch"]
    return False
