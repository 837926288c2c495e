"""One SSH channel or transient unit: a bash interpreter over the node's files and the simulated commands.

Each channel runs in a thread of its own; whatever touches the model does so in its turn, under one lock.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import threading
from collections.abc import Callable

from bashkit import BuiltinResult

from pve_lab import batch
from pve_lab.commands.base import Call, Result
from pve_lab.commands.intent import intends_change
from pve_lab.commands.registry import COMMANDS, WITHOUT_SHELL
from pve_lab.faults import Fault
from pve_lab.interpreter import Interpreter
from pve_lab.machine import Machine
from pve_lab.model.file_answers import Hung
from pve_lab.model.files import CONFIG_MOUNT, Remembered
from pve_lab.model.units import Unit
from pve_lab.reach import Reach, may_redirect, reach_of, text_of
from pve_lab.signals import kill_and_wait, terminate

BATCH_SECONDS = 0.02
"""Model seconds of a batch of probes that run side by side."""
NOT_INSTALLED = ("curl",)
"""Commands that a node does not have (recorded); asking for them is no gap of the lab."""
_NOT_FOUND = re.compile(r"^(bash: (?:line \d+: )?)(\S+): command not found(?:\. Did you mean.*)?$", re.M)
_NO_BINARY = re.compile(r"^bash: (?:line \d+: )?(/(?:usr/)?s?bin/\S+): No such file or directory$", re.M)
_PARSE_ERROR = re.compile(r"parse error at line (\d+).*?: (.*)", re.S)

Reader = Callable[[Callable[[bytes], None]], None]
"""Reads standard input to its end and hands it to the callback, from any thread."""


class Killed(Exception):
    """The channel's node was reset or the lab ends."""


def no_input(done: Callable[[bytes], None]) -> None:
    """Standard input of what has none."""
    done(b"")


