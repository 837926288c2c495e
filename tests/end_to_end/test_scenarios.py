"""Starting states of the lab that are taken to standalone nodes; those that are refused are in test_refusals.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from owned_guests import owned

PLANNED = ("plan.md", "plan.json", "by-hand.md")

ENDS_STANDALONE = [
    "broken",
    "half-dismantled",
    "ha-quorate-9",
    *(
        pytest.param(s, marks=pytest.mark.sweep)
        for s in ("quorate", "flapping", "heals-mid-run", "standalone", "ha-quorate", "pve7", "pve9")
    ),
]

LAW = "No majority is quorate together, or the operator said why the cluster is taken apart anyway."
VERDICT = "The verdict calls for this runbook, or the operator said why it is to run anyway."
CALLS_FOR_IT = ("broken", "flapping", "half-dismantled", "standalone")


def expect_standalone(lab: Any, ran: Any) -> None:
    """The whole runbook passed; by the lab's own truth every node is standalone and no guest was touched."""
    assert ran.status == 0, ran.text
    assert set(ran.outcomes()) <= {"passed", "not evaluated"}
    after = lab.control.state()
    for node in after.values():
        assert node.standalone and node.mounted and node.mode == "standalone"
        assert node.corosync_files in ((), ("uidgid.d",))
        assert node.units["corosync.service"] == ("inactive", "disabled")
        assert node.units["pve-ha-lrm.service"] == ("inactive", "disabled")
        assert node.units["pve-ha-crm.service"] == ("inactive", "disabled")
        assert node.watchdog_clients == ()
        assert node.boot_id == lab.before[node.name].boot_id
    assert lab.changed_guests() == {}
    assert not [g for g in owned(after) if g not in owned(lab.before)], "the canary is still there"


@pytest.mark.parametrize("scenario", ENDS_STANDALONE)
def test_nodes_become_standalone_and_no_guest_is_touched(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str
) -> None:
    lab = start_lab(scenario)
    ran = run("runbook/", *lab.options, "--approve=all", called_for=scenario in CALLS_FOR_IT)
    expect_standalone(lab, ran)


@pytest.mark.parametrize(
    ("scenario", "title", "words"),
    [
        ("quorate", LAW, ("a majority is quorate: pve1, pve2, pve3 see each other", "HEALTHY: nothing is to be done.")),
        *(
            pytest.param(*case, marks=pytest.mark.sweep)
            for case in (
                ("settling", LAW, ("WAIT: wait five minutes without touching anything",)),
                ("authkey-lost", LAW, ("REPAIR IN PLACE: copy /etc/corosync/authkey (mode 0400)",)),
                ("votes-edited", VERDICT, ("the verdict is repair in place", "`pvecm expected`")),
                ("no-cause", VERDICT, ("the verdict is unknown: no single cause explains it", "unknown is not yes")),
            )
        ),
    ],
)
def test_what_needs_no_dismantling_is_refused_without_a_reason(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str, title: str, words: tuple[str, ...]
) -> None:
    lab = start_lab(scenario)
    ran = run("runbook/", *lab.options, "--approve=all", called_for=True)
    assert ran.status == 1
    [(failed, message)] = ran.failed()
    assert failed == title
    assert "--anyway='REASON'" in message
    assert all(w.lower() in message.lower() for w in words), message
    assert lab.mutating() == []


@pytest.mark.sweep
def test_the_reason_stands_in_the_record(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab("quorate", nodes=2)
    expect_standalone(lab, run("runbook/", *lab.options, "--approve=all", "--anyway=it moves to a new rack"))
    ran = run("runbook/", *lab.options, "--approve=all", called_for=True)
    assert ran.status == 0
    [first, _] = sorted(p for p in ran.record.parent.iterdir())
    assert "the verdict is healthy; dismantled anyway: it moves to a new rack" in (first / "report.html").read_text()


@pytest.mark.parametrize("nodes", [1, pytest.param(5, marks=pytest.mark.sweep)])
def test_clusters_of_other_sizes(start_lab: Callable[..., Any], run: Callable[..., Any], nodes: int) -> None:
    lab = start_lab("broken" if nodes > 1 else "quorate", nodes=nodes)
    expect_standalone(lab, run("runbook/", *lab.options, "--approve=all"))


def test_without_terminal_and_approval_nothing_is_changed(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab()
    ran = run("runbook/", *lab.options)
    assert ran.status == 1
    assert [t for t, _ in ran.failed()] == ["The operator approves the freeze, and has the consoles at hand."]
    assert "--approve=0" in ran.failed()[0][1]
    assert ran.outcomes()["blocked"] > 100
    assert "guests, nodes, configs, volumes: not compared, the run ended before that" in ran.text
    assert lab.mutating() == []
    assert not any(
        "systemctl" in argv[0] and "stop" in argv for n in lab.hosts for argv in [lab.control.log(n)[-1].argv]
    )


def test_checks_before_and_after_on_one_cluster(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab()
    before = run("checks/", *lab.options)
    assert before.status == 1
    assert "no quorum (1 of 3 votes); /etc/pve is read-only" in before.text
    assert lab.mutating() == []
    assert run("runbook/", *lab.options, "--approve=all").status == 0
    changes = lab.mutating()
    after = run("checks/", *lab.options)
    assert after.status == 0, after.text
    assert lab.mutating() == changes


def test_a_second_run_finds_everything_done(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab()
    assert run("runbook/", *lab.options, "--approve=all").status == 0
    first = len(lab.mutating())
    again = run("runbook/", *lab.options, "--approve=all", "--canary=off")
    assert again.status == 0, again.text
    assert lab.mutating()[first:] == []


def test_the_lab_is_one_option_away(run: Callable[..., Any]) -> None:
    ran = run("runbook/", "--hosts=lab", "--approve=all")
    assert ran.status == 0, ran.text
    assert ran.record is not None
    names = {p.name for p in ran.record.iterdir()}
    assert names == {*PLANNED, "journal.jsonl", "report.html", "record.json", "summary.md", "backups"}
    page = (ran.record / "report.html").read_text()
    for words in ("Every node of labcluster is standalone", "14 of 14 guests unchanged", "Phase 7", "pvecm expected 1"):
        assert words in page
    phases = json.loads((ran.record / "record.json").read_text())["phases"]
    commands = [c for phase in phases for step in phase["steps"] for c in step["commands"]]
    assert {c["outcome"] for c in commands if c["kind"] == "action"} == {"done"}
    assert [c["unanswered"] for c in commands if c["kind"] == "read" and c["unanswered"]] == []
    assert (ran.record / "report.html").stat().st_size < 1_000_000
    for name in names - {"backups"}:
        text = (ran.record / name).read_text()
        assert "LAB-SECRET" not in text and "PRIVATE KEY" not in text, name
