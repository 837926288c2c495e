"""Who sees whom, and who is quorate together by whose votes: arithmetic over what corosync counts, and nothing else.

Votes are counted, not heads: a member may have two votes, or none, and a quorum device votes too.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pve_runbook.facts.network import ring_conf
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.pvecm import Quorum
from pve_runbook.probes.answers import UnknownFact

HALF_IS_ENOUGH = frozenset(("2Node", "AutoTieBreaker", "LastManStanding", "AllowDownscale"))
"""Flags of `pvecm status` with which corosync keeps a part quorate that is no majority of the configured votes
(votequorum(5)): by the cluster's own configuration, and not by force."""


class Part(Struct, frozen=True):
    """Nodes whose corosync counts the same members. ``nodes``: those of --hosts; ``members``: all, by their names in
    corosync.conf. ``votes`` are there, ``configured`` are in the nodelist and its quorum device, ``expected`` is what
    corosync expects."""

    nodes: tuple[str, ...]
    members: tuple[str, ...]
    votes: int
    expected: int
    configured: int
    quorate: bool
    by_configuration: bool
    """Whether the configuration lets less than a majority be quorate."""

    @property
    def has_majority(self) -> bool:
        """Whether its votes are more than half of the configured ones."""
        return 2 * self.votes > self.configured

    @property
    def is_forced(self) -> bool:
        """Whether it is quorate by an expected number of votes that somebody set lower than the configuration's."""
        return self.quorate and not self.has_majority and not self.by_configuration

    def __str__(self) -> str:
        """One clause for people."""
        votes = f"{self.votes} of {self.configured} configured votes"
        if len(self.members) == 1:
            return f"{self.members[0]} sees itself alone, {votes}"
        return f"{', '.join(self.members)} see each other, {votes}"


def parts(everyone: Sequence[NodeFacts]) -> tuple[Part, ...]:
    """The parts of a cluster as the reached nodes see them, the one with the most votes first.

    A node whose corosync does not answer is in no part. Raises UnknownFact where one's vote is not known.
    """
    found: dict[frozenset[int], list[tuple[NodeFacts, Quorum]]] = {}
    for facts in everyone:
        quorum = facts.quorum
        if quorum is not None:
            found.setdefault(frozenset(m.nodeid for m in quorum.members), []).append((facts, quorum))
    return tuple(sorted((_part(seen) for seen in found.values()), key=lambda p: -p.votes))


def _part(seen: Sequence[tuple[NodeFacts, Quorum]]) -> Part:
    facts, quorum = seen[0]
    conf = ring_conf(facts)
    names = {n.nodeid: n.name for n in conf.nodes}
    return Part(
        nodes=tuple(f.node for f, _ in seen),
        members=tuple(names.get(m.nodeid, f"node {m.nodeid}") for m in quorum.members),
        votes=quorum.total,
        expected=quorum.expected,
        configured=sum(n.votes for n in conf.nodes) + conf.device_votes,
        quorate=any(q.quorate for _, q in seen),
        by_configuration=not HALF_IS_ENOUGH.isdisjoint(quorum.flags),
    )


def quorate_majority(found: Sequence[Part]) -> Part | None:
    """The part that is quorate by its own votes; with two halves that are both quorate by configuration, none is."""
    quorate = [part for part in found if part.quorate]
    for part in quorate:
        if part.has_majority:
            return part
    return quorate[0] if len(quorate) == 1 and quorate[0].by_configuration else None


def majority_of_reached(everyone: Sequence[NodeFacts]) -> Part | None:
    """The quorate majority as far as the nodes say. A node that says nothing cannot take it away.

    Raises UnknownFact where there is none without that node.
    """
    known, unknown = [], None
    for facts in everyone:
        try:
            _ = facts.quorum
        except UnknownFact as error:
            unknown = unknown or error
        else:
            known.append(facts)
    found = quorate_majority(parts(known))
    if found is None and unknown is not None:
        raise unknown
    return found
