"""The nodes of one run: their facts, read side by side, and the actions sent to them."""

from __future__ import annotations

import base64
import hashlib
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pve_runbook.facts.output import Output, ParseError
from pve_runbook.wire.batch import NoAnswer, run_batch
from pve_runbook.wire.channel import WireError, execute
from pve_runbook.wire.connection import ConnectFailed, Connection, ConnectOptions, open_all
from pve_runbook.wire.journal import Journal
from pve_runbook.wire.targets import Target
from pve_runbook.work import probes
from pve_runbook.work.actions import Action
from pve_runbook.work.followup import Question, second_round
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.probes import Group, Probe, ProbeFamily
from pve_runbook.work.readings import Missing, UnknownFact

T = TypeVar("T")

ENVIRONMENT = "LC_ALL=C LANG=C TERM=dumb "


class ActionFailed(Exception):
    """A command that changes a node was refused or failed; the message says what was seen and what to do."""

    def __init__(self, node: str, action: Action, output: Output) -> None:
        said = " ".join((output.stderr or output.stdout).split()) or "nothing"
        super().__init__(
            f"{node}: `{shlex.join(action.argv)}` ended with exit status {output.exit_status} and said: {said}\n"
            f"It was sent because: {action.why}.\n"
            f"Look at it on {node}, then run the same command line again; undo: {action.undo}"
        )
        self.node = node


class OutcomeUnknown(Exception):
    """The line was lost or the time ran out while a change was under way: it may or may not have happened."""

    def __init__(self, node: str, action: Action, why: str) -> None:
        super().__init__(
            f"{node}: no outcome of `{shlex.join(action.argv)}`: {why}\n"
            f"It may or may not have taken effect; nothing further is sent.\n"
            f"Run the same command line again: it reads the node first and goes on from what it finds"
        )
        self.node = node


class NotAllowed(Exception):
    """A run that only verifies was asked to change a node."""


