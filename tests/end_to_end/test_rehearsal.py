"""--rehearse, --save-facts and --lab-facts as an operator uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pve_runbook.probes.allow_list import is_passive


def only_probes(lab: Any) -> bool:
    """Whether the lab's own logs hold nothing but registered probes that change nothing."""
    logs = [line for node in lab.hosts for line in lab.control.log(node)]
    return bool(logs) and all(is_passive(line.argv) and not line.mutating for line in logs)


@pytest.mark.parametrize(
    "scenario",
    ["half-dismantled", *(pytest.param(s, marks=pytest.mark.sweep) for s in ("ha-quorate", "ha-quorate-9"))],
)
def test_the_whole_runbook_runs_on_the_twin_and_the_nodes_are_only_asked(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str
) -> None:
    lab = start_lab(scenario)
    ran = run("runbook/", *lab.options, "--rehearse")
    assert ran.status == 0, ran.text
    assert set(ran.outcomes()) <= {"passed", "not evaluated"}
    assert lab.mutating() == [] and lab.changed_guests() == {}
    assert only_probes(lab)
    assert {n: (t.mode, t.units, t.version) for n, t in lab.control.state().items()} == {
        n: (t.mode, t.units, t.version) for n, t in lab.before.items()
    }
    [begun] = [e for e in ran.journal() if e["kind"] == "run"]
    assert begun["mode"] == "rehearsal" and ran.record.name.endswith("-rehearsal")
    assert {e["how"] for e in ran.journal() if e["kind"] == "approval"} == {"rehearsal"}
    told = [str(e["text"]) for e in ran.journal() if e["kind"] == "note" and e["topic"] == "twin"]
    assert told and not [text for text in told if text.startswith("not as read")]
    for words in ("REHEARSAL", "were sent to the twin", "to pve1, pve2, pve3 none", "by the twin's clock", told[-1]):
        assert words in ran.text
    page = (ran.record / "report.html").read_text()
    assert "REHEARSAL" in page and "What the twin could not know" in page and "were sent to the twin" in page
    assert run(f"--verify-record={ran.record}").status == 0
    assert "next pytest runbook/ --hosts=pve1,pve2,pve3" in ran.text.replace(" -m pytest", " pytest")


@pytest.mark.sweep
def test_a_refusal_is_rehearsed_too(start_lab: Callable[..., Any], run: Callable[..., Any], tmp_path: Path) -> None:
    lab = start_lab("guest-locked", nodes=2)
    facts = tmp_path / "facts.json"
    ran = run("runbook/", *lab.options, "--rehearse", f"--save-facts={facts}")
    assert ran.status == 1
    assert only_probes(lab)
    assert [title for title, _ in ran.failed()] == [
        "No guest is locked, or the operator accepted it as left over; none is just arriving by migration."
    ]
    assert lab.mutating() == []
    again = run("runbook/", "--hosts=lab", f"--lab-facts={facts}", "--approve=all")
    assert (again.status, again.failed()) == (1, ran.failed())


@pytest.mark.sweep
@pytest.mark.parametrize("scenario", ["config-older-names", "standalone", "routed"])
def test_checks_say_the_same_of_the_twin(
    start_lab: Callable[..., Any], run: Callable[..., Any], tmp_path: Path, scenario: str
) -> None:
    lab = start_lab(scenario)
    facts = tmp_path / "facts.json"
    real = run("checks/", *lab.options, f"--save-facts={facts}")
    twin = run("checks/", "--hosts=lab", f"--lab-facts={facts}")
    assert facts.stat().st_mode & 0o777 == 0o600
    assert real.status == twin.status, twin.text

    def verdict(ran: Any) -> str:
        [end] = [e for e in ran.journal() if e["kind"] == "end"]
        return str(end["verdict"])

    assert verdict(real).partition(".")[0] == verdict(twin).partition(".")[0]


@pytest.mark.sweep
def test_a_node_that_is_not_reached_ends_the_rehearsal(
    start_lab: Callable[..., Any], run: Callable[..., Any], tmp_path: Path
) -> None:
    lab = start_lab("member-unreachable")
    facts = tmp_path / "facts.json"
    kept = run("checks/", *lab.options, f"--save-facts={facts}")
    assert kept.status == 4 and "--save-facts" not in kept.text.partition(" next ")[2]
    assert [node["hostname"] for node in json.loads(facts.read_text())["nodes"]] == ["pve1", "pve2"]
    ran = run("runbook/", *lab.options, "--rehearse")
    assert ran.status == 4 and ran.record is None
    lab.hosts.remove("pve3")
    ran = run("runbook/", *lab.options, "--rehearse", "--absent=pve3")
    assert ran.status == 0, ran.text
    assert "pve3: nothing but what the others see of it" in ran.text


@pytest.mark.sweep
def test_a_locked_node_is_held_in_the_rehearsal_too(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    """The earlier run's record and key are not touched from the twin."""
    lab = start_lab(nodes=2)
    lab.control.fault("fail", at=12)
    first = run("runbook/", *lab.options, "--approve=all")
    assert first.status == 1
    files = {p: p.stat().st_mtime_ns for p in first.record.rglob("*")}
    ran = run("runbook/", *lab.options, "--rehearse")
    assert ran.status == 1
    assert "No other run holds these nodes" in ran.failed()[0][0] and "twin-of-" in ran.failed()[0][1]
    assert {p: p.stat().st_mtime_ns for p in first.record.rglob("*")} == files


@pytest.mark.sweep
def test_without_any_database_there_is_no_twin(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab("broken", nodes=1)
    database = "/var/lib/pve-cluster/config.db"
    for line in (f"cp {database} /root/whole.db", f"printf garbage > {database}"):
        assert lab.control.run("pve1", line).exit_status == 0
    ran = run("runbook/", *lab.options, "--rehearse")
    assert ran.status == 4
    assert "a twin would be empty" in ran.text and "[PVE-R247]" in ran.text
    assert lab.control.run("pve1", f"cp /root/whole.db {database}").exit_status == 0
    whole = run("runbook/", *lab.options, "--rehearse")
    assert whole.status == 0, whole.text
