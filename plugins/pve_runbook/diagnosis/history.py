"""The nodes' pasts: read side by side when first asked for, and judged together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol

from pve_runbook.diagnosis.stability import Findings, History, judge, span
from pve_runbook.facts.node import NodeFacts
from pve_runbook.parsers.corosync_conf import CorosyncConf
from pve_runbook.parsers.corosync_log import Kind
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact, known


def history_of(facts: NodeFacts, seconds: int, names: Mapping[int, str] = MappingProxyType({})) -> History:
    """One node's past, at most ``seconds`` back. ``names``: of the members by nodeid, for those that its own
    corosync.conf has not, or not any more. Raises UnknownFact where its journal does not say."""
    now = facts.get(probes.HISTORY_CLOCK)
    log = facts.family(per_subject.COROSYNC_LOG, str(seconds))
    since = now - seconds
    if not log.whole:
        since = log.events[0].time
    elif facts.family(per_subject.LINE_BEFORE, str(seconds)) is None:
        # The journal begins within the window: of corosync it is complete from a start that it shows.
        starts = [e.time for e in log.events if e.kind is Kind.STARTED]
        if not starts:
            raise UnknownFact(facts.node, "the journal", f"it does not reach {span(seconds)} back; see --since")
        since = starts[0]
    conf = known(partial(_conf, facts))
    return History(
        log=log,
        since=since,
        now=max(now, log.events[-1].time if log.events else now),
        names={**names, **({} if conf is None else {n.nodeid: n.name for n in conf.nodes})},
        counters=known(lambda: facts.get(probes.COUNTERS)),
        symptoms=known(lambda: facts.family(per_subject.SYMPTOMS, str(seconds))) or (),
    )


def names_of(everyone: Iterable[NodeFacts]) -> dict[int, str]:
    """The members' names by nodeid, as all nodes know them that have a corosync.conf: none where they are of several
    clusters."""
    confs = [c for f in everyone if (c := known(partial(_conf, f))) is not None]
    if len({c.cluster_name for c in confs}) > 1:
        return {}
    return {n.nodeid: n.name for c in sorted(confs, key=lambda c: c.config_version) for n in c.nodes}


def _conf(facts: NodeFacts) -> CorosyncConf | None:
    return facts.corosync_conf


class Witness(Protocol):
    """One node, as far as its past is asked for."""

    @property
    def name(self) -> str:
        """As given in --hosts."""

    @property
    def facts(self) -> NodeFacts:
        """What is known of it."""


class Histories:
    """What the pasts of all nodes show, each judged once. ``seconds``: how far back."""

    def __init__(self, nodes: Sequence[Witness], seconds: int) -> None:
        self._nodes = nodes
        self._seconds = seconds
        self._found: dict[str, Findings | UnknownFact] | None = None

    def of(self, node: str) -> Findings:
        """The findings on the node called ``node`` in --hosts. Raises UnknownFact, KeyError."""
        if self._found is None:
            self._found = self._judge_all()
        found = self._found[node]
        if isinstance(found, UnknownFact):
            raise found
        return found

    def _judge_all(self) -> dict[str, Findings | UnknownFact]:
        pasts: dict[str, History | UnknownFact] = {}
        names = names_of(node.facts for node in self._nodes)
        for node in self._nodes:
            try:
                pasts[node.name] = history_of(node.facts, self._seconds, names)
            except UnknownFact as error:
                pasts[node.name] = error
        stalls = [s for past in pasts.values() if isinstance(past, History) for s in past.stalls]
        return {n: judge(p, stalls) if isinstance(p, History) else p for n, p in pasts.items()}
