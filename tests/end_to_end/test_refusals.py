"""The refusal matrix: what is refused, by which gate, in which words, and that nothing is changed after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

StartLab = Callable[..., Any]
Run = Callable[..., Any]

HA = "HA is not active without quorum."
CLIENT = "Without quorum nothing but HA holds the watchdog."
SPLIT = "No part of the cluster has quorum while another has none."
MEMBERS = "--hosts names every member of the cluster, and nobody else."
SEEN = "No member that --absent names is seen alive."
OTHER = "No command of another run is under way on the node; one of the run that is taken up is waited for."
ONE_CONF = (
    "All members have one and the same corosync.conf and authkey; a file that corosync cannot read tells nothing."
)
OWNER = "Every guest has one owner: no id is on two nodes."
VOLUMES = "Every volume of every guest is on the node that owns the guest, or the operator accepted that it is not."
LOCKED = "No guest is locked, or the operator accepted it as left over; none is just arriving by migration."
TASK = "No backup, migration or clone is under way."
LOOPBACK = "The node's own name resolves to an address that is not loopback."
CLOCKS = "The nodes' clocks agree."
SPACE = "There is space for a backup and for the database."
STACKED = "No second mount lies on /etc/pve."
STALE = "/etc/pve is no stale mount."
HUNG = "/etc/pve answers."
STORAGES = (
    "The storages of this node's guests are active and writable, or the operator accepted that they do not answer."
)
DOUBLE = "No start of all guests waits for quorum while a guest of it lies on shared storage."
DIVERGED = "The members' databases hold the same, or the operator named the one that counts."
SHARED = "No shared storage holds guests of two nodes, or the operator accepted it with the map before him."
CEPH = "No Ceph runs on these nodes, or the operator accepted what that means."

# starting state of the lab: the gate, and the words that it must say
REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "ha-armed": (HA, ("its watchdog is armed, and there is no quorum",)),
    "watchdog-client-left": (CLIENT, ("pve2: a watchdog client is active, and it is not HA's", "watchdog-mux.sock")),
    "peer-quorate": (SPLIT, ("pve2, pve3 have quorum together, pve1 has none",)),
    "conf-differs": (ONE_CONF, ("/etc/corosync/corosync.conf differs:",)),
    "authkey-differs": (ONE_CONF, ("/etc/corosync/authkey differs:",)),
    "duplicate-id": (OWNER, ("guest 203 is here by this node's own database, and on pve1",)),
    "volume-elsewhere": (VOLUMES, ("pve1: volumes are not there: tank:subvol-111-disk-0 of 111",)),
    "storage-missing": (VOLUMES, ("pve1: volumes are not there:",)),
    "guest-locked": (LOCKED, ("pve1: guests are locked: 102 (snapshot)",)),
    "backup-running": (TASK, ("pve1: a task is running: vzdump",)),
    "migrating": (TASK, ("pve1: a task is running: qmigrate 101",)),
    "name-on-loopback": (LOOPBACK, ("pve3 resolves to 127.0.1.1",)),
    "clock-skew": (CLOCKS, ("pve3: its clock is ", "chronyc tracking")),  # some 90 s: it is measured
    "disk-full": (SPACE, ("pve2:", "has 0 MiB left")),
    "root-readonly": (SPACE, ("pve2: / is mounted read-only", "dmesg")),
    "stacked-mount": (STACKED, ("pve2: 2 mounts lie on /etc/pve",)),
    "stale-mount": (STALE, ("pve2: /etc/pve is a stale mount", "Transport endpoint is not connected")),
    "hung-pve": (HUNG, ("pve2: /etc/pve hangs",)),
    "storage-readonly": (STORAGES, ("pve2: storage trouble:", "mounted read-only at")),
    "startall-shared": (DOUBLE, ("pve2: the start of all guests waits for quorum, and 203 lie on shared storage",)),
    "other-run-live": (OTHER, ("pve2: a command of another run is under way", "20260101T000000Z-abcd-window")),
    "diverged": (
        DIVERGED,
        (
            "nodes/pve1/qemu-server/101.conf differs (pve1 / pve2, pve3)",
            "nodes/pve3/qemu-server/301.conf differs (pve1, pve2 / pve3)",
            "--authority=pve3 (the newest)",
            "--authority=pve1@",
        ),
    ),
    "shared-by-two": (SHARED, ("nas: pve2 (203), pve3 (301, 302, 303)", "--accept=shared-storage")),
    "ceph": (CEPH, ("/etc/pve/ceph.conf on pve1, pve2, pve3", "osd set noout", "--accept=ceph")),
}

QUICK = {"ha-armed", "storage-missing", "diverged"}
"""Those that the default suite runs; the others stand under the marker sweep."""


def refused(lab: Any, ran: Any, title: str, *words: str) -> None:
    """One failed step, three lines with the words, and by the nodes' own logs not one change."""
    assert ran.status == 1, ran.text
    assert [t for t, _ in ran.failed()] == [title]
    message = ran.failed()[0][1]
    assert all(w in message for w in words), message
    assert len(message.splitlines()) == 3
    assert lab.mutating() == []
    assert lab.changed_guests() == {}


