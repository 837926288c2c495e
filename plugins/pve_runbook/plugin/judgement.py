"""What is to be done about the cluster, as checks/ and the runbook say it: judged once, noted and shown."""

from __future__ import annotations

from functools import partial

from pve_runbook.plugin import typed
from pve_runbook.plugin.run import Run
from pve_runbook.plugin.terminal import progress
from pve_runbook.work.diagnosis import Diagnosis, Verdict, diagnose
from pve_runbook.work.histories import Histories
from pve_runbook.work.readings import known_or_why
from pve_runbook.work.refusal import refusal

MEANT_FOR = (Verdict.DISMANTLE, Verdict.HALF, Verdict.STANDALONE)
"""What the runbook is there for; for anything else the operator gives a reason."""


def judge(run: Run, histories: Histories) -> Diagnosis:
    """The verdict on the run's cluster, noted in the record."""
    pasts = {n.name: known_or_why(partial(histories.of, n.name)) for n in run.cluster.nodes}
    found = run.diagnosis = diagnose([n.facts for n in run.cluster.nodes], pasts)
    run.note("verdict", str(found))
    return found


def show(run: Run, found: Diagnosis) -> None:
    """The verdict with its evidence and the criteria, on the terminal."""
    for line in str(found).splitlines():
        progress(run.config, line)


def not_meant(run: Run, found: Diagnosis) -> str:
    """The refusal of a run that the verdict does not ask for."""
    return refusal(
        "cluster",
        seen=f"the verdict is {found.verdict}: {'; '.join(found.evidence)}",
        why=_WHY[found.verdict],
        do=f"{found.advice[0].upper()}{found.advice[1:]}. To take the cluster apart all the same, give the reason that "
        f"the record will show: {typed.again(run.config)} --anyway='REASON'",
    )


_WHY = {
    Verdict.HEALTHY: "taking a cluster apart that works costs HA, replication and shared administration, and cannot be "
    "undone once the nodes have changed",
    Verdict.WAIT: "a cluster that is finding together may be whole in five minutes; a freeze now would disturb it",
    Verdict.REPAIR: "one named cause explains what is seen, and mending it is smaller and safer than dismantling",
    Verdict.UNKNOWN: "unknown is not yes: nobody should take a cluster apart without knowing why",
}
