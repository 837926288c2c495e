"""The nodes of one run: their facts, read side by side, and the actions sent to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from pve_runbook.cluster.node import Node
from pve_runbook.cluster.probe_journal import AnswerLog
from pve_runbook.cluster.progress import Waits
from pve_runbook.cluster.signals import Brakes
from pve_runbook.facts.clocks import agree
from pve_runbook.facts.node import Glimpse, NodeFacts
from pve_runbook.journal.journal import Journal
from pve_runbook.probes import allow_list
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.probe import Group, Probe
from pve_runbook.ssh.connection import Connection, ConnectOptions, open_all
from pve_runbook.ssh.errors import ConnectFailed
from pve_runbook.ssh.hosts import Target

T = TypeVar("T")


class Cluster:
    """All nodes of the run."""

    def __init__(
        self,
        targets: Sequence[Target],
        options: ConnectOptions,
        journal: Journal,
        *,
        read_only: bool,
        attempt: str,
        timeout_scale: float = 1.0,
        since: int = 86_400,
        activate_storage: bool = False,
        begun: Sequence[Connection] = (),
    ) -> None:
        """``begun``: connections to go on with, where they are what this run would open."""
        self.journal = journal
        if read_only:
            options = replace(options, known=allow_list.of_a_reading_run(activate_storage=activate_storage))
        self.connect = options
        self.answers = AnswerLog(journal)
        self.read_only = read_only
        self.timeout_scale = timeout_scale
        self.since = since
        self.activate_storage = activate_storage
        self.attempt = attempt
        self.work = attempt
        self.brakes = Brakes()
        self.waits = Waits()
        self._executor = ThreadPoolExecutor(max_workers=max(4, len(targets)), thread_name_prefix="node")
        ready = {c.target: c for c in begun if c.options == options}
        self.nodes = [Node(self, t, ready.get(t) or Connection(t, options)) for t in targets]
        self._side_by_side = threading.local()

    @property
    def is_side_by_side(self) -> bool:
        """Whether this thread works on one node of several in :meth:`each`."""
        return getattr(self._side_by_side, "on", False)

    def open(self, *groups: Group, meanwhile: Callable[[], object] = lambda: None) -> dict[str, ConnectFailed]:
        """Connect to all nodes side by side; node name → what went wrong, empty when all are reached.

        ``groups`` are read on each as soon as it is reached; ``meanwhile`` is what this thread does while it waits.
        """
        nodes = {n.connection: n for n in self.nodes}
        failed = open_all(
            list(nodes),
            self._executor,
            lambda c: nodes[c].line.open(),
            then=lambda c: nodes[c].read(*groups),
            meanwhile=meanwhile,
        )
        return {t.name: f for t, f in failed.items() if f is not None}

    def close(self) -> None:
        """Close every connection, side by side: a dead one takes seconds."""
        with ThreadPoolExecutor(max_workers=len(self.nodes)) as others:  # ours may wait for just these connections
            list(others.map(lambda n: n.connection.close(), self.nodes))
        self._executor.shutdown(wait=False, cancel_futures=True)

    def node(self, name: str) -> Node:
        """The node called ``name`` in --hosts. Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def forget(self, *, own: bool = False) -> None:
        """End the validity of every fact of every node; ``own``: only the tool's own places were changed."""
        for node in self.nodes:
            node.forget(own=own)

    def read(self, *groups: Group) -> None:
        """Read ``groups`` together on every node that does not know them yet, side by side."""
        self.brakes.check()
        list(self._executor.map(lambda n: n.read(*groups), self.nodes))

    def read_few(self, *few: Probe[object]) -> None:
        """Where facts have ended ask ``few`` alone, side by side: for gates that rest on nothing else. Where one rests
        on more, the nodes are read whole.
        """
        self.brakes.check()
        list(self._executor.map(lambda n: n.read_few(few), self.nodes))

    def renew(self, *few: Probe[object]) -> None:
        """After actions on the tool's own places alone: ask ``few``, side by side, and go on with all that was read
        before them."""
        self.brakes.check()
        list(self._executor.map(lambda n: n.renew(few), self.nodes))

    def glimpse(self, seconds: int) -> dict[str, Glimpse]:
        """What every node says of the membership now, by name; takes ``seconds``. No fact ends with it."""
        self.brakes.check()
        seen = self._executor.map(lambda n: n.glimpse(seconds), self.nodes)
        return {n.name: g for n, g in zip(self.nodes, seen, strict=True)}

    def keep_own_words(self, seconds: int, name: str | None) -> None:
        """Have the record keep what the node called ``name``, or every node, says in its journal of the last
        ``seconds``. No fact ends with it.
        """
        chosen = [n for n in self.nodes if name in (None, n.name)]
        list(self._executor.map(lambda n: n.keep_own_words(seconds), chosen))

    def clock_offsets(self) -> dict[str, float]:
        """Node name → seconds by which its clock is ahead of the control host's. Raises UnknownFact.

        An answer that was long on its way looks like a clock that is ahead: before clocks are said to disagree, each
        node is asked for its time alone.
        """
        offsets = {n.name: n.facts.clock_offset for n in self.nodes}
        return offsets if agree(offsets) else {n.name: n.clock_offset() for n in self.nodes}

    def each(self, work: Callable[[Node], T], nodes: Iterable[Node] | None = None) -> list[T]:
        """Do ``work`` on the nodes side by side; every one is done before the first error is raised.

        Where an action or a wait ended a node's facts, or anything failed, the facts of all end with it.
        """

        def alone(node: Node) -> T:
            self._side_by_side.on = True
            try:
                return work(node)
            finally:
                self._side_by_side.on = False

        ended, changed = ([n.times_ended for n in self.nodes], [n.times_changed for n in self.nodes])
        with self.brakes.held():
            futures = [self._executor.submit(alone, n) for n in (self.nodes if nodes is None else nodes)]
            errors = [f.exception() for f in futures]
        if any(errors) or ended != [n.times_ended for n in self.nodes]:
            self.forget(own=not any(errors) and changed == [n.times_changed for n in self.nodes])
        for error in errors:
            if error is not None:
                raise error
        return [f.result() for f in futures]

    def wait_until(
        self,
        node: Node,
        holds: Callable[[NodeFacts], bool],
        what: str,
        *,
        seconds: int = 30,
        asking: Sequence[Probe[object]] = (),
    ) -> None:
        """Read ``node`` until ``holds``, by the probes ``asking`` if there are any.

        ``seconds`` are waited on the node at most, and what it takes to read it comes to them.

        Raises UnknownFact when the bound is over.
        """
        began = time.monotonic()
        with self.waits.on(node.name, what, seconds), node.asking_only(asking):
            waited = 0
            while not holds(node.facts):
                if waited >= seconds:
                    took = max(seconds, round(time.monotonic() - began))
                    raise UnknownFact(node.name, what, f"did not come about within {took} s")
                node.poll(1)
                self.forget()
                waited += 1
