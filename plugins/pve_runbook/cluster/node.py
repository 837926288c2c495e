"""One node of a run: what it is asked, and what is done to it."""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

from pve_runbook.actions.action import Action
from pve_runbook.actions.errors import ActionFailed, NotAllowed, OutcomeUnknown
from pve_runbook.cluster import action_events, gate_command, rounds
from pve_runbook.cluster.gate_command import REFUSED
from pve_runbook.cluster.line import Line
from pve_runbook.cluster.rounds import Question, asked_once, first_round, follow_up, of_family, of_probe, pause
from pve_runbook.cluster.surroundings import Surroundings
from pve_runbook.facts.guests import subject_of_pids
from pve_runbook.facts.node import Glimpse, NodeFacts
from pve_runbook.journal import events
from pve_runbook.parsers.output import Output, ParseError, Unsettled
from pve_runbook.parsers.pmxcfs import Members
from pve_runbook.parsers.pvecm import PvecmStatus
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import Missing, UnknownFact
from pve_runbook.probes.probe import TOOLS, Group, Probe, ProbeFamily
from pve_runbook.ssh.batch import NoAnswer, Same, run_batch
from pve_runbook.ssh.connection import Connection
from pve_runbook.ssh.detached import How, NotStarted, Sent, run_detached
from pve_runbook.ssh.exec import Result, WireError, execute
from pve_runbook.ssh.hosts import Target
from pve_runbook.ssh.transport import Refused

T = TypeVar("T")

SECOND_LOOKS = 10
"""How often a node that was caught in the middle of something is asked again, a second apart."""
ENVIRONMENT = "LC_ALL=C LANG=C TERM=dumb "