def standalone(lab: Any, ran: Any, *names: str) -> None:
    """The whole runbook passed; these nodes (all, where none is named) are standalone and no guest was touched."""
    assert ran.status == 0, ran.text
    state = lab.control.state()
    assert all(state[n].standalone and state[n].mode == "standalone" for n in names or state)
    assert lab.changed_guests() == {}


def notes(ran: Any, topic: str) -> list[str]:
    """What its record notes under a topic."""
    return [str(e["text"]) for e in ran.journal() if e["kind"] == "note" and e["topic"] == topic]


@pytest.mark.parametrize(
    "scenario", [pytest.param(s, marks=() if s in QUICK else pytest.mark.sweep) for s in REFUSED], ids=list(REFUSED)
)
def test_what_reading_can_judge_is_refused_before_the_first_change(
    start_lab: StartLab, run: Run, scenario: str
) -> None:
    lab = start_lab(scenario)
    title, words = REFUSED[scenario]
    refused(lab, run("runbook/", *lab.options, "--approve=all"), title, *words)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("node", "after", "command", "words"),
    [
        pytest.param(
            *("pve2", ("systemctl", "mask", "--runtime", "corosync.service")),
            "printf '10.9.9.9 other\\n' >> /etc/hosts",
            "pve2: /etc/hosts changed since the baseline",
            id="network files changed",
        ),
        pytest.param(
            *("pve1", ("systemctl", "disable", "corosync.service"), "systemctl enable --now pve-ha-crm.service"),
            "pve1: pve-ha-crm.service is active and enabled again",
            id="HA switched on again",
        ),
    ],
)
def test_what_changed_in_the_middle_stops_the_next_window(
    start_lab: StartLab,
    run: Run,
    node: str,
    after: tuple[str, ...],
    command: str,
    words: str,
) -> None:
    lab = start_lab()
    lab.control.fault("run", when="after", argv=after, node=node, command=command)
    ran = run("runbook/", *lab.options, "--approve=all", "--authority=pve3")
    assert lab.control.faults_fired()
    assert ran.status == 1, ran.text
    [(title, message)] = ran.failed()
    assert title.startswith("HA is off, nothing moves, the peers are silent")
    assert words in message
    events = ran.journal()
    at = next(i for i, e in enumerate(events) if e["kind"] == "step" and e["outcome"] == "failed")
    assert not [e for e in events[at:] if e["kind"] == "action-intent"]
    assert {n for n, argv in lab.mutating() if argv[:3] == ("systemctl", "stop", "pve-cluster.service")} == {"pve1"}
    assert lab.changed_guests() == {}


