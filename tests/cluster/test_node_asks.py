"""What a node is asked and when: which probes go together, what is asked again, and what is not asked at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import BenchRun, MakeRun, runs
from pve_lab.shell import Channel
from pve_runbook.actions.errors import NotAllowed
from pve_runbook.cluster.node import SECOND_LOOKS
from pve_runbook.journal.events import Batch, of_kind
from pve_runbook.journal.rows import Asked
from pve_runbook.parsers.output import TimedOut
from pve_runbook.probes import per_subject
from pve_runbook.probes import registry as probes
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.probe import Group

NAS = "/mnt/pve/nas"


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[MakeRun]:
    """Build runs on the lab's model; each has read its nodes once."""
    yield from runs(tmp_path)


def requests(run: BenchRun) -> list[list[str]]:
    """The keys of what the first node was asked, request by request, by the journal."""
    names: dict[int | None, str] = {}
    found = []
    for batch in of_kind(run.journal.events, Batch):
        names |= {q.q: q.id for q in batch.probes if isinstance(q, Asked)}
        if batch.node == run.cluster.nodes[0].name:
            found.append([names[q.q if isinstance(q, Asked) else q] for q in batch.probes])
    return found


class Meanwhile:
    """What is asked from here on."""

    def __init__(self, run: BenchRun) -> None:
        self._run = run
        self._before = len(requests(run))

    @property
    def requests(self) -> list[list[str]]:
        """Request by request."""
        return requests(self._run)[self._before :]

    @property
    def keys(self) -> set[str]:
        """All together."""
        return {key for request in self.requests for key in request}