class Channel:
    """One exec request; commands in it run one after the other, or side by side with `&`."""

    def __init__(self, machine: Machine, reader: Reader = no_input, via: str = "ssh") -> None:
        machine.opened += 1
        self.machine = machine
        self.node = machine.node
        self.number = machine.opened
        self.via = via
        self.blocked = False
        self.reach = Reach.NOTHING
        self._batch = False
        self._may_redirect = self._redirects = False
        self._killed = False
        self._abandoned = False
        self._reader = reader
        self._input: bytes | None = None
        self._shells: list[Interpreter] = []

    def kill(self) -> None:
        """Let the channel end at once; its turn must be held."""
        self._killed = True
        for shell in self._shells:
            shell.cancel()

    @property
    def was_killed(self) -> bool:
        """Whether its node was reset; its turn must be held."""
        return self._killed

    def hang_up(self) -> None:
        """The client is gone: what its frozen node has not begun is never begun. Its turn need not be held; who waits
        for one has to be told."""
        self._abandoned = True

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Give up the turn until the condition holds; raises Killed."""
        self.machine.turn.wait_for(lambda: self._killed or condition())
        if self._killed:
            raise Killed

    # -- what commands may ask -----------------------------------------------------------------

    def stdin(self) -> bytes:
        """All that the client sends on standard input, read once."""
        if self._input is None:
            self._reader(self._take_input)
            self._wait(lambda: self._input is not None)
        data, self._input = self._input or b"", b""
        return data

    def _take_input(self, data: bytes) -> None:
        with self.machine.turn:
            self._input = data
            self.machine.turn.notify_all()

    def run(self, argv: list[str], stdin: str | None) -> Result:
        """Run a command of this channel: a simulated one, or one of the interpreter's."""
        name = argv[0].rpartition("/")[2]
        if name in (WITHOUT_SHELL if self._batch else COMMANDS):
            return self._call(name, argv[1:], stdin or "" if self._batch else stdin, "/root")
        with self.machine.turn:
            shell = self._shell()
        found = shell.execute(shlex.join(argv))
        return Result(found.stdout, self._errors(found.stderr), found.exit_code)

    def sleep(self, seconds: float) -> None:
        """Let model time pass; the node's transient units have it first."""
        clock = self.node.clock
        with self.machine.turn:
            until = clock.now + seconds
            if self.via == "ssh":
                units = self.machine.units
                self._wait(lambda: clock.now >= until or all(c.blocked for c in units.values()))
            clock.advance_to(until)
            self.node.files.remembered = None
            if not self._batch:
                self.machine.refresh()
            self.machine.turn.notify_all()

    def detach(self, unit: str, argv: list[str], *, collect: bool, wait: bool, oneshot: bool) -> int:
        """Run a command as a transient unit with a shell of its own; its exit status when waited for."""
        running = _TransientUnit(self.machine, unit, argv, collect=collect, oneshot=oneshot)
        running.start()
        if wait:
            self._wait(lambda: running.status is not None)
        return running.status or 0

    # -- running -----------------------------------------------------------------------------

    def execute(self, command: str) -> tuple[str, str, int]:
        """Run a command line as sshd would: stdout, stderr, exit status. Raises Killed."""
        machine = self.machine
        probes = batch.probes_of(command)
        self._batch = probes is not None
        with machine.turn:
            if probes is None:
                text = text_of(command, self._script)
                self._may_redirect, self.reach = may_redirect(text), reach_of(text)
            machine.channels.add(self)
            self._wait_while_frozen()
            faults = self.machine.site.faults.at_read(self.node.name, self.node.clock.now) if self._batch else []
            self._suffer(faults, "before")
            machine.refresh_proc()
            shell = self._shell() if probes is None else None
            self.node.files.remembered = None
        try:
            if shell is None:
                with machine.turn:  # given up only where a probe waits: taking it for each cost more than the probes
                    said, broken = batch.run(probes or [], self._timed), None
            else:
                found = shell.execute(command)
                said, broken = (
                    Result(found.stdout, found.stderr, found.exit_code),
                    _PARSE_ERROR.match(found.error or ""),
                )
            with machine.turn:
                if self._killed:
                    raise Killed
                if self._batch:
                    self.node.clock.advance(BATCH_SECONDS)
                stderr = self._errors(said.stderr) + self._collect()
                self._suffer(faults, "after")
                self._wait_while_frozen()
        finally:
            with machine.turn:
                self.node.files.remembered = None
                machine.channels.discard(self)
                while self._shells:
                    self._shells.pop().close()
                machine.written()
                machine.turn.notify_all()
        if broken is None:
            return said.stdout, stderr, said.exit_status
        text = f"bash: -c: line {broken[1]}: {broken[2]}\nbash: -c: line {broken[1]}: `{command}'\n"
        return found.stdout, text, 2

    def _script(self, path: str) -> str:
        try:
            return self.node.files.text(path)
        except (OSError, Hung):
            return ""

    def _timed(self, seconds: str, argv: list[str]) -> Result:
        """Run one probe of a batch."""
        said = COMMANDS["timeout"](Call(self.node, "timeout", ["-k", "2", seconds, *argv], self, ""))
        return Result(said.stdout, self._errors(said.stderr), said.exit_status)

    def _remember(self) -> None:
        """Between the reads of a batch nothing changes; whatever else runs on the node may change everything."""
        files = self.node.files
        if not self._batch:
            files.remembered = None
        elif files.remembered is None:
            files.remembered = Remembered()

    def _wait_while_frozen(self) -> None:
        """A frozen node takes a command and does not begin it, or keeps its answer; its units go on."""
        if self.via == "ssh" and self.machine.frozen:
            self._wait(lambda: not self.machine.frozen or self._abandoned)
            if self._abandoned:
                raise Killed

    def _suffer(self, faults: list[Fault], when: str) -> Result | None:
        """Let faults strike; the answer that `fail` gives in place of the command. Raises Killed."""
        machine = self.machine
        answer = None
        for fault in faults:
            if fault.when != when:
                continue
            if fault.what == "kill" and fault.pid is not None:
                kill_and_wait(fault.pid)
            elif fault.what == "terminate" and fault.pid is not None:
                terminate(fault.pid)
            elif fault.what == "cut":
                machine.cut()
            elif fault.what == "freeze":
                machine.frozen = True
            elif fault.what == "fail":
                answer = Result("", f"{fault.message}\n", fault.status)
            elif fault.what == "run":
                type_by_hand(machine.site.machines[fault.on or self.node.name], fault.command)
            else:
                self.node.power_cycle()
        if self._killed:
            raise Killed
        return answer

    def _shell(self) -> Interpreter:
        if self._batch:
            self.reach = Reach.ALL
        self.machine.refresh()
        shell = Interpreter(self.node, self._serve)
        self._redirects = self._redirects or (self._may_redirect and not shell.config_is_read_only)
        self._shells.append(shell)
        return shell

    def _serve(self, name: str, argv: list[str], stdin: str | None, cwd: str) -> BuiltinResult:
        """Carry out a command that the interpreter came to."""
        try:
            result = self._call(name, argv, stdin, cwd)
        except Hung:
            with self.machine.turn, contextlib.suppress(Killed):
                self.blocked = True
                self.machine.turn.notify_all()
                self._wait(lambda: False)
            return BuiltinResult(exit_code=255)
        except Killed:
            return BuiltinResult(exit_code=255)
        return BuiltinResult(result.stdout, result.stderr, result.exit_status)

    def _call(self, name: str, argv: list[str], stdin: str | None, cwd: str) -> Result:
        call = Call(self.node, name, argv, self, stdin, cwd)
        if name == "timeout":
            return COMMANDS[name](call)
        machine = self.machine
        words = [name, *argv]
        with machine.turn:
            if self._killed:
                raise Killed
            self._remember()
            refused = self._collect()
            mutating, faults = False, list[Fault]()
            try:
                mutating = intends_change(call)
                if self.via != "other":
                    faults = machine.site.faults.at_command(
                        self.node.name, words, mutating=mutating, time=self.node.clock.now
                    )
                result = self._suffer(faults, "before") or WITHOUT_SHELL[name](call)
            except (Hung, Killed):
                raise
            except Exception as problem:  # whatever the lab cannot do must show in its log, not as an answer
                machine.unknown(f"{name} {shlex.join(argv)} ({problem!r})")
                result = Result("", f"{name}: these arguments are not simulated: {shlex.join(argv)}\n", 127)
            result.stderr = refused + result.stderr
            if not self._batch:
                self.node.clock.advance(result.seconds)
                machine.refresh()
            machine.record(words, result.exit_status, mutating, self.number, self.via)
            self._suffer(faults, "after")
            if not self._batch:
                machine.turn.notify_all()
            if self._killed:
                raise Killed
            return result

    def _collect(self) -> str:
        """Take over what a redirection wrote into /etc/pve."""
        if not self._redirects:
            return ""
        try:
            changed = self.node.pmxcfs.collect()
        except OSError as error:
            self.node.pmxcfs.refresh()
            return f"bash: line 1: {error.filename}: {error.strerror}\n"
        for path in changed:
            self.machine.record([">", f"{CONFIG_MOUNT}/{path}"], 0, True, self.number, self.via)
        self.machine.refresh()
        return ""

    def _errors(self, text: str) -> str:
        if not text:
            return text
        unknown = [m[2] for m in _NOT_FOUND.finditer(text)] + [m[1] for m in _NO_BINARY.finditer(text)]
        for name in unknown:
            if name not in NOT_INSTALLED:
                self.machine.unknown(name)
        text = _NOT_FOUND.sub(r"\1\2: command not found", text)
        return text.replace("filesystem is read-only", "Permission denied")


