"""What a gate that somebody added may ask by testinfra's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import MakeRun, runs
from pve_runbook.actions.errors import NotAllowed
from pve_runbook.journal.events import GateCommand, of_kind


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[MakeRun]:
    """Build runs on the lab's model."""
    yield from runs(tmp_path)


def test_in_the_runbook_it_is_run_as_it_is_and_the_journal_has_it(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    assert run.cluster.nodes[0].gate_command("cat /etc/hostname; false") == (1, b"pve1\n", b"")
    [kept] = of_kind(run.journal.events, GateCommand)
    assert (kept.command, kept.exit_status, kept.stdout) == ("cat /etc/hostname; false", 1, "pve1\n")


def test_in_checks_it_is_answered_by_a_probe_or_not_at_all(make_run: MakeRun) -> None:
    run = make_run("broken", 1, read_only=True)
    node = run.cluster.nodes[0]
    assert node.gate_command("uname -s") == (0, b"Linux\n", b"")
    assert node.gate_command("command -v corosync-cfgtool")[0] == 0
    assert node.gate_command("command -v no-such-tool")[0] != 0
    for text in ("touch /root/x", "command -v -p", "command -p qm", "command -v qm; reboot", "echo -v qm"):
        with pytest.raises(NotAllowed, match=f"`{text}` is not one of the registered probes"):
            node.gate_command(text)
    assert list(of_kind(run.journal.events, GateCommand)) == [] and run.bench.mutations() == []
