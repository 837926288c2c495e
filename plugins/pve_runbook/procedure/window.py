"""What a node runs by itself while its /etc/pve is not mounted: the window in which it leaves the cluster, and the way
back. One common opening (`node.sh`), and a body for each."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Literal

from pve_runbook.actions import registry as actions
from pve_runbook.actions.action import Action
from pve_runbook.actions.errors import ForOperator
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.parsers.own_files import WindowStatus
from pve_runbook.parsers.systemd import Unit
from pve_runbook.probes import per_subject
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.probe import BACKUP_ROOT
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import with_id

Script = Literal["window", "restore"]

BOUND = 180
"""Seconds within which a window ends; tried on PVE 8.3: 6 to 7 s."""


class WindowFailed(ForOperator):
    """The window did not end as it should; the message says in which state the node is."""


def script(name: Script, work: str, attempt: str, arguments: Sequence[str]) -> str:
    """The text that runs on the node: the constant script with the work's folder, the attempt and its arguments."""
    folder = files("pve_runbook.procedure")
    text = folder.joinpath("node.sh").read_text() + folder.joinpath(f"{name}.sh").read_text()
    head, usage, body = text.partition("set -u\n")
    given = shlex.join((f"{BACKUP_ROOT}/{work}", f"{name}-{attempt}", *arguments))
    return f"{head}set -- {given}\n{usage}{body}"


def commands(work: str, attempt: str, members: Sequence[str]) -> tuple[tuple[Action, bytes], tuple[Action, None]]:
    """The script of the window, to be put on the node, and its start."""
    text = script("window", work, attempt, members)
    run = actions.RUN_WINDOW.bind(run=work, attempt=attempt)
    return (actions.PUT_WINDOW.bind(run=work), text.encode()), (run, None)


def way_back(work: str, attempt: str, *files: bytes) -> tuple[tuple[Action, bytes], tuple[Action, None]]:
    """The script that puts ``files`` (config.db, system.tar.gz) back, to be put on the node, and its start."""
    text = script("restore", work, attempt, [hashlib.sha256(data).hexdigest() for data in files])
    run = actions.RUN_RESTORE.bind(run=work, attempt=attempt)
    return (actions.PUT_RESTORE.bind(run=work), text.encode()), (run, None)


def known_before(units: Mapping[str, Unit]) -> dict[str, bool]:
    """What the scripts ask their node, as they ask it → what it will say."""
    return {"systemctl cat corosync-qdevice.service": units["corosync-qdevice.service"].exists}


def see_it_end(cluster: Cluster, name: Script, node: Node, watch: Callable[[], None]) -> None:
    """Wait for the end of the script that ``node`` was told to run.

    ``watch`` is called every second or so while it lasts. Raises WindowFailed, UnknownFact.
    """
    files_of_it = f"{BACKUP_ROOT}/{cluster.work}/{name}-{cluster.attempt}"
    with cluster.waits.on(node.name, _LASTS[name], BOUND):
        status = _wait(node, files_of_it, watch)
    node.line.is_unmounted = status.ending == "stuck"
    log = node.ask_about(per_subject.WINDOW_LOG, files_of_it)
    cluster.forget()
    if status.ending == "done":
        return
    last = "\n".join(f"    {line}" for line in log.splitlines()[-6:])
    meaning = {**_MEANING, **_OF_RESTORE} if name == "restore" else _MEANING
    said = f"{node.name}: {meaning[status.ending].format(why=status.why, node=node.name)}\n{last}"
    raise WindowFailed(with_id(RefusalId.WINDOW_FAILED, said))


_LASTS: dict[Script, str] = {
    "window": "its window to end: /etc/pve is not mounted meanwhile",
    "restore": "its old database to be put back: /etc/pve is not mounted meanwhile",
}
_MEANING = {
    "rolled-back": "the window failed at '{why}' and put the node back: it is the cluster member it was.\n"
    "Its guests were not touched. Fix what the lines below say, then run the same command line again.",
    "forward": "the node left the cluster, but after that '{why}' failed.\n"
    "There is no way back from here but forward. Fix what the lines below say, then run the same command line again.",
    "stuck": "the window could neither finish nor put the node back: {why}.\n"
    "Guests run on; /etc/pve may be missing. Log in at the console of {node} and read the lines below.\n"
    "Before pve-cluster is started by hand: systemctl unmask --runtime pve-cluster",
}
_OF_RESTORE = {
    "rolled-back": "the way back failed at '{why}' and put the node back: it is what it was before this attempt.\n"
    "Its guests were not touched. Fix what the lines below say, then run the same command line again.",
}


def _wait(node: Node, files_of_it: str, watch: Callable[[], None]) -> WindowStatus:
    """Ask for the script's own word, which the node waits a second for before it says that there is none. Raises
    UnknownFact when it does not come within the bound."""
    for _ in range(BOUND):
        status = node.ask_about(per_subject.WINDOW_STATUS, files_of_it)
        watch()  # after the script's last command too: the next node waits for nothing else
        if status is not None:
            return status
    raise UnknownFact(node.name, "how the window ended", f"it did not end within {BOUND} s")