class _TransientUnit:
    """What systemd-run starts: it goes on without the connection that started it (recorded on PVE 8.3)."""

    def __init__(self, machine: Machine, name: str, argv: list[str], *, collect: bool, oneshot: bool) -> None:
        self.machine = machine
        self.status: int | None = None
        self._command = shlex.join(argv)
        self._collect = collect
        self._channel = Channel(machine, via="unit")
        node = machine.node
        self._process = node.processes.spawn(argv[0].rpartition("/")[2][:15], tuple(argv))
        self._unit = Unit(name, " ".join(argv), tuple(argv), enablement="transient", condition_result=True)
        self._unit.active, self._unit.sub = ("activating", "start") if oneshot else ("active", "running")
        self._unit.main_pid = self._process.pid
        node.units.table[name] = self._unit
        machine.units[name] = self._channel
        node.journal.systemd(name, f"Starting {name} - {self._unit.description}...")

    def start(self) -> None:
        """Begin; returns at once."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        said: tuple[str, str, int] | None = None
        with contextlib.suppress(Killed):
            said = self._channel.execute(self._command)
        with self.machine.turn:
            if self._channel.was_killed:  # after its command had ended, too: what ran on the node is gone
                said = None
            if said is not None:
                self._finish((said[0] + said[1]).splitlines(), said[2])
            if self.machine.units.get(self._unit.name) is self._channel:
                del self.machine.units[self._unit.name]
            self.status = 255 if said is None else said[2]
            self.machine.turn.notify_all()

    def _finish(self, lines: list[str], status: int) -> None:
        node, unit = self.machine.node, self._unit
        for line in lines:
            node.journal.add(unit.name, self._process.comm, self._process.pid, line)
        node.processes.end(self._process.pid)
        unit.main_pid, unit.exec_status = 0, status
        if status:
            unit.active, unit.sub, unit.result = "failed", "failed", "exit-code"
            node.journal.systemd(unit.name, f"{unit.name}: Main process exited, code=exited, status={status}/n/a", 5)
            node.journal.systemd(unit.name, f"{unit.name}: Failed with result 'exit-code'.", 4)
        else:
            unit.active, unit.sub = "inactive", "dead"
            node.journal.systemd(unit.name, f"{unit.name}: Deactivated successfully.")
            node.journal.systemd(unit.name, f"Finished {unit.name} - {unit.description}.")
        if self._collect or not status:
            node.units.table.pop(unit.name, None)


def type_by_hand(machine: Machine, command: str, stdin: bytes = b"") -> tuple[str, str, int]:
    """Run a command line as another hand on the node: stdout, stderr, exit status (255 when the node was reset)."""
    done: list[tuple[str, str, int]] = []

    def run() -> None:
        said = "", "", 255
        try:
            said = Channel(machine, lambda given: given(stdin), via="other").execute(command)
        except Killed:
            pass
        finally:
            with machine.turn:
                done.append(said)
                machine.turn.notify_all()

    threading.Thread(target=run, daemon=True).start()
    with machine.turn:
        machine.turn.wait_for(lambda: done)
    return done[0]