class Node:
    """One Proxmox VE host behind one connection."""

    def __init__(self, run: Surroundings, target: Target, connection: Connection) -> None:
        self._run = run
        self.target = target
        self.line = Line(run, connection, self._boot_of)
        self.unreached: str | None = None
        """Why the node was never connected to; then nothing is sent, and every fact of it is unknown."""
        self._facts: NodeFacts | None = None
        self._few: Sequence[Probe[object]] = ()
        self.times_ended = 0
        """How often an action or a wait ended its facts."""
        self.times_changed = 0
        """How often it was more than an action on the tool's own places, which tells nothing of what else was read."""
        self._groups: set[Group] = set()
        self._whole: tuple[NodeFacts, frozenset[Group]] | None = None
        """The last reading of everything, while nothing but the tool's own places was changed since."""
        self._kept: dict[str, object] = {}
        """What it is not asked again: a storage that did not answer in its time would cost the run the same wait."""

    @property
    def name(self) -> str:
        """As given in --hosts; reports and ids use it."""
        return self.target.name

    @property
    def facts(self) -> NodeFacts:
        """Facts that are not older than the last action on any node; read (on all nodes) when they are.

        Inside :meth:`Cluster.each` a node looks after itself: only its own actions end its facts, and only it
        is read again. Within :meth:`asking_only` few things are asked.
        """
        if self._few:
            self.read_few(self._few)
        if self._facts is None:
            self._load(Group.CORE)
        assert self._facts is not None
        return self._facts

    def _load(self, group: Group) -> None:
        groups = TOOLS if group in TOOLS and not self._run.read_only else (group,)
        if self._run.is_side_by_side:
            self.read(*groups)
        else:
            self._run.read(*groups)

    @property
    def work(self) -> str:
        """Names the work that this node is locked for, and the tool's folder on it."""
        return self._run.work

    @contextmanager
    def asking_only(self, few: Sequence[Probe[object]]) -> Iterator[None]:
        """Ask ``few`` alone, where facts have ended, between two actions and while a state is waited for.

        A fact that rests on anything else has the node read whole. What was read so ends with this: gates are judged
        by one reading of everything.
        """
        before, self._few = self._facts, few
        try:
            yield
        finally:
            self._few = ()
            if self._facts is not None and self._facts.is_partial and self._facts is not before:
                self.forget(own=True)

    def forget(self, *, own: bool = False) -> None:
        """End the validity of what is known of this node; ``own``: what :meth:`renew` asks for is enough to go on."""
        self.times_ended += 1
        self.times_changed += not own
        if not own:
            self._whole = None
        elif self._facts is not None and not self._facts.is_partial:
            self._whole = self._facts, frozenset(self._groups)
        self._facts = None
        self._groups.clear()

    @property
    def connection(self) -> Connection:
        """The present one: it is another one after it was lost."""
        return self.line.connection

    # --- reading

    def read(self, *groups: Group) -> None:
        """Ask the probes of the groups that are not known yet, and what follows from their answers: two round trips.

        A third one is needed where only the answers to the second name a storage or an address. A lost connection
        makes every fact of the groups unknown; it is not an error here.
        """
        new = [g for g in groups if g not in self._groups]
        if not new:
            return
        if self._facts is not None and self._facts.is_partial and Group.CORE not in new:
            new.insert(0, Group.CORE)
        if Group.ACTIVATING in new and self._run.read_only and not self._run.activate_storage:
            raise NotAllowed("`pvesm status` mounts what is not mounted on the node; see --activate-storage")
        facts = self._facts or NodeFacts(self.name, dict(self._kept), load=self._load)
        if Group.CORE in new:
            facts.asked = time.time()
        first = [q for q in first_round(new, self._run.since) if q.key not in self._kept]
        facts.readings.update(self._ask_settled(first))
        facts.is_partial = False
        boot = facts.readings.get(probes.BOOT_ID.name)
        self.line.boot = self.line.boot or (boot if isinstance(boot, str) else "")
        for _ in range(2):
            facts.readings.update(self._ask(follow_up(facts, new)))
        if not self._kept and Group.CORE in new:
            self._kept = asked_once(facts)
        self._groups.update(new)
        self._facts = facts

    def read_few(self, few: Sequence[Probe[object]]) -> None:
        """Where facts have ended ask ``few`` alone, one round trip, and one more for the database; for any other fact
        the node is read whole."""
        if self._facts is None:
            self._facts = NodeFacts(self.name, dict(self._kept), load=self._load, is_partial=True)
            self._facts.readings.update(self._settled(few))
            if probes.TREE in few and (tree := rounds.tree_probe(self._facts)) is not None:
                self._facts.readings.update(self._ask([of_probe(tree)]))

    def _settled(self, few: Iterable[Probe[object]]) -> dict[str, object]:
        """What is said to ``few`` but the database: it tells how that one may be read."""
        return self._ask_settled([of_probe(p) for p in few if p is not probes.TREE])

    def renew(self, few: Sequence[Probe[object]]) -> None:
        """Ask ``few`` anew, and go on with what else was read, where only the tool's own places were changed since."""
        if self._whole is None:
            self.read_few(few)
        elif self._facts is None or self._facts.is_partial:
            before, groups = self._whole
            anew = {p.name for p in few}
            kept = {key: value for key, value in before.readings.items() if key not in anew}
            self._facts = NodeFacts(self.name, kept, asked=before.asked, load=self._load)
            kept.update(self._settled(few))
            kept.update(self._ask(follow_up(self._facts, groups)))
            self._groups = set(groups)

    def poll(self, seconds: int) -> None:
        """Wait on the node itself: a round trip that ends after ``seconds``, then what was known is forgotten."""
        self._ask([pause(seconds)])
        self.forget()

    def starts(self, pids: Iterable[int]) -> Mapping[int, int] | None:
        """Those of ``pids`` that live now → when they began, in clock ticks since boot; None when the node is silent.

        Does not touch its facts. A look at known processes costs the node a third of a search for them.
        """
        question = of_family(per_subject.PROC_STATS, subject_of_pids(pids))
        answer = self._ask([question])[question.key]
        return None if isinstance(answer, Missing) else answer

    def keep_own_words(self, seconds: int) -> None:
        """Have the record keep what the node's journal says of the last ``seconds``: of pve-cluster, corosync and sshd.

        Nothing is judged by it, and a connection that is lost is not brought back for it.
        """
        self._ask([of_family(per_subject.OWN_WORDS, str(seconds))], over=self.connection)

    def glimpse(self, seconds: int) -> Glimpse:
        """What pvecm and pmxcfs say of the membership now, None for what does not answer; the round trip ends after
        ``seconds``. Does not touch its facts."""
        asked: list[Question[object]] = [of_probe(probes.PVECM), of_probe(probes.MEMBERS), pause(seconds)]
        said = self._ask(asked)
        pvecm, members = said[probes.PVECM.name], said[probes.MEMBERS.name]
        return (
            pvecm if isinstance(pvecm, PvecmStatus) else None,
            members if isinstance(members, Members) else None,
        )

    def round_trip(self) -> float:
        """Seconds that one small question takes. Raises UnknownFact when it is not answered."""
        started = time.monotonic()
        self.ask(probes.BOOT_ID)
        return time.monotonic() - started

    def clock_offset(self) -> float:
        """Seconds by which the node's clock is ahead of the control host's, give or take half a round trip.

        Raises UnknownFact.
        """
        asked = time.time()
        said = self.ask(probes.CLOCK)
        return said - (asked + time.time()) / 2

    def ask(self, probe: Probe[T]) -> T:
        """Read one probe by itself, now. Raises UnknownFact."""
        return self._single(of_probe(probe))

    def ask_about(self, family: ProbeFamily[T], subject: str) -> T:
        """Read one probe of a family by itself, now. Raises UnknownFact."""
        try:
            question = of_family(family, subject)
        except ValueError as error:
            raise UnknownFact(self.name, f"{family.name}:{subject}", str(error)) from None
        return self._single(question)

    def _single(self, question: Question[T]) -> T:
        value = self._ask([question])[question.key]
        if isinstance(value, Missing):
            raise UnknownFact(self.name, shlex.join(question.argv), value.why, not_understood=value.not_understood)
        return value

    def _ask_settled(self, questions: Sequence[Question[T]]) -> dict[str, T | Missing]:
        said = self._ask(questions)
        for _ in range(SECOND_LOOKS):
            missing = ((q, said[q.key]) for q in questions)
            again = [q for q, value in missing if isinstance(value, Missing) and issubclass(value.kind, Unsettled)]
            if not again:
                break
            looked: list[Question[object]] = [*again, pause(1)]
            answers = self._ask(looked)
            said.update({q.key: cast(T | Missing, answers[q.key]) for q in again})
        return said

    def _boot_of(self, connection: Connection) -> str:
        said = self._ask([of_probe(probes.BOOT_ID)], over=connection)[probes.BOOT_ID.name]
        return "" if isinstance(said, Missing) else said

    def _ask(self, questions: Sequence[Question[T]], over: Connection | None = None) -> dict[str, T | Missing]:
        """``over``: a connection that is not brought back when it is lost."""
        if self.unreached is not None:
            return {q.key: Missing(f"it was not reached ({self.unreached})") for q in questions}
        if not questions:
            return {}
        journal = self._run.journal
        ids = {f"p{i}": q for i, q in enumerate(questions)}
        batch = self._run.answers.ask(self.name, questions)
        seen = {i: digest for i, q in ids.items() if (digest := self._run.answers.worth_telling(self.name, q))}
        started = time.monotonic()
        answers: dict[str, Output | Same | NoAnswer]
        bound = max(q.timeout for q in questions) * self._run.timeout_scale
        what = f"an answer to {questions[0].key}" if len(questions) == 1 else f"answers to {len(questions)} probes"
        asked = [(i, q.timeout, q.argv) for i, q in sorted(ids.items(), key=lambda item: rounds.dear(item[1]))]
        scale = self._run.timeout_scale
        try:
            with self._run.waits.on(self.name, what, bound):
                if over is not None:
                    answers = run_batch(over, asked, scale, seen=seen)
                else:
                    answers = self.line.carry(lambda losses: run_batch(self.connection, asked, scale, seen=seen))
        except Refused as error:
            journal.write(events.Refused(node=self.name, batch=batch, why=str(error)))
            raise NotAllowed(REFUSED.format(node=self.name, why=error)) from None
        except (WireError, ParseError) as error:
            answers = {i: NoAnswer(str(error)) for i in ids}
        seconds = round(time.monotonic() - started, 3)
        # taken out one by one: a large answer is not kept longer than it takes
        said = ((question, answers.pop(i, NoAnswer("no answer"))) for i, question in ids.items())
        return self._run.answers.read(self.name, batch, said, seconds)

    # --- changing

    def act(self, action: Action, *, stdin: bytes | None = None) -> Output:
        """Send one action and return what it said; every fact of every node ends with it.

        A signal that comes meanwhile waits for its end. Raises NotAllowed (a run that only verifies), ActionFailed
        (exit status other than 0) and OutcomeUnknown (line lost, time over).
        """
        if self._run.read_only:
            raise NotAllowed(f"{self.name}: `{shlex.join(action.argv)}` would change the node; checks only read")
        with self._run.brakes.held():
            return self._act(action, stdin)

    def _act(self, action: Action, stdin: bytes | None) -> Output:
        journal = self._run.journal
        if not journal.is_attached:
            raise NotAllowed(f"{self.name}: no journal on disk yet; nothing is changed before there is one")
        number = journal.write(action_events.intent(self.name, action, stdin), sync=True)
        from pve_runbook.actions.own_places import OWN_PLACES  # not for checks/, which send no action

        own = action.name in OWN_PLACES
        self._forget_all(own=own)
        started = time.monotonic()
        try:
            output = self._send(action, f"{self._run.attempt}-{number}", stdin)
        except (WireError, ParseError) as error:
            self._record_action(number, None, Output("", "", 0), started, "unknown", str(error))
            raise OutcomeUnknown(self.name, action, str(error)) from None
        except NotStarted as error:
            self._record_action(number, None, Output("", str(error), 0), started, "failed", "it was not started")
            raise ActionFailed(self.name, action, Output("", str(error), 255)) from None
        finally:
            self._forget_all(own=own)
        done = output.exit_status == 0
        self._record_action(number, output.exit_status, output, started, "done" if done else "failed", None)
        if not done:
            raise ActionFailed(self.name, action, output)
        return output

    def _send(self, action: Action, name: str, stdin: bytes | None) -> Output:
        """Raises WireError, ParseError (the outcome is unknown), NotStarted."""
        seconds = action.timeout * self._run.timeout_scale
        how: How = "unit" if action.detached else "here"
        self.line.is_unmounted = self.line.is_unmounted or action.unmounts
        with self._run.waits.on(self.name, f"the end of {action.name}", seconds):
            if action.kept:
                sent = Sent(name, self._run.work, action.argv, seconds, how, stdin)
                return self.line.carry(lambda losses: run_detached(self.connection, sent, losses))
            result = self._execute(shlex.join(action.argv), seconds, repeats=action.repeatable)
        if result.exit_status is None:
            raise ParseError("it was ended by a signal")
        out, err = (s.decode("utf-8", "replace") for s in (result.stdout, result.stderr))
        return Output(out, err, result.exit_status)

    def _execute(self, command: str, seconds: float, *, repeats: bool) -> Result:
        """Raises WireError."""
        text = ENVIRONMENT + command
        return self.line.carry(lambda losses: execute(self.connection, text, timeout=seconds), repeats=repeats)

    def _forget_all(self, *, own: bool) -> None:
        (self if self._run.is_side_by_side else self._run).forget(own=own)

    def _record_action(
        self,
        action_id: int,
        status: int | None,
        output: Output,
        started: float,
        outcome: events.ActionOutcome,
        error: str | None,
    ) -> None:
        seconds = round(time.monotonic() - started, 3)
        told = action_events.outcome(self.name, action_id, status, output, seconds, outcome, error)
        self._run.journal.write(told, sync=True)

    def fetch(self, path: str, *, timeout: float = 300) -> bytes:
        """Bring one file of the tool's own folder to the control host.

        Raises ConnectionLost, CommandTimeout, and UnknownFact when it cannot be read.
        """
        seconds = timeout * self._run.timeout_scale
        with self._run.waits.on(self.name, f"the copy of {path.rpartition('/')[2]}", seconds):
            result = self._execute(shlex.join(("base64", "-w0", path)), seconds, repeats=True)
        if result.exit_status != 0:
            raise UnknownFact(self.name, f"base64 {path}", result.stderr.decode("utf-8", "replace").strip())
        return base64.b64decode(result.stdout, validate=True)

    def gate_command(self, command: str) -> tuple[int, bytes, bytes]:
        """Run a command of testinfra's own for a gate that a user added; (exit status, stdout, stderr).

        Raises NotAllowed in a run that only verifies: a free command could change the node.
        """
        if self._run.read_only:
            return gate_command.detection(self.name, command, self.ask)
        return gate_command.free(
            self._run, self.name, command, lambda text, seconds: self._execute(text, seconds, repeats=False)
        )

    def journal_transfer(self, name: str, size: int, sha256: str) -> None:
        """Record a file that came from this node, by name, size in bytes and hash; never its content."""
        self._run.journal.write(events.Transfer(node=self.name, file=name, size=size, sha256=sha256))
