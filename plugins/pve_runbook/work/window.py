"""The window: the minutes in which one node leaves the cluster, run by the node itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from importlib.resources import files

from pve_runbook.facts.window import WindowStatus
from pve_runbook.work import actions, probes
from pve_runbook.work.cluster import Cluster
from pve_runbook.work.node import Node
from pve_runbook.work.probes import BACKUP_ROOT
from pve_runbook.work.readings import UnknownFact

BOUND = 180
"""Seconds within which a window ends; tried on PVE 8.3: 6 to 7 s."""


class WindowFailed(Exception):
    """The window did not end as it should; the message says in which state the node is."""


def script(work: str, attempt: str, members: Sequence[str]) -> str:
    """The text that runs on the node: the constant script with the work's folder, the attempt and the members."""
    text = files("pve_runbook.work").joinpath("window.sh").read_text()
    arguments = shlex.join((f"{BACKUP_ROOT}/{work}", attempt, *members))
    head, usage, body = text.partition("set -u\n")
    return f"{head}set -- {arguments}\n{usage}{body}"


def leave(cluster: Cluster, node: Node, members: Sequence[str], watch: Callable[[], None]) -> None:
    """Take ``node`` out of the cluster and wait for the end of its window.

    ``watch`` is called every second or so while it lasts. Raises WindowFailed, ActionFailed, OutcomeUnknown,
    UnknownFact.
    """
    text = script(cluster.work, cluster.attempt, members)
    node.act(actions.PUT_WINDOW.bind(run=cluster.work), stdin=text.encode())
    with cluster.brakes.held():
        _run_it(cluster, node, watch)


def _run_it(cluster: Cluster, node: Node, watch: Callable[[], None]) -> None:
    node.act(actions.RUN_WINDOW.bind(run=cluster.work, attempt=cluster.attempt))
    files_of_it = f"{BACKUP_ROOT}/{cluster.work}/window-{cluster.attempt}"
    status = _wait(node, files_of_it, watch)
    log = node.ask_about(probes.WINDOW_LOG, files_of_it)
    cluster.forget()
    if status.ending == "done":
        return
    last = "\n".join(f"    {line}" for line in log.splitlines()[-6:])
    raise WindowFailed(f"{node.name}: {_MEANING[status.ending].format(why=status.why, node=node.name)}\n{last}")


_MEANING = {
    "rolled-back": "the window failed at '{why}' and put the node back: it is the cluster member it was.\n"
    "Its guests were not touched. Mend what the lines below say, then run the same command line again.",
    "forward": "the node left the cluster, but after that '{why}' failed.\n"
    "There is no way back from here but forward. Mend what the lines below say, then run the same command line again.",
    "stuck": "the window could neither finish nor put the node back: {why}.\n"
    "Guests run on; /etc/pve may be missing. Log in at the console of {node} and read the lines below.",
}


def _wait(node: Node, files_of_it: str, watch: Callable[[], None]) -> WindowStatus:
    """Poll for the window's own word. Raises UnknownFact when it does not come within the bound."""
    for _ in range(BOUND):
        status = node.ask_about(probes.WINDOW_STATUS, files_of_it)
        if status is not None:
            return status
        watch()
        node.poll(1)
    raise UnknownFact(node.name, "how the window ended", f"it did not end within {BOUND} s")
