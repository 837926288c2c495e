"""Disks on storages of every kind, and disks that are not there: the way on is walked to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

StartLab = Callable[..., Any]
Run = Callable[..., Any]

# starting state of the lab: the options that go on with it, and what the record says was accepted
WAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "rbd-silent": (("--accept=volumes",), "volume ceph-ext:vm-103-disk-5 of 103"),
    "rbd-no-keyring": (("--accept=volumes",), "volume ceph-ext:vm-103-disk-5 of 103"),
    "nas-hangs": (("--accept=volumes,shared-storage",), "volume nas:103/vm-103-disk-5.qcow2 of 103"),
    "iscsi-no-session": (("--accept=volumes",), "volume san:0.0.2.scsi-36001405bbbb of 103"),
    "other-plugins-stopped": (("--accept=volumes",), "volume linstor:pm-e5f6a7b8 of 103"),
    "volume-elsewhere": (("--accept=volumes",), "volume tank:subvol-111-disk-0 of 111 (pve3 has it) is missing"),
    **{
        scenario: ((), "")
        for scenario in (
            *("rbd", "iscsi-disks", "glusterfs", "other-plugins", "backup-storages", "content-dirs", "iso-as-disk"),
            *("iso-with-blank", "unused-volume-gone", "cloud-init-gone", "storage-removed", "disk-by-id"),
        )
    },
}
QUICK = ("rbd-silent",)


@pytest.mark.parametrize(
    "scenario", [pytest.param(s, marks=() if s in QUICK else pytest.mark.sweep) for s in WAYS], ids=list(WAYS)
)
def test_every_node_leaves_and_every_guest_keeps_its_process(start_lab: StartLab, run: Run, scenario: str) -> None:
    lab = start_lab(scenario)
    options, accepted = WAYS[scenario]
    ran = run("runbook/", *lab.options, "--approve=all", *options)
    assert ran.status == 0, ran.text
    assert all(node.standalone for node in lab.control.state().values())
    assert lab.changed_guests() == {}
    events = ran.journal()
    noted = [str(e["text"]) for e in events if e["kind"] == "note" and e["topic"] == "accepted"]
    assert any(accepted in text and text.endswith("by --accept=volumes") for text in noted) is bool(accepted)
    [asked] = [str(e["text"]) for e in events if e["kind"] == "approval" and e["subject"] == "labcluster"][:1]
    assert ("These volumes are not there or cannot be listed" in asked) is bool(accepted)
    assert ("does not start until that is there" in ran.text or "; there: mv /etc/pve/nodes/" in ran.text) is bool(
        accepted
    )


@pytest.mark.sweep
def test_a_disk_of_a_guest_that_runs_is_not_accepted_as_missing(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("disk-gone")
    ran = run("runbook/", *lab.options, "--approve=all", "--accept=volumes")
    assert ran.status == 1, ran.text
    [(_, message)] = ran.failed()
    assert "pve3: volumes are not there: local:301/vm-301-disk-0.qcow2 of 301" in message
    assert lab.mutating() == [] and lab.changed_guests() == {}
