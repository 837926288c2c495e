"""Records for the tests, as a run leaves them: the journal is written by the Journal itself."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal
from pve_runbook.journal.rows import Asked
from pve_runbook.record.verify import rebuild

NODES = ("pve1", "pve2")
STEP = "runbook/test_phase0_freeze.py::test_backups_are_checked[pve1]"
IN_FLIGHT = "runbook/test_phase4_window.py::test_node_leaves[pve2]"
VERSION = "0.1.0"


def begun(folder: Path, version: str = VERSION, continues: tuple[str, str] | None = None) -> Journal:
    """A run that has pulled its backups and then sent a command whose outcome it does not know yet.

    ``continues``: the name of the record that it took up, and the head of its journal.
    """
    folder.mkdir(mode=0o700)
    journal = Journal()
    batch = journal.write(events.Batch(node="pve1", probes=(Asked(1, "hostname", ("hostname",), "Who?"),)))
    journal.attach(folder / "journal.jsonl")
    journal.write(
        events.Probe(
            batch=batch, node="pve1", id="hostname", exit_status=0, stdout="pve1\n", stderr="\udcff", seconds=0.2
        )
    )
    journal.write(
        events.Run(
            run="20260108T021000Z",
            work="20260108T021000Z",
            mode="runbook",
            folder="/root/records/2026-01-08T021000Z-prod-CHG-4711",
            cluster="prod",
            hosts=NODES,
            operator="änna@jump",
            ticket="CHG-4711",
            code="git 1a2b3c4d",
            command="pytest runbook/ --hosts=pve1,pve2",
            version=version,
        )
    )
    if continues is not None:
        journal.write(events.Continues(folder=continues[0], head=continues[1]))
    place: dict[str, Any] = {
        "nodeid": STEP,
        "phase": 0,
        "phase_title": "freeze",
        "title": "Backups are checked.",
        "node": "pve1",
    }
    journal.write(events.StepStart(**place))
    journal.step = STEP
    for node in NODES:
        pull(folder, journal, node, "config.db", f"database of {node}".encode())
    journal.step = None
    journal.write(events.Step(**place, outcome="passed", message="", seconds=0.4))
    journal.write(
        events.StepStart(
            nodeid=IN_FLIGHT, phase=4, phase_title="remove corosync", title="The node leaves.", node="pve2"
        )
    )
    journal.step = IN_FLIGHT
    journal.write(
        events.ActionIntent(
            node="pve2",
            action="window",
            argv=("systemd-run", "window.sh"),
            why="It leaves.",
            undo="It rolls back.",
            detached=True,
            stdin_sha256=None,
        ),
        sync=True,
    )
    return journal


def pull(folder: Path, journal: Journal, node: str, name: str, data: bytes) -> None:
    """Lay a backup down as a run does, and say so in the journal."""
    place = folder / "backups" / node
    place.mkdir(mode=0o700, parents=True)
    (folder / "backups").chmod(0o700)
    (place / name).write_bytes(data)
    (place / name).chmod(0o600)
    journal.write(events.Transfer(node=node, file=name, size=len(data), sha256=hashlib.sha256(data).hexdigest()))


def finish(journal: Journal) -> None:
    """The command has answered and the run says how it ended."""
    sent = next(entry for entry in journal.events if isinstance(entry.event, events.ActionIntent))
    journal.write(
        events.Action(
            action_id=sent.number,
            node="pve2",
            exit_status=0,
            stdout="",
            stderr="",
            seconds=3.0,
            outcome="done",
            error=None,
        )
    )
    journal.step = None
    journal.write(
        events.Step(
            nodeid=IN_FLIGHT,
            phase=4,
            phase_title="remove corosync",
            title="The node leaves.",
            node="pve2",
            outcome="passed",
            message="",
            seconds=4.0,
        )
    )
    journal.write(events.End(exit_status=0, verdict="Both nodes stand alone.", next="nothing", signal=None), sync=True)
    journal.close()


def killed(folder: Path) -> Path:
    """A run that got SIGKILL while a command was on its way."""
    begun(folder).close()
    return folder


def whole(folder: Path, version: str = VERSION, continues: tuple[str, str] | None = None) -> Path:
    """A run that ended, with everything it writes."""
    finish(begun(folder, version, continues))
    rebuild(folder)
    return folder


def lines(folder: Path) -> list[bytes]:
    """The journal's lines, each with its newline."""
    return (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def write_lines(folder: Path, content: list[bytes]) -> None:
    """Replace the journal."""
    (folder / "journal.jsonl").write_bytes(b"".join(content))


def copy(folder: Path, target: Path) -> Path:
    """Copy a record with its modes."""
    shutil.copytree(folder, target)
    return target
