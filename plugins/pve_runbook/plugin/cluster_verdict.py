"""What is to be done about the cluster, as checks/ and the runbook say it: judged once, noted and shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pve_runbook.diagnosis.verdict import Diagnosis, Verdict, diagnose
from pve_runbook.diagnosis.votes import Part, majority_of_reached
from pve_runbook.plugin import rerun_command
from pve_runbook.plugin.open_run import OpenRun
from pve_runbook.probes.answers import known, known_or_why
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal
from pve_runbook.terminal.alike import folded
from pve_runbook.terminal.fold import INDENT
from pve_runbook.terminal.wrap import cut


class ClusterVerdict:
    """Judges the cluster of one run."""

    def __init__(self, opened: OpenRun) -> None:
        self._opened = opened

    def judge(self) -> Diagnosis:
        """The verdict on the run's cluster, noted in the record."""
        opened = self._opened
        nodes = opened.cluster.nodes
        pasts = {n.name: known_or_why(partial(opened.histories.of, n.name)) for n in nodes}
        options = opened.run.options
        off = {name: f"not reached ({why})" for name, why in opened.why_unreached.items()}
        reached = [n for n in nodes if n.name not in off]
        found = diagnose([n.facts for n in reached], pasts, off, frozenset(options.absent))
        opened.run.outcome.diagnosis = found
        opened.run.notes.note("verdict", str(found))
        return found

    @property
    def is_meant(self) -> bool:
        """Whether the runbook is there for what was judged."""
        found = self._opened.run.outcome.diagnosis
        return found is not None and found.calls_for_the_runbook

    def quorate_majority(self) -> Part | None:
        """The part that is quorate by its own votes, and does not come and go at this moment. Raises UnknownFact."""
        opened = self._opened
        part = majority_of_reached([n.facts for n in opened.cluster.nodes if n.name not in opened.unreached])
        pasts = [known(partial(opened.histories.of, n)) for n in part.nodes] if part is not None else []
        flaps = any(past is not None and past.flaps_now for past in pasts)
        return None if flaps else part

    def law(self, part: Part) -> str:
        """Why nothing is changed on a cluster in which a majority is quorate, in words."""
        found = self.judge()
        opened = self._opened
        again = rerun_command.again(opened.run.config)
        back = (
            f"; to undo what the unfinished run did: --rollback={opened.unfinished.last}" if opened.unfinished else ""
        )
        return refusal(
            RefusalId.MAJORITY_IS_QUORATE,
            "cluster",
            seen=f"a majority is quorate: {part}",
            why="a cluster that works is not taken apart: HA, replication and shared administration would go, and it "
            "cannot be undone once the nodes have changed",
            do=f"{found.verdict.upper()}: {found.advice}. To take the cluster apart all the same, give the reason that "
            f"the record will show: {again} --anyway='REASON'{back}",
        )

    def against(self) -> str:
        """What speaks against the run, and the reason that --anyway gives for it all the same, in words; "" where the
        verdict calls for it, or where a run is taken up that was judged at its start."""
        found, anyway = self._opened.run.outcome.diagnosis, self._opened.run.options.anyway
        if found is None or self.is_meant or self._opened.unfinished is not None or not anyway:
            return ""
        cluster = self._opened.members.cluster_name
        return f"TAKE {cluster} APART ANYWAY: {anyway}.\nThe verdict does not call for this runbook.\n{found}"

    def show(self, found: Diagnosis) -> None:
        """The verdict on the terminal: with -v all of it, else its first words; checks/ end with it."""
        run = self._opened.run
        lines = str(found).splitlines()
        if not run.screen.verbosity:
            lines = [] if run.options.mode == "checks" else lines[: 3 if found.urgent else 1]
        for line in lines:
            run.screen.progress(line)

    def refusal(self, found: Diagnosis) -> str:
        """Why a run that the verdict does not ask for stops, in words."""
        again = rerun_command.again(self._opened.run.config)
        return refusal(
            RefusalId.VERDICT_DOES_NOT_CALL,
            "cluster",
            seen=f"the verdict is {found.verdict}: {'; '.join(found.evidence)}",
            why=_WHY[found.verdict],
            do=f"{found.advice[0].upper()}{found.advice[1:]}. To take the cluster apart all the same, give the reason "
            f"that the record will show: {again} --anyway='REASON'",
        )


def few(found: Diagnosis, names: Sequence[str], besides: str, told: str) -> list[str]:
    """The evidence that says most, without the history, in few lines: what is the same of several of the nodes
    ``names`` once. Left out is what stands in the text ``besides``; what is a part of ``told``, which is shown too, is
    cut to one line."""
    evidence = folded((e for e in found.evidence if e not in besides and e not in found.history), names)
    more = [f"and {len(evidence) - EVIDENCE} more: see the record"] if len(evidence) > EVIDENCE else []
    return [cut(BULLET, line).lstrip() if line[:OF_A_LINE] in told else line for line in evidence[:EVIDENCE]] + more


BULLET = INDENT + "  "
OF_A_LINE = 60
"""Letters by which a piece of evidence is known again."""
EVIDENCE = 2
"""Pieces of evidence that a terminal shows."""
_WHY = {
    Verdict.HEALTHY: "taking a cluster apart that works costs HA, replication and shared administration, and cannot be "
    "undone once the nodes have changed",
    Verdict.HEALTHY_WITHOUT: "the others work, and a node that is off is brought back by its power button",
    Verdict.WAIT: "a cluster that is finding together may be whole in five minutes; a freeze now would disturb it",
    Verdict.REPAIR: "one named cause explains what is seen, and mending it is smaller and safer than dismantling",
    Verdict.ONE_OUT: "the others work: one node that is out is no reason to take them apart",
    Verdict.POWER_ON: "the nodes that run see each other: with the missing votes they are quorate again by themselves",
    Verdict.CONFIGS_MISSING: "a guest that runs without its config is lost when its process ends, and nothing that is "
    "done to the cluster brings the config back",
    Verdict.UNKNOWN: "unknown is not yes: nobody should take a cluster apart without knowing why",
}
