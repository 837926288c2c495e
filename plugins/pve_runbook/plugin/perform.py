"""Carry the stages of the procedure out on the nodes of a run, and remember which are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.procedure.forecast import Forecast
from pve_runbook.procedure.notes import Notes
from pve_runbook.procedure.stages import Stage, in_turn
from pve_runbook.procedure.work import Idle, Work

Judge = Callable[[Node], object]


class Performer:
    """Does what a stage decides, on each node; ``work`` is what the decisions need to know at the moment."""

    def __init__(self, cluster: Cluster, notes: Notes, work: Callable[[], Work]) -> None:
        self._cluster = cluster
        self._notes = notes
        self.work = work
        self.done: set[tuple[Stage, str]] = set()
        """The stages that are done, each with the node's name."""

    def __call__(
        self,
        stage: Stage,
        nodes: Sequence[Node] | None = None,
        *,
        first: Judge = lambda node: None,
        then: Mapping[str, Judge] | None = None,
        together: bool = False,
        **values: object,
    ) -> None:
        """Do on each of ``nodes`` (all) what ``stage`` decides, and remember it as done.

        ``first`` judges a node by the same reading, right before anything is sent to it; ``then``: action → what has to
        hold once it was sent, before the next one is. ``together``: these nodes side by side, though the stage
        has its nodes one by one. ``values`` stand in the work in place of what it has. Raises what
        these raise, ActionFailed, OutcomeUnknown, UnknownFact; ValueError where ``then`` names what is never sent.
        """
        if not set(then or ()) <= {template.name for template in stage.sends}:
            raise ValueError(f"{stage.name} never sends one of {', '.join(then or ())}: it would not be waited for")
        work = replace(self.work(), **values)  # a field that is not there is a TypeError
        names = [n.name for n in (self._cluster.nodes if nodes is None else nodes)]
        chosen = [self._cluster.node(name) for name in in_turn(stage, names, work)]
        for group in [[n] for n in chosen] if stage.one_by_one and not together else [chosen]:
            self._cluster.each(lambda node: self._on_node(stage, node, work, first, then or {}), group)
        self.done.update((stage, name) for name in names)

    def _on_node(self, stage: Stage, node: Node, work: Work, first: Judge, then: Mapping[str, Judge]) -> None:
        with node.asking_only(stage.asks):
            self._decide_and_send(stage, node, work, first, then)

    def _decide_and_send(self, stage: Stage, node: Node, work: Work, first: Judge, then: Mapping[str, Judge]) -> None:
        first(node)
        for decision in stage.decisions(Forecast(node), work):
            if isinstance(decision, Idle):
                self._notes.note("state", f"nothing to do: {decision.why}", node.name)
                continue
            self._cluster.brakes.stop_if_asked()
            node.act(decision.action, stdin=decision.stdin)
            if decision.action.name in then:
                then[decision.action.name](node)
