"""The nodes' pasts: read side by side when first asked for, and judged together."""

from __future__ import annotations

from collections.abc import Sequence

from pve_runbook.facts.corosync_log import Kind
from pve_runbook.work import families, probes
from pve_runbook.work.node import Node
from pve_runbook.work.nodefacts import NodeFacts
from pve_runbook.work.readings import UnknownFact, known
from pve_runbook.work.stability import Findings, History, judge, span


def history_of(facts: NodeFacts, seconds: int) -> History:
    """One node's past, at most ``seconds`` back. Raises UnknownFact where its journal does not say."""
    now = facts.get(probes.HISTORY_CLOCK)
    log = facts.family(families.COROSYNC_LOG, str(seconds))
    since = now - seconds
    if not log.whole:
        since = log.events[0].time
    elif facts.family(families.LINE_BEFORE, str(seconds)) is None:
        # The journal begins within the window: of corosync it is complete from a start that it shows.
        starts = [e.time for e in log.events if e.kind is Kind.STARTED]
        if not starts:
            raise UnknownFact(facts.node, "the journal", f"it does not reach {span(seconds)} back; see --since")
        since = starts[0]
    conf = known(lambda: facts.corosync_conf)
    return History(
        log=log,
        since=since,
        now=max(now, log.events[-1].time if log.events else now),
        names={} if conf is None else {n.nodeid: n.name for n in conf.nodes},
        counters=known(lambda: facts.get(probes.COUNTERS)),
    )


class Histories:
    """What the pasts of all nodes show, each judged once. ``seconds``: how far back."""

    def __init__(self, nodes: Sequence[Node], seconds: int) -> None:
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
        for node in self._nodes:
            try:
                pasts[node.name] = history_of(node.facts, self._seconds)
            except UnknownFact as error:
                pasts[node.name] = error
        stalls = [s for past in pasts.values() if isinstance(past, History) for s in past.stalls]
        return {n: judge(p, stalls) if isinstance(p, History) else p for n, p in pasts.items()}
