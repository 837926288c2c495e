"""Which node is given quorum first and leaves last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from pve_runbook.cluster.node import Node
from pve_runbook.facts.node import NodeFacts

LATENCY_SAMPLES = 3


class Candidate(Struct, frozen=True):
    """The evidence for one node. Latencies in seconds, one a round trip."""

    node: str
    version: int
    mtime: int
    """Of the configuration database: pmxcfs itself lets the highest (version, mtime) win (dcdb.c)."""
    running: int
    volumes: int
    volumes_found: int
    out_of_reach: int
    """Volumes that are not there, or not known to be, and that something would be lost with."""
    latencies: tuple[float, ...]
    has_votes: bool = True
    """Whether it can be given quorum by itself."""

    @property
    def database(self) -> tuple[int, int]:
        """What pmxcfs compares to find the newest database."""
        return (self.version, self.mtime)

    @property
    def reaches_its_disks(self) -> bool:
        """Whether every volume of its guests was found that something would be lost with."""
        return not self.out_of_reach

    @property
    def evidence(self) -> str:
        """One line for people."""
        slowest = f"{max(self.latencies) * 1000:.0f} ms" if self.latencies else "not measured"
        return (
            f"{self.node}: database version {self.version}, {self.running} guests running, "
            f"volumes {self.volumes_found}/{self.volumes}, slowest of {len(self.latencies)} answers {slowest}"
        )


def candidate(facts: NodeFacts, latencies: Iterable[float]) -> Candidate:
    """Gather the evidence for one node. Raises UnknownFact."""
    truths = facts.guest_truths.values()
    return Candidate(
        node=facts.node,
        version=facts.tree.version,
        mtime=facts.tree.mtime,
        running=sum(t.pid is not None for t in truths),
        volumes=sum(t.volumes for t in truths),
        volumes_found=sum(t.volumes_found for t in truths),
        out_of_reach=len(facts.volumes_missing),
        latencies=tuple(latencies),
        has_votes=facts.can_be_given_quorum,
    )


def candidates(nodes: Sequence[Node]) -> list[Candidate]:
    """The evidence for every node that is still in the cluster (for all, once none is). Raises UnknownFact."""
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as others:
        measured = others.map(lambda node: [node.round_trip() for _ in range(LATENCY_SAMPLES)], nodes)
        samples = {node.name: found for node, found in zip(nodes, measured, strict=True)}
    members = [n for n in nodes if n.facts.has_corosync_conf_in_database] or nodes
    return [candidate(n.facts, samples[n.name]) for n in members]


def pick(found: Iterable[Candidate], wanted: str | None) -> Candidate:
    """The one called ``wanted``, or by the evidence where none of them is."""
    everyone = list(found)
    return next((c for c in everyone if c.node == wanted), None) or choose(everyone)


def newest(candidates: Iterable[Candidate]) -> tuple[int, int]:
    """(version, mtime) of the newest database."""
    return max(c.database for c in candidates)


def choose(candidates: Iterable[Candidate]) -> Candidate:
    """The newest database first: what it lacks would be lost. Then the article's criteria: own disks reached,
    most running guests, quickest answers; the name decides what is left, so that a second run agrees. A node without a
    vote is none, unless nobody has one."""
    found = list(candidates)
    everyone = [c for c in found if c.has_votes] or found
    database = newest(everyone)
    return min(
        (c for c in everyone if c.database == database),
        key=lambda c: (not c.reaches_its_disks, -c.running, _rank(c.latencies), c.node),
    )


def _rank(latencies: tuple[float, ...]) -> int:
    """Tenths of a second of the slowest answer: differences below that say nothing."""
    return int(max(latencies, default=0.0) * 10)
