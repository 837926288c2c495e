"""No backup, no change: one that is not what it should be stops the run that makes it and the run that needs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STEP = "The node's configuration is on the control host, opened and equal to the live one."
PULLED = ("config.db", "system.tar.gz", "etc-pve.tar.gz")
"""In the order in which they come."""


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """The file with one bit of the byte in its middle turned over."""
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    path.write_bytes(changed)
    yield
    path.write_bytes(whole)


def only_failure(ran: Any) -> str:
    """The message of the one step that failed."""
    assert ran.status == 1, ran.text
    [(title, message)] = ran.failed()
    assert title == STEP
    return str(message)


OUTCOMES = 12
"""Output and errors of the six commands before, which the node keeps until they are read."""


@pytest.mark.sweep
def test_a_backup_that_changes_on_its_way_stops_the_run(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    """Between the node's own sum of it and the moment it is fetched."""
    for place, name in enumerate(PULLED):
        lab = start_lab(nodes=2)
        more = f"printf x | tee -a /var/lib/pve-runbook/*/{name}"
        lab.control.fault("run", argv=("base64", "-w0"), node="pve2", skip=OUTCOMES + place, command=more)
        message = only_failure(run("runbook/", *lab.options, "--approve=all"))
        assert message.startswith("pve2: /var/lib/pve-runbook/") and f"/{name} has SHA-256 " in message
        assert lab.mutating() == []
        assert len(lab.control.faults_fired()) == 1


HOLDS_SOMETHING_ELSE = [
    (
        ("sqlite3", "/var/lib/pve-cluster/config.db"),
        0,
        "cp /etc/hosts FOLDER/config.db",
        "pve2: the copy of config.db does not open: file is not a database.",
    ),
    (
        ("tar",),
        1,
        "cp FOLDER/system.tar.gz FOLDER/etc-pve.tar.gz",
        "pve2: the copy of etc-pve.tar.gz and the live configuration differ in corosync.conf",
    ),
    (("tar",), 1, "cp FOLDER/etc-pve.tar.gz FOLDER/system.tar.gz", "pve2: /etc/corosync/corosync.conf has SHA-256 "),
]
"""After which command, how many such before it, what another hand types then, and what the run says."""


@pytest.mark.sweep
def test_a_backup_that_holds_something_else_stops_the_run(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """The sums agree at both ends; only a look inside tells."""
    lab = start_lab(nodes=2)
    for after, skip, command, words in HOLDS_SOMETHING_ELSE:
        command = command.replace("FOLDER", "$(echo /var/lib/pve-runbook/*-*)")
        lab.control.fault("run", when="after", argv=after, node="pve2", skip=skip, command=command)
        assert words in only_failure(run("runbook/", *lab.options, "--approve=all"))
        assert lab.mutating() == []


def test_too_little_space_for_a_whole_backup_stops_the_run(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab("disk-short", nodes=2)
    message = only_failure(run("runbook/", *lab.options, "--approve=all"))
    assert message.startswith("pve2: the backups need ")
    assert "in /var/lib/pve-runbook there and 262144 KiB must stay free; 262160 KiB are left." in message
    assert lab.mutating() == []
    written = [line.argv for node in lab.hosts for line in lab.control.log(node) if line.argv[0] == "tar"]
    assert written == []


@pytest.mark.sweep
def test_a_flipped_byte_in_any_backup_blocks_the_run_that_takes_it_up(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab(nodes=2)
    lab.control.fault("fail", argv=("pvecm", "expected"))
    unfinished = run("runbook/", *lab.options, "--approve=all")
    assert unfinished.status == 1
    folder = unfinished.record / "backups" / "pve2"
    assert sorted(p.name for p in folder.iterdir()) == sorted((*PULLED, "units.json"))
    units = json.loads((folder / "units.json").read_text())
    assert {n: (u["active"], u["file_state"]) for n, u in units.items()}.items() <= lab.before["pve2"].units.items()
    assert units["corosync.service"] == {"active": "active", "sub": "running", "file_state": "enabled"}
    changes = lab.mutating()
    for path in sorted(folder.iterdir()):
        with flipped(path):
            message = only_failure(run("runbook/", *lab.options, "--approve=all"))
        assert message.startswith(f"pve2: the backup {path} is changed: its journal says SHA-256 ")
        assert lab.mutating() == changes
    again = run("runbook/", *lab.options, "--approve=all")
    assert again.status == 0, again.text
    assert lab.changed_guests() == {}