def test_the_runbook_asks_proxmoxs_tools_together_once_one_of_them_is_needed(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    facts = run.cluster.nodes[0].facts
    meanwhile = Meanwhile(run)
    assert facts.get(probes.QM_LIST)
    assert meanwhile.keys == {"qm_list", "pct_list", "pvesm"}
    assert facts.get(probes.PVESM)
    assert len(meanwhile.requests) == 2


def test_what_is_no_tool_is_asked_by_itself(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    facts = run.cluster.nodes[0].facts
    meanwhile = Meanwhile(run)
    assert facts.get(probes.API_STATUS)
    assert meanwhile.keys == {p.name for p in probes.FIRST_ROUND if p.group is Group.API}


def test_a_run_that_reads_asks_the_lists_of_guests_and_mounts_nothing_for_it(make_run: MakeRun) -> None:
    run = make_run("broken", 1, read_only=True)
    run.cluster.forget()
    facts = run.cluster.nodes[0].facts
    meanwhile = Meanwhile(run)
    assert facts.get(probes.QM_LIST)
    assert meanwhile.keys == {"qm_list", "pct_list"}
    with pytest.raises(NotAllowed, match="mounts what is not mounted on the node; see --activate-storage"):
        facts.get(probes.PVESM)
    assert len(meanwhile.requests) == 1


def test_a_run_that_reads_may_be_told_to_mount(make_run: MakeRun) -> None:
    run = make_run("broken", 1, read_only=True, activate_storage=True)
    assert run.cluster.nodes[0].facts.get(probes.PVESM)


def test_what_is_known_is_not_asked_again_until_it_is_forgotten(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    node = run.cluster.nodes[0]
    meanwhile = Meanwhile(run)
    node.read(Group.CORE, Group.NETWORK)
    assert meanwhile.requests == []
    node.read(Group.CORE, Group.GUESTS)
    assert meanwhile.keys == {"qm_list", "pct_list"}
    node.forget()
    assert node.facts.hostname == "pve1"
    assert {"hostname", "boot_id"} < meanwhile.keys and "routes" not in meanwhile.keys


def test_facts_are_as_old_as_their_core(make_run: MakeRun) -> None:
    """A clock is held against the moment at which it was asked for."""
    node = make_run("broken", 1).cluster.nodes[0]
    node.forget()
    node.read(Group.NETWORK)
    between = time.time()
    node.read(Group.CORE)
    asked = node.facts.asked
    assert asked >= between
    node.read(Group.GUESTS)
    assert node.facts.asked == asked


def test_the_line_knows_the_boot_that_the_node_had_first(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    node = run.cluster.nodes[0]
    first = node.facts.boot_id
    assert first and node.line.boot == first
    run.bench.node("pve1").files.put("/proc/sys/kernel/random/boot_id", b"11111111-2222-3333-4444-555555555555\n")
    node.forget()
    assert node.facts.boot_id != first and node.line.boot == first


def test_a_node_that_does_not_say_its_boot_has_none(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    node = run.cluster.nodes[0]
    run.bench.node("pve1").files.discard("/proc/sys/kernel/random/boot_id")
    node.line.boot = ""
    node.forget()
    node.read(Group.CORE)
    assert node.line.boot == ""


def test_a_listing_that_was_silent_at_first_is_not_asked_again(make_run: MakeRun) -> None:
    run = make_run("nas-hangs", 1)
    node, meanwhile = run.cluster.nodes[0], Meanwhile(run)
    silent = f"{per_subject.STORAGE_FILES.name}:{NAS}"
    assert silent in {key for request in requests(run) for key in request}
    node.forget()
    assert node.facts.is_missing(per_subject.STORAGE_FILES, TimedOut, NAS)
    assert silent not in meanwhile.keys


def test_a_listing_that_falls_silent_later_is_asked_each_time(make_run: MakeRun) -> None:
    """Its storage may be back."""
    run = make_run("nas-hangs", 1)
    node, hung = run.cluster.nodes[0], run.bench.node("pve1").files.hung
    hung.clear()
    late = make_run(run.bench)
    node = late.cluster.nodes[0]
    hung.add(NAS)
    for _ in range(2):
        node.forget()
        assert node.facts.is_missing(per_subject.STORAGE_FILES, TimedOut, NAS)
    hung.clear()
    node.forget()
    assert not node.facts.is_missing(per_subject.STORAGE_FILES, TimedOut, NAS)


def test_a_node_that_is_settled_is_not_waited_for(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    assert not [key for request in requests(run) for key in request if key.startswith("pause")]


def test_a_node_in_the_middle_of_something_is_asked_that_again_a_second_apart(make_run: MakeRun) -> None:
    """A VM that starts is two processes for a while; what else is missing is not waited for."""
    run = make_run("broken", 1)
    node, model = run.cluster.nodes[0], run.bench.node("pve1")
    first = next(p for p in model.processes.table.values() if p.vmid == 101)
    second = model.processes.spawn(first.comm, first.argv, vmid=101)
    model.files.discard("/proc/sys/kernel/random/boot_id")
    node.forget()
    meanwhile = Meanwhile(run)
    with pytest.raises(UnknownFact, match="Two processes are guest 101"):
        _ = node.facts.running
    again = [request for request in meanwhile.requests if "pause:1" in request]
    assert again == [["guest_processes", "pause:1"]] * SECOND_LOOKS
    model.processes.end(second.pid)
    node.forget()
    assert node.facts.running[101] == first.pid


def test_one_question_that_is_not_answered_is_unknown(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    run.bench.node("pve1").files.discard("/proc/sys/kernel/random/boot_id")
    with pytest.raises(UnknownFact, match="No such file") as error:
        run.cluster.nodes[0].ask(probes.BOOT_ID)
    assert error.value.question == "cat /proc/sys/kernel/random/boot_id" and error.value.not_understood


def test_a_node_that_was_never_reached_is_asked_nothing(make_run: MakeRun) -> None:
    run = make_run("broken", 1)
    node, meanwhile = run.cluster.nodes[0], Meanwhile(run)
    node.unreached = "no route to host"
    node.forget()
    with pytest.raises(UnknownFact, match=r"it was not reached \(no route to host\)"):
        _ = node.facts.boot_id
    assert meanwhile.requests == []


def test_an_operator_is_told_what_is_waited_for(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("broken", 1)
    node = run.cluster.nodes[0]
    told: list[str] = []
    answer = Channel.execute

    def noted(channel: Channel, command: str) -> tuple[str, str, int]:
        told.extend(wait.what for wait in run.cluster.waits.now)
        return answer(channel, command)

    monkeypatch.setattr(Channel, "execute", noted)
    node.ask(probes.HOSTNAME)
    node.read(Group.GUESTS)
    assert told == ["an answer to hostname", "answers to 2 probes"]