@pytest.mark.sweep
def test_a_hung_etc_pve_costs_one_timeout(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("hung-pve")
    ran = run("runbook/", *lab.options, "--approve=all")
    waited = {e["batch"] for e in ran.journal() if e["kind"] == "probe" and e.get("exit_status") == 124}
    assert len(waited) == 1


# --- what there is a way on for


@pytest.mark.parametrize(
    "accept",
    ["shared-storage", pytest.param("ceph", marks=pytest.mark.sweep), pytest.param("locks", marks=pytest.mark.sweep)],
)
def test_what_is_accepted_by_its_word_does_not_stop_the_run(start_lab: StartLab, run: Run, accept: str) -> None:
    lab = start_lab({"shared-storage": "shared-by-two", "ceph": "ceph", "locks": "guest-locked"}[accept])
    ran = run("runbook/", *lab.options, "--approve=all", f"--accept={accept}")
    standalone(lab, ran)
    noted, left = {
        "shared-storage": ("nas is shared by guests of pve2 (203), pve3 (301, 302, 303)", "pve3 (301, 302, 303)"),
        "ceph": ("Ceph: /etc/pve/ceph.conf on pve1, pve2, pve3", "ceph osd unset noout"),
        "locks": ("guest 102 stays locked (snapshot)", "guest 102 is locked (snapshot)"),
    }[accept]
    assert any(noted in text and f"--accept={accept}" in text for text in notes(ran, "accepted"))
    assert any(left in text for text in notes(ran, "left"))


@pytest.mark.sweep
def test_one_word_does_not_accept_the_other(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("ceph")
    refused(lab, run("runbook/", *lab.options, "--approve=all", "--accept=shared-storage"), CEPH, "--accept=ceph")


def test_diverged_databases_need_the_authority_by_name_once(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("diverged")
    lab.control.fault("fail", argv=("pmxcfs", "-l"), node="pve1")
    first = run("runbook/", *lab.options, "--approve=all", "--authority=pve3")
    assert first.status == 1, first.text
    assert "the window failed" in first.failed()[0][1]
    assert "nodes/pve2/qemu-server/201.conf differs (pve1, pve3 / pve2)" in notes(first, "diverged")
    again = run("runbook/", *lab.options, "--approve=all")
    standalone(lab, again)


@pytest.mark.sweep
def test_an_older_one_of_diverged_databases_is_named_with_its_version(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("diverged")
    version = lab.control.state()["pve1"].version
    ran = run("runbook/", *lab.options, "--approve=all", "--authority=pve1")
    refused(lab, ran, DIVERGED, f"--authority=pve1@{version}")
    standalone(lab, run("runbook/", *lab.options, "--approve=all", f"--authority=pve1@{version}"))


@pytest.mark.sweep
def test_a_qdevice_is_stopped_everywhere_and_said(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("qdevice")
    ran = run("runbook/", *lab.options, "--approve=all")
    standalone(lab, ran)
    [asked] = [e for e in ran.journal() if e["kind"] == "approval" and e["phase"] == 2]
    assert "The QDevice on pve1, pve2, pve3 is stopped and masked first" in str(asked["text"])
    assert any("`pvecm qdevice remove` cannot be used any more" in text for text in notes(ran, "left"))
    assert {n.units["corosync-qdevice.service"][0] for n in lab.control.state().values()} == {"inactive"}


# --- a member that is powered off


@pytest.fixture
def without_pve3(start_lab: StartLab) -> Any:
    """A broken cluster whose third member is powered off."""
    return start_lab("member-unreachable")


def hosts(lab: Any, *names: str) -> list[str]:
    """The options that reach these nodes of a lab only."""
    return [f"--hosts={','.join(names)}", f"--ssh-config={lab.ssh_config}"]


@pytest.mark.sweep
def test_a_member_that_does_not_answer_is_named_before_anything_is_read(without_pve3: Any, run: Run) -> None:
    ran = run("runbook/", *without_pve3.options, "--approve=all")
    assert ran.status == 4
    assert "nothing was changed on any" in ran.text and "pve3: " in ran.text and "--absent" in ran.text
    assert without_pve3.mutating() == []


@pytest.mark.sweep
def test_a_member_that_is_left_out_has_to_be_called_absent(without_pve3: Any, run: Run) -> None:
    ran = run("runbook/", *hosts(without_pve3, "pve1", "pve2"), "--approve=all")
    refused(without_pve3, ran, MEMBERS, "pve3 is a member in corosync.conf", "--absent=pve3")


@pytest.mark.sweep
def test_the_words_have_to_be_typed_or_approved(without_pve3: Any, run: Run) -> None:
    ran = run("runbook/", *hosts(without_pve3, "pve1", "pve2"), "--absent=pve3")
    assert ran.status == 1
    [(title, message)] = ran.failed()
    assert title == "The operator says of every absent member that it is powered off, or has left."
    assert "its HA can take over guests that run on pve1,pve2" in message
    assert without_pve3.mutating() == []


@pytest.mark.sweep
def test_the_others_leave_without_an_absent_member_and_it_leaves_alone_later(without_pve3: Any, run: Run) -> None:
    lab = without_pve3
    command = ("runbook/", *hosts(lab, "pve1", "pve2"), "--absent=pve3", "--approve=all")
    lab.control.fault("fail", argv=("pmxcfs", "-l"))
    first = run(*command)
    assert first.status == 1 and "the window failed" in first.failed()[0][1], first.text
    ran = run(*command)
    standalone(lab, ran, "pve1", "pve2")
    assert "Every node of labcluster but pve3, which took no part, is standalone" in ran.text
    assert "pve3 is powered off or pve3 left the cluster" in [
        e["subject"] for e in ran.journal() if e["kind"] == "approval"
    ]
    assert any("--hosts=pve3 --absent=pve1,pve2" in text for text in notes(ran, "left"))
    baseline = next(e for e in ran.journal() if e["kind"] == "baseline")
    assert {g["node"] for g in baseline["guests"]} == {"pve1", "pve2"}  # type: ignore[attr-defined]
    lab.control.power_on("pve3")
    changed = len(lab.mutating())
    standalone(lab, run("runbook/", *hosts(lab, "pve3"), "--absent=pve1,pve2", "--approve=all"), "pve1", "pve2", "pve3")
    assert {node for node, _ in lab.mutating()[changed:]} == {"pve3"}


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("scenario", "absent", "title", "words"),
    [
        ("quorate", "pve3", SEEN, "pve3 is not absent: this node sees it"),
        ("broken", "pve3,pve9", MEMBERS, "pve9 (--absent): corosync.conf does not name this node"),
    ],
)
def test_what_is_not_absent_is_refused(
    start_lab: StartLab, run: Run, scenario: str, absent: str, title: str, words: str
) -> None:
    lab = start_lab(scenario)
    refused(lab, run("runbook/", *hosts(lab, "pve1", "pve2"), f"--absent={absent}", "--approve=all"), title, words)