class Node:
    """One Proxmox VE host behind one connection."""

    def __init__(self, cluster: Cluster, target: Target, connection: Connection) -> None:
        self._cluster = cluster
        self.target = target
        self.connection = connection
        self._facts: NodeFacts | None = None
        self._groups: set[Group] = set()

    @property
    def name(self) -> str:
        """As given in --hosts; reports and ids use it."""
        return self.target.name

    @property
    def facts(self) -> NodeFacts:
        """Facts that are not older than the last action on any node; read (on all nodes) when they are.

        Inside :meth:`Cluster.each` a node looks after itself: only its own actions end its facts, and only it
        is read again.
        """
        if self._facts is None:
            self._load(Group.CORE)
        assert self._facts is not None
        return self._facts

    def _load(self, group: Group) -> None:
        if self._cluster.is_side_by_side:
            self.read(group)
        else:
            self._cluster.read(group)

    def forget(self) -> None:
        """End the validity of what is known of this node."""
        self._facts = None
        self._groups.clear()

    # --- reading

    def read(self, group: Group) -> None:
        """Ask the probes of ``group``, and for the core group what follows from them: one or two round trips.

        A lost connection makes every fact of the group unknown; it is not an error here.
        """
        if group in self._groups:
            return
        if group is Group.ACTIVATING and self._cluster.read_only:
            raise NotAllowed(f"{self.name}: `pvesm status` mounts what is not mounted; checks only read")
        facts = self._facts or NodeFacts(self.name, {}, load=self._load)
        questions = [Question(p.name, p.argv, p.timeout, p.parse, p.why, p.redact) for p in _of_group(group)]
        facts.readings.update(self._ask(questions))
        if group is Group.CORE:
            facts.taken = time.time()
            facts.readings.update(self._ask(second_round(facts)))
        self._groups.add(group)
        self._facts = facts

    def poll(self, seconds: int) -> None:
        """Wait on the node itself: a round trip that ends after ``seconds``, then what was known is forgotten."""
        self._ask([Question("sleep", ("sleep", str(seconds)), seconds + 10, lambda o: o, "a bounded wait", None)])
        self.forget()

    def round_trip(self) -> float:
        """Seconds that one small question takes. Raises UnknownFact when it is not answered."""
        started = time.monotonic()
        self.ask(probes.BOOT_ID)
        return time.monotonic() - started

    def ask(self, probe: Probe[T]) -> T:
        """Read one probe by itself, now. Raises UnknownFact."""
        question = Question(probe.name, probe.argv, probe.timeout, probe.parse, probe.why, probe.redact)
        return self._single(question)

    def ask_about(self, family: ProbeFamily[T], subject: str) -> T:
        """Read one probe of a family by itself, now. Raises UnknownFact."""
        key = f"{family.name}:{subject}"
        return self._single(Question(key, family.argv(subject), family.timeout, family.parse, family.why, None))

    def _single(self, question: Question[T]) -> T:
        value = self._ask([question])[question.key]
        if isinstance(value, Missing):
            raise UnknownFact(self.name, shlex.join(question.argv), value.why)
        return value

    def _ask(self, questions: Sequence[Question[T]]) -> dict[str, T | Missing]:
        if not questions:
            return {}
        journal = self._cluster.journal
        ids = {f"p{i}": q for i, q in enumerate(questions)}
        batch = journal.write(
            "batch",
            node=self.name,
            probes=[{"id": q.key, "argv": list(q.argv), "why": q.why} for q in questions],
        )
        started = time.monotonic()
        answers: dict[str, Output | NoAnswer]
        try:
            answers = run_batch(
                self.connection,
                [(i, q.timeout, q.argv) for i, q in ids.items()],
                timeout_scale=self._cluster.timeout_scale,
            )
        except (WireError, ParseError) as error:
            answers = {i: NoAnswer(str(error)) for i in ids}
        seconds = round(time.monotonic() - started, 3)
        values: dict[str, T | Missing] = {}
        for i, question in ids.items():
            answer = answers.get(i, NoAnswer("no answer"))
            self._cluster.record_answer(self.name, batch, question, answer, seconds)
            if isinstance(answer, NoAnswer):
                values[question.key] = Missing(answer.why)
                continue
            try:
                values[question.key] = question.parse(answer)
            except ParseError as error:
                values[question.key] = Missing(str(error))
        return values

    # --- changing

    def act(self, action: Action, *, stdin: bytes | None = None) -> Output:
        """Send one action and return what it said; every fact of every node ends with it.

        Raises NotAllowed (a run that only verifies), ActionFailed (exit status other than 0) and
        OutcomeUnknown (line lost, time over).
        """
        if self._cluster.read_only:
            raise NotAllowed(f"{self.name}: `{shlex.join(action.argv)}` would change the node; checks only read")
        journal = self._cluster.journal
        if not journal.is_attached:
            raise NotAllowed(f"{self.name}: no journal on disk yet; nothing is changed before there is one")
        number = journal.write(
            "action-intent",
            sync=True,
            node=self.name,
            action=action.name,
            argv=list(action.argv),
            why=action.why,
            undo=action.undo,
            stdin_sha256=hashlib.sha256(stdin).hexdigest() if stdin is not None else None,
        )
        self._forget_all()
        started = time.monotonic()
        try:
            result = execute(
                self.connection,
                ENVIRONMENT + shlex.join(action.argv),
                timeout=action.timeout * self._cluster.timeout_scale,
                stdin=stdin,
            )
        except WireError as error:
            self._record_action(number, None, "", "", started, "unknown", str(error))
            raise OutcomeUnknown(self.name, action, str(error)) from None
        finally:
            self._forget_all()
        out, err = (s.decode("utf-8", "replace") for s in (result.stdout, result.stderr))
        if result.exit_status is None:
            self._record_action(number, None, out, err, started, "unknown", "ended by a signal")
            raise OutcomeUnknown(self.name, action, "the command was ended by a signal")
        output = Output(out, err, result.exit_status)
        done = result.exit_status == 0
        self._record_action(number, result.exit_status, out, err, started, "done" if done else "failed", None)
        if not done:
            raise ActionFailed(self.name, action, output)
        return output

    def _forget_all(self) -> None:
        if self._cluster.is_side_by_side:
            self.forget()
        else:
            self._cluster.forget()

    def _record_action(
        self,
        action_id: int,
        status: int | None,
        out: str,
        err: str,
        started: float,
        outcome: str,
        error: str | None,
    ) -> None:
        self._cluster.journal.write(
            "action",
            sync=True,
            action_id=action_id,
            node=self.name,
            exit_status=status,
            stdout=out,
            stderr=err,
            seconds=round(time.monotonic() - started, 3),
            outcome=outcome,
            error=error,
        )

    def fetch(self, path: str, *, timeout: float = 300) -> bytes:
        """Bring one file of the tool's own folder to the control host.

        Raises ConnectionLost, CommandTimeout, and UnknownFact when it cannot be read.
        """
        result = execute(
            self.connection,
            ENVIRONMENT + shlex.join(("base64", "-w0", path)),
            timeout=timeout * self._cluster.timeout_scale,
        )
        if result.exit_status != 0:
            raise UnknownFact(self.name, f"base64 {path}", result.stderr.decode("utf-8", "replace").strip())
        return base64.b64decode(result.stdout, validate=True)

    def gate_command(self, command: str) -> tuple[int, bytes, bytes]:
        """Run a command of testinfra's own for a gate that a user added; (exit status, stdout, stderr).

        Raises NotAllowed in a run that only verifies: a free command could change the node.
        """
        if self._cluster.read_only:
            raise NotAllowed(
                f"{self.name}: `{command}` is not one of the registered probes.\n"
                f"checks/ can only send those, so that no check can change a node.\n"
                f"Read a fact of host.pve instead, or put this gate into runbook/"
            )
        started = time.monotonic()
        result = execute(self.connection, ENVIRONMENT + command, timeout=60 * self._cluster.timeout_scale)
        self._cluster.journal.write(
            "testinfra",
            node=self.name,
            command=command,
            exit_status=result.exit_status,
            stdout=result.stdout.decode("utf-8", "replace"),
            stderr=result.stderr.decode("utf-8", "replace"),
            seconds=round(time.monotonic() - started, 3),
        )
        if result.exit_status is None:
            raise UnknownFact(self.name, command, "ended by a signal")
        return result.exit_status, result.stdout, result.stderr

    def journal_transfer(self, name: str, size: int, sha256: str) -> None:
        """Record a file that came from this node, by name, size in bytes and hash; never its content."""
        self._cluster.journal.write("transfer", node=self.name, file=name, size=size, sha256=sha256)


