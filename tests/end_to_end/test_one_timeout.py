"""What does not answer costs one timeout, once; everything else is reported."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pve_runbook.refusal.text import headline

StartLab = Callable[..., Any]
Run = Callable[..., Any]
LATE = (124, 137)


def timeouts(ran: Any) -> dict[str, int]:
    """Node → how many of its batches had to wait for a probe, or for all, until the time was over."""
    found: dict[str, set[object]] = {}
    for event in ran.journal():
        if event["kind"] == "probe" and (
            event.get("exit_status") in LATE or "no answer within" in event.get("error", "")
        ):
            found.setdefault(event["node"], set()).add(event["batch"])
    return {node: len(batches) for node, batches in found.items()}


def by_node(ran: Any) -> dict[str | None, dict[str, str]]:
    """Node → title → outcome of the checks."""
    found: dict[str | None, dict[str, str]] = {}
    for event in ran.journal():
        if event["kind"] == "step":
            found.setdefault(event["node"], {})[event["title"]] = event["outcome"]
    return found


def bad(outcomes: dict[str, str]) -> dict[str, str]:
    return {title: outcome for title, outcome in outcomes.items() if outcome in ("failed", "unknown")}


@pytest.mark.sweep
def test_a_hung_nfs_mount(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("hung-nas")
    ran = run("checks/", *lab.options)
    assert ran.status == 1
    assert timeouts(ran) == {"pve2": 1}
    outcomes = by_node(ran)
    assert bad(outcomes["pve2"]) == {"Every mounted storage over the network answers.": "failed"}
    assert bad(outcomes["pve1"]) == bad(outcomes["pve3"]) == bad(outcomes[None]) == {}
    assert "pve2: nas: no look at /mnt/pve/nas ended within" in ran.text
    assert "HEALTHY" in ran.text


@pytest.mark.sweep
def test_a_hung_etc_pve(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("hung-pve")
    ran = run("checks/", *lab.options)
    assert ran.status == 1
    assert timeouts(ran) == {"pve2": 1}
    outcomes = by_node(ran)
    assert bad(outcomes["pve1"]) == bad(outcomes["pve3"]) != {}
    for title in ("The login acts as root.", "Every guest process belongs to a guest of this node."):
        assert outcomes["pve2"][title] == "passed"
    assert outcomes["pve2"]["Every guest in the node's database is listed by Proxmox's own tools."] == "unknown"


@pytest.mark.sweep
def test_a_node_that_stops_answering(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("own-link")
    lab.control.freeze("pve2")
    ran = run("checks/", *lab.options, "-o", "pve_timeout_scale=0.05")
    assert ran.status == 3
    assert timeouts(ran) == {"pve2": 1}
    assert [e["node"] for e in ran.journal() if e["kind"] == "batch"].count("pve2") == 1
    outcomes = by_node(ran)
    assert set(outcomes["pve2"].values()) <= {"unknown", "not evaluated"}
    assert bad(outcomes["pve1"]) == bad(outcomes["pve3"]) == {}
    assert len(outcomes["pve1"]) == len(outcomes["pve2"]) > 25


@pytest.fixture
def black_hole(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that refuses connections, or takes them and never says anything."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "says nothing":
            server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "black_hole", ["refuses", pytest.param("says nothing", marks=pytest.mark.sweep)], indirect=True
)
def test_a_node_that_is_not_reached(start_lab: StartLab, run: Run, black_hole: int, tmp_path: Path) -> None:
    lab = start_lab("own-link")
    text = Path(lab.ssh_config).read_text()
    [port] = [line for line in text.partition("Host pve3\n")[2].splitlines() if line.startswith("  Port ")][:1]
    config = tmp_path / "ssh_config"
    config.write_text(text.replace(port, f"  Port {black_hole}"))
    ran = run("checks/", f"--hosts={','.join(lab.hosts)}", f"--ssh-config={config}")
    assert ran.status == 4
    assert "Not reached: pve3." in ran.text
    outcomes = by_node(ran)
    assert bad(outcomes["pve1"]) == bad(outcomes["pve2"]) == {}
    assert len([o for o in outcomes["pve1"].values() if o == "passed"]) > 20
    assert "passed" not in outcomes["pve3"].values()
    assert not [e for e in ran.journal() if e["kind"] == "batch" and e["node"] == "pve3"]
    assert "verdict HEALTHY: " in ran.text  # the others see it alive, and so does its vote
    assert "UNKNOWN pve3: it was not reached (" in ran.text
    assert ran.said.count("  UNKNOWN pve3: ") == 1, ran.said


def test_what_does_not_hold_is_named_and_not_what_is_unknown(start_lab: StartLab, run: Run) -> None:
    lab = start_lab("member-unreachable")
    ran = run("checks/", *lab.options)
    named = re.search(r" checks failed; first: (.*?)\. Not reached: pve3\.", ran.text)
    assert named is not None, ran.text
    steps = [e for e in ran.journal() if e["kind"] == "step"]
    first = next(e for e in steps if e["outcome"] == "failed")
    assert named[1].split() == headline(first["title"], "", first["node"], first["message"]).split()
    assert next(e["outcome"] for e in steps if e["outcome"] in ("failed", "unknown")) == "unknown"
