"""A node's own commands over a real connection: what a signal ended has no exit status, and is no answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pve_runbook.actions.action import Action
from pve_runbook.actions.errors import OutcomeUnknown
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.node import Node
from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.ssh.connection import ConnectOptions
from pve_runbook.ssh.hosts import parse_hosts
from ssh_server import Server, Site


@pytest.fixture
def over_ssh(server: Server, site: Site, tmp_path: Path) -> Iterator[Node]:
    """A node of the runbook that is logged in to, whose journal is on the disk."""
    journal = Journal()
    journal.attach(tmp_path / "journal.jsonl")
    cluster = Cluster(parse_hosts(site.host("pve1", server)), ConnectOptions(), journal, read_only=False, attempt="run")
    [found] = cluster.nodes
    found.line.open()
    yield found
    cluster.close()
    journal.close()


def at_once(command: str) -> Action:
    """An action that is sent as it is, and whose outcome the node does not keep."""
    return Action("x", ("sh", "-c", command), "a test", "none needed", True, 60, detached=False, kept=False)


def kept(node: Node) -> list[tuple[str, int | None, str | None]]:
    """The outcomes in the journal."""
    found = events.of_kind(node._run.journal.events, events.Action)
    return [(event.outcome, event.exit_status, event.error) for event in found]


def test_an_action_that_a_signal_ended_has_an_unknown_outcome(over_ssh: Node) -> None:
    assert over_ssh.act(at_once("echo done")).stdout == "done\n"
    with pytest.raises(OutcomeUnknown, match="ended by a signal"):
        over_ssh.act(at_once("kill -9 $$"))
    assert kept(over_ssh) == [("done", 0, None), ("unknown", None, "it was ended by a signal")]


def test_a_gates_command_that_a_signal_ended_is_unknown(over_ssh: Node) -> None:
    assert over_ssh.gate_command("echo here; exit 3") == (3, b"here\n", b"")
    with pytest.raises(UnknownFact, match="ended by a signal"):
        over_ssh.gate_command("kill -9 $$")
    told = [e.exit_status for e in events.of_kind(over_ssh._run.journal.events, events.GateCommand)]
    assert told == [3, None]
