"""What is refused in the middle of the work, by a command that failed or another hand: what it says is done, and the
same command line comes to its end."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from gate_opening import Opening, opening, type_on_nodes
from gate_states import STATES
from lab_wire import LabConnection
from pve_lab.faults import Fault
from pve_lab.shapes import second
from test_walks import REASON, carry_out, words_of
from walks import AGAIN, HOSTS_BACK, Walk

pytestmark = pytest.mark.sweep

Does = Callable[[Opening], None]
THEN = "run the same command line again"
IN_BACKUP = "cd /var/lib/pve-runbook/*-*"
SYSTEM = f"{IN_BACKUP}; cp etc-pve.tar.gz system.tar.gz"
ETC_PVE = f"{IN_BACKUP}; cp system.tar.gz etc-pve.tar.gz"
OUTCOMES = 12
"""Output and errors of the six commands before a backup is fetched, which the node keeps until they are read."""
SQLITE = ("sqlite3", "/var/lib/pve-cluster/config.db")
FETCHED = ("base64", "-w0")


@dataclass(frozen=True)
class OnTheWay:
    """A refusal within a run: what strikes, which words are followed, what is done."""

    at: str
    fault: Fault | None = None
    before: str = ""
    """The gate before which another hand strikes."""
    strikes: Does | None = None
    mends: Does | None = None
    said: str = ""
    state: str = "broken"


def types(node: str, line: str) -> Does:
    """Another hand types on a node."""
    return lambda run: type_on_nodes(run.site, {node: line})


def _room(run: Opening) -> None:
    root = second(run.cluster).storages.mounts[0]
    root.used = root.total // 4


def _copy(run: Opening) -> Path:
    return run.opened.folder / "backups" / "pve2" / "config.db"


def _in_its_place(run: Opening) -> None:
    _copy(run).mkdir(parents=True)


def _out_of_its_place(run: Opening) -> None:
    shutil.rmtree(_copy(run))


def _lost(run: Opening) -> None:
    run.set_up("backups")
    _copy(run).unlink()


def _backed_up(run: Opening) -> None:
    run.cluster.nodes["pve1"].tasks.begin("vzdump", "101")


def _stalls(run: Opening) -> None:
    wire = run.opened.cluster.nodes[1].connection
    assert isinstance(wire, LabConnection)
    wire.stalls = 5.2


STANDS = "test_nothing_stands_in_the_way"

ON_THE_WAY: dict[str, OnTheWay] = {
    "PVE-R058": OnTheWay("Free some space there", state="disk-short", mends=_room),
    "PVE-R059": OnTheWay(
        AGAIN, Fault("run", argv=FETCHED, node="pve2", skip=OUTCOMES, command=f"{IN_BACKUP}; echo x >> config.db")
    ),
    "PVE-R062": OnTheWay(
        "on this machine", before="test_nodes_are_locked", strikes=_in_its_place, mends=_out_of_its_place
    ),
    "PVE-R063": OnTheWay(
        THEN,
        Fault("run", "after", argv=("tar",), skip=1, node="pve2", command=SYSTEM),
    ),
    "PVE-R064": OnTheWay(
        THEN, Fault("run", "after", argv=SQLITE, node="pve2", command=f"{IN_BACKUP}; cp /etc/hosts config.db")
    ),
    "PVE-R065": OnTheWay(
        THEN,
        Fault("run", "after", argv=("tar",), skip=1, node="pve2", command=ETC_PVE),
    ),
    "PVE-R068": OnTheWay(
        "Look at the guest first",
        before="test_authority_is_chosen",
        strikes=types("pve3", "kill -9 $(cat /run/qemu-server/301.pid)"),
        said=r"--accept-changed=\d+",
    ),
    "PVE-R072": OnTheWay(
        "Find it: `ss -xp src /run/watchdog-mux.sock`",
        before=STANDS,
        strikes=types("pve3", "mkdir /run/watchdog-mux.active"),
        mends=types("pve3", "rmdir /run/watchdog-mux.active"),
    ),
    "PVE-R076": OnTheWay(
        "Put it back",
        before=STANDS,
        strikes=types("pve1", "echo 10.9.9.9 other >> /etc/hosts"),
        mends=types("pve1", HOSTS_BACK),
    ),
    "PVE-R078": OnTheWay(
        "Wait until it is done", before=STANDS, strikes=_backed_up, mends=types("pve1", "pkill -f '^task UPID:'")
    ),
    "PVE-R090": OnTheWay("Find out why (load, network)", before="test_every_node_answers_reliably", strikes=_stalls),
    "PVE-R138": OnTheWay(THEN, Fault("fail", argv=("systemctl", "stop", "pve-ha-lrm.service"))),
    "PVE-R140": OnTheWay("", Fault("fail", argv=("pmxcfs", "-l"))),
    "PVE-R141": OnTheWay(
        "remove it with `qm stop 9000; qm destroy 9000`",
        Fault("run", "after", argv=("qm", "stop"), node="pve1", command="qm start 9000"),
        mends=types("pve1", "qm stop 9000; qm destroy 9000"),
    ),
    "PVE-R147": OnTheWay(AGAIN, before="test_backups_are_checked", strikes=_lost),
}


@pytest.mark.parametrize("id_", ON_THE_WAY)
def test_the_same_command_line_ends_what_was_stopped(id_: str, runs: list[Opening], tmp_path: Path) -> None:
    way = ON_THE_WAY[id_]
    state = replace(STATES[way.state], options=(REASON,))
    run = opening(state, "runbook", tmp_path / "lab")
    runs.append(run)
    if way.fault is not None:
        run.site.faults.arm(replace(way.fault))
    said = refused(run, way)
    assert f"[{id_}]" in said and way.at in said, said
    if way.mends is not None:
        way.mends(run)
    more = re.findall(way.said, said)[:1] if way.said else []
    again = replace(state, options=(*more,))
    carry_out(runs, Walk(way.state, ""), tmp_path / "again", again)


def refused(run: Opening, way: OnTheWay) -> str:
    """What the run that is struck stops with."""
    struck = way.strikes is None
    for gate, _, about in run.carry_out("runbook"):
        if not struck and gate.function.__name__ == way.before and way.strikes is not None:
            way.strikes(run)
            run.opened.cluster.forget()
            struck = True
        if (said := words_of(run, gate, about)) is not None:
            return said
    return ""