def _of_group(group: Group) -> list[Probe[object]]:
    return [p for p in probes.FIRST_ROUND if p.group is group]


class Cluster:
    """All nodes of the run."""

    def __init__(
        self,
        targets: Sequence[Target],
        options: ConnectOptions,
        journal: Journal,
        *,
        read_only: bool,
        timeout_scale: float = 1.0,
    ) -> None:
        self.journal = journal
        self.read_only = read_only
        self.timeout_scale = timeout_scale
        self._executor = ThreadPoolExecutor(max_workers=max(4, len(targets)), thread_name_prefix="node")
        self.nodes = [Node(self, t, Connection(t, options)) for t in targets]
        self._last: dict[tuple[str, str], tuple[str, int]] = {}
        self._side_by_side = threading.local()

    @property
    def is_side_by_side(self) -> bool:
        """Whether this thread works on one node of several in :meth:`each`."""
        return getattr(self._side_by_side, "on", False)

    def open(self) -> dict[str, ConnectFailed]:
        """Connect to all nodes side by side; node name → what went wrong, empty when all are reached."""
        failed = open_all([n.connection for n in self.nodes], self._executor)
        return {t.name: f for t, f in failed.items() if f is not None}

    def close(self) -> None:
        """Close every connection; bounded."""
        for node in self.nodes:
            node.connection.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def node(self, name: str) -> Node:
        """The node called ``name`` in --hosts. Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def forget(self) -> None:
        """End the validity of every fact of every node."""
        for node in self.nodes:
            node.forget()

    def read(self, group: Group) -> None:
        """Read ``group`` on every node that does not know it yet, side by side."""
        list(self._executor.map(lambda n: n.read(group), self.nodes))

    def each(self, work: Callable[[Node], T], nodes: Iterable[Node] | None = None) -> list[T]:
        """Do ``work`` on the nodes side by side; every one is done before the first error is raised."""

        def alone(node: Node) -> T:
            self._side_by_side.on = True
            try:
                return work(node)
            finally:
                self._side_by_side.on = False

        futures = [self._executor.submit(alone, n) for n in (self.nodes if nodes is None else nodes)]
        errors = [f.exception() for f in futures]
        self.forget()
        for error in errors:
            if error is not None:
                raise error
        return [f.result() for f in futures]

    def wait_until(self, node: Node, holds: Callable[[NodeFacts], bool], what: str, *, seconds: int = 30) -> None:
        """Read ``node`` until ``holds``; at most ``seconds``, waited on the node.

        Raises UnknownFact when the bound is over.
        """
        waited = 0
        while not holds(node.facts):
            if waited >= seconds:
                raise UnknownFact(node.name, what, f"did not come about within {seconds} s")
            node.poll(1)
            self.forget()
            waited += 1

    def record_answer(
        self, node: str, batch: int, question: Question[T], answer: Output | NoAnswer, seconds: float
    ) -> None:
        """Write one probe's answer to the journal; an answer that did not change is a reference."""
        if isinstance(answer, NoAnswer):
            self.journal.write("probe", batch=batch, node=node, id=question.key, error=answer.why, seconds=seconds)
            return
        stdout = question.redact(answer) if question.redact else answer.stdout
        digest = hashlib.sha256(f"{answer.exit_status}\0{stdout}\0{answer.stderr}".encode()).hexdigest()
        last = self._last.get((node, question.key))
        if last is not None and last[0] == digest and len(stdout) > 200:
            self.journal.write("probe", batch=batch, node=node, id=question.key, same_as=last[1], seconds=seconds)
            return
        number = self.journal.write(
            "probe",
            batch=batch,
            node=node,
            id=question.key,
            exit_status=answer.exit_status,
            stdout=stdout,
            stderr=answer.stderr,
            seconds=seconds,
        )
        self._last[(node, question.key)] = (digest, number)
