"""Where a step does not pass after something was changed, the record has what the node itself said of that time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

StartLab = Callable[..., Any]
Run = Callable[..., Any]


def kept(ran: Any) -> list[tuple[str, str]]:
    """(node, id of the step) of each such excerpt in the journal."""
    events = ran.journal()
    return [(e["node"], e["step"]) for e in events if e["kind"] == "probe" and e["id"].startswith("own_words")]


def test_a_node_that_did_not_do_as_it_should(start_lab: StartLab, run: Run) -> None:
    """It is asked, and nobody else; the page has its words under the step."""
    lab = start_lab(nodes=2)
    command = "systemctl unmask --runtime corosync; systemctl start corosync"
    lab.control.fault(
        "run", when="after", argv=("systemctl", "mask", "--runtime", "corosync.service"), node="pve1", command=command
    )
    ran = run("runbook/", "--approve=all", "--authority=pve2", *lab.options)
    assert ran.status == 3, ran.text
    record = json.loads((ran.record / "record.json").read_text())
    steps = [s for phase in record["phases"] for s in phase["steps"]]
    [failed] = [s for s in steps if s["outcome"] == "unknown"]
    assert failed["node"] == "pve1"
    told = "systemd: Started corosync.service"
    assert told in (ran.record / "report.html").read_text()
    assert kept(ran) == [("pve1", failed["nodeid"])]


def test_nobody_is_asked_before_the_first_change(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("ha-armed")
    ran = run("runbook/", "--approve=all", *lab.options)
    assert ran.status == 1, ran.text
    assert not [e for e in ran.journal() if "--unit=ssh.service" in str(e)]
