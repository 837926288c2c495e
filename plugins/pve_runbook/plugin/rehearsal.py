"""--rehearse and --save-facts: what the nodes are is read, with probes alone, and kept or lived through by a twin."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from msgspec import Struct, field

from pve_runbook.cluster.cluster import Cluster
from pve_runbook.facts_file.collect import portray
from pve_runbook.facts_file.gaps import differences, limits
from pve_runbook.facts_file.model import Portrait, dump
from pve_runbook.journal.events import ActionIntent, Entry, of_kind
from pve_runbook.journal.journal import Journal
from pve_runbook.options.options import RunOptions
from pve_runbook.plugin import lab_process
from pve_runbook.plugin.provenance import tool_version
from pve_runbook.probes.probe import CHECKED
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.ssh.connection import ConnectOptions
from pve_runbook.ssh.hosts import Target
from pve_runbook.terminal.live import Live

ReachAll = Callable[[Cluster], None]
"""Connects to all nodes. Raises UsageError."""

NOT_WRITTEN = "{path}: cannot be written ({why})"

NO_DATABASE = "--rehearse: no node's configuration database could be read, a twin would be empty\n{why}"
NOT_ASKED = "it was not closed cleanly and no pmxcfs runs"


class Rehearsal(Struct):
    """The twin that stands in for the nodes of --hosts. ``journal`` is what those were asked."""

    names: tuple[str, ...]
    portrait: Portrait
    journal: Journal
    lab: lab_process.LabProcess
    began: float = field(default_factory=time.monotonic)
    set_up: float = 0.0
    """Seconds by the twin's clock that went by before its run."""
    limits: list[str] = field(default_factory=list)
    account: list[str] = field(default_factory=list)
    """What was done to the twin, and how long it took."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """The twin's nodes under the names of the real ones."""
        hosts = {n.name: n.hostname for n in self.portrait.nodes}
        return tuple(Target(name, None, None, hosts.get(name, name)) for name in self.names)

    def compare(self, cluster: Cluster) -> None:
        """Read the twin as the nodes were read, and list what it is not, and what it cannot know."""
        built = take(cluster)
        self.limits = [f"not as read: {text}" for text in differences(self.portrait, built)] + limits(self.portrait)

    def keep(self, folder: Path) -> None:
        """Put what the nodes were asked, and the facts, beside the record. Raises UsageError."""
        asked = folder / "nodes.jsonl"
        try:
            self.journal.attach(asked)
            self.journal.close()
        except OSError as error:
            raise usage_error(
                RefusalId.FACTS_CANNOT_BE_WRITTEN, NOT_WRITTEN.format(path=asked, why=error.strerror)
            ) from None
        save(self.portrait, folder / "facts.json")

    def end(self, entries: Iterable[Entry]) -> None:
        """Take stock."""
        sent = Counter(intent.node for intent in of_kind(entries, ActionIntent))
        each = ", ".join(f"{count} to {node}" for node, count in sorted(sent.items()))
        here = time.monotonic() - self.began
        there = (self.lab.model_seconds() - self.set_up) / 60
        self.account = [
            f"{sum(sent.values())} commands that change something were sent to the twin"
            f"{': ' if each else ''}{each}; to {', '.join(self.names)} none",
            f"it took {here:.0f} s here; by the twin's clock {there:.0f} min, without the time you take to answer",
        ]


def read_nodes(
    options: RunOptions, connect: ConnectOptions, run: str, reach_all: ReachAll, live: Live
) -> tuple[Portrait, Journal]:
    """What the nodes of --hosts are: nothing is sent to them but probes. Raises UsageError."""
    journal = Journal()
    cluster = Cluster(
        options.targets,
        connect,
        journal,
        read_only=True,
        attempt=run,
        timeout_scale=options.timeout_scale,
        since=options.since,
    )
    live.follow(journal, cluster.waits)
    try:
        reach_all(cluster)
        return take(cluster), journal
    finally:
        cluster.close()


def rehearse(options: RunOptions, connect: ConnectOptions, run: str, reach_all: ReachAll, live: Live) -> Rehearsal:
    """Read the nodes, and start their twin. Raises UsageError."""
    portrait, journal = read_nodes(options, connect, run, reach_all, live)
    if options.save_facts is not None:
        save(portrait, options.save_facts)
    if not portrait.has_a_twin:
        why = (
            "\n".join(f"  {n.name}: {n.unknown.get('tree', NOT_ASKED)}" for n in portrait.nodes) or "  no node answers"
        )
        raise usage_error(RefusalId.NO_DATABASE_FOR_A_TWIN, NO_DATABASE.format(why=why))
    lab = lab_process.start_twin(portrait)
    return Rehearsal(tuple(t.name for t in options.targets), portrait, journal, lab, set_up=lab.model_seconds())


def on_the_twin(options: RunOptions, rehearsal: Rehearsal) -> RunOptions:
    """The same command line, for the twin."""
    return replace(options, targets=rehearsal.targets)


def take(cluster: Cluster) -> Portrait:
    """The portrait of nodes that are connected."""
    cluster.read(*CHECKED)
    return portray([n.facts for n in cluster.nodes], tool_version())


def save(portrait: Portrait, path: Path) -> None:
    """Write a file of facts, for its owner alone. Raises UsageError."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(file, "w", encoding="utf-8") as text:
            text.write(dump(portrait))
    except OSError as error:
        raise usage_error(
            RefusalId.FACTS_CANNOT_BE_WRITTEN, NOT_WRITTEN.format(path=path, why=error.strerror)
        ) from None
