"""The process that was found of a VM is the one that Proxmox takes for it, by its pid file; or both are named."""

from __future__ import annotations

import pytest
from bench_run import BenchRun, MakeRun
from pve_runbook.diagnosis.refusals_cluster import pids_apart

FILE = "/run/qemu-server/201.pid"


def said(run: BenchRun) -> str:
    """What is said of pve2's guests, "" when nothing is."""
    run.cluster.forget()
    facts = run.cluster.node("pve2").facts
    return pids_apart(facts) if facts.pids_apart else ""


@pytest.mark.parametrize("state", ["broken", "guests-by-hand", "migrating"])
def test_nothing_is_said_where_the_two_are_one(make_run: MakeRun, state: str) -> None:
    run = make_run(state)
    for node in run.cluster.nodes:
        assert node.facts.running and node.facts.pids_apart == ()


def test_another_pid_is_said_with_both_and_what_is_to_be_typed_mends_it(make_run: MakeRun) -> None:
    run = make_run()
    pid = run.cluster.node("pve2").facts.running[201]
    run.bench.run("pve2", f"echo 1 > {FILE}")
    text = said(run)
    assert f"pve2: guest 201 runs as pid {pid}, and {FILE} names pid 1." in text
    assert f"`echo {pid} > {FILE}`" in text
    run.bench.run("pve2", f"echo {pid} > {FILE}")
    assert said(run) == ""


def test_no_file_at_all_is_said(make_run: MakeRun) -> None:
    run = make_run()
    pid = run.cluster.node("pve2").facts.running[201]
    run.bench.run("pve2", f"rm {FILE}")
    assert f"guest 201 runs as pid {pid}, and there is no {FILE}" in said(run)


def test_a_file_that_names_a_process_nobody_found_is_said_while_that_process_lives(make_run: MakeRun) -> None:
    """A VM that died leaves its file: Proxmox looks at the process too, and nothing is said of it."""
    run = make_run()
    run.bench.run("pve2", "echo 1 > /run/qemu-server/777.pid; echo 3999999 > /run/qemu-server/778.pid")
    text = said(run)
    assert "/run/qemu-server/777.pid names pid 1, which lives and is no guest that was found" in text
    assert "778" not in text and "`rm /run/qemu-server/777.pid`" in text
