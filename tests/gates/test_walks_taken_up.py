"""What became of nodes, guests and records between a run that was cut short and the one that takes it up: the words of
each refusal lead to the end."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from gate_opening import Opening, opening, type_on_nodes
from gate_states import ALL, STATES, TWO, State
from pve_runbook.plugin.execution import EXECUTION
from pve_runbook.procedure import stages
from test_walks import REASON, carry_out, words_of
from walks import Walk

pytestmark = pytest.mark.sweep

THREE = {name: name for name in ALL}
OTHER_NAMES = {**TWO, "third": "pve3"}


@dataclass
class Taken:
    """A run, and those that take it up."""

    runs: list[Opening]
    directory: Path

    def cut_short(self, state: State, at: str) -> Opening:
        """A run that goes as far as this gate."""
        run = opening(replace(state, options=(*state.options, REASON)), "runbook", self.directory / "lab")
        self.runs.append(run)
        for gate, _, about in run.carry_out("runbook"):
            assert words_of(run, gate, about) is None
            if gate.function.__name__ == at:
                return run
        raise AssertionError(f"there is no gate {at}")

    def refused(self, state: State, id_: str, at: str) -> str:
        """What the run that takes it up is refused with."""
        place = self.directory / str(len(self.runs))
        self.runs.append(self.runs[-1].again("runbook", place, replace(state, options=(*state.options, REASON))))
        for gate, _, about in self.runs[-1].carry_out("runbook"):
            said = words_of(self.runs[-1], gate, about)
            if said is not None:
                assert f"[{id_}]" in said and at in said, said
                return said
        raise AssertionError("it is not refused")

    def ends(self, state: State, *options: str) -> None:
        """The run that takes it up comes to its end."""
        carry_out(self.runs, Walk("", ""), self.directory / "end", replace(state, options=(*state.options, *options)))


@pytest.fixture
def taken(runs: list[Opening], tmp_path: Path) -> Taken:
    """Runs over one lab."""
    return Taken(runs, tmp_path)


def option(said: str, pattern: str) -> str:
    """The option as it stands in the refusal."""
    found = re.search(pattern, said)
    assert found is not None, said
    return found[0]


def test_a_guest_that_was_destroyed_meanwhile_is_accepted_as_gone(taken: Taken) -> None:
    run = taken.cut_short(STATES["quorate"], "test_backups_are_checked")
    type_on_nodes(run.site, {"pve1": "rm /etc/pve/nodes/pve1/lxc/111.conf"})
    said = taken.refused(STATES["quorate"], "PVE-R068", "to go on without it")
    taken.ends(STATES["quorate"], option(said, r"--accept-changed=\d+"))


def test_a_node_that_was_powered_off_meanwhile_is_left_out_with_its_guests(taken: Taken) -> None:
    run = taken.cut_short(STATES["broken"], "test_node_is_standalone")
    run.cluster.nodes["pve3"].power_off()
    run.clock.advance(60.0)
    two = replace(STATES["broken"], hosts=TWO)
    said = taken.refused(two, "PVE-R049", "or, if it is powered off, say so")
    off = replace(two, options=(option(said, r"--absent=pve3"),))
    said = taken.refused(off, "PVE-R068", "to go on without it")
    assert "rebooted" not in said
    taken.ends(off, option(said, r"--accept-changed=[\d,]+"))


def test_a_node_that_was_off_at_the_start_is_left_out_to_the_end(taken: Taken) -> None:
    two = replace(STATES["member-unreachable"], hosts=TWO)
    run = taken.cut_short(replace(two, options=("--absent=pve3",)), "test_node_leaves")
    run.cluster.nodes["pve3"].power_on()
    run.clock.advance(300.0)
    said = taken.refused(replace(two, hosts=THREE), "PVE-R171", "Run the same command line as before")
    assert "--hosts=pve1,pve2 --absent=pve3, which leaves by itself afterwards" in said
    taken.ends(two, option(said, r"--absent=pve3"))


def test_a_node_that_is_seen_again_is_silenced_or_left_out_no_more(taken: Taken) -> None:
    two = replace(STATES["last-off"], hosts=TWO, options=("--absent=pve3",))
    run = taken.cut_short(two, "test_backups_are_checked")
    run.cluster.nodes["pve3"].power_on()
    run.clock.advance(300.0)
    taken.refused(two, "PVE-R050", "`systemctl stop corosync` on it is enough")
    type_on_nodes(run.site, {"pve3": "systemctl stop corosync"})
    run.clock.advance(60.0)
    taken.ends(two)


def test_a_node_under_another_name_is_no_other_node(taken: Taken) -> None:
    taken.cut_short(STATES["broken"], "test_scheduler_is_off")
    other = replace(STATES["broken"], hosts=OTHER_NAMES)
    said = taken.refused(other, "PVE-R171", "Run the same command line as before: --hosts=pve1,pve2,pve3")
    assert "--absent" not in said
    taken.ends(replace(other, hosts=THREE))


def test_a_run_without_backups_is_given_up_by_its_name(taken: Taken) -> None:
    """A journal of a run that changed a node before its backups: as no run leaves it."""
    run = opening(STATES["broken"], "runbook", taken.directory / "lab")
    taken.runs.append(run)
    run.is_carried_out = True
    run.set_up("locked")
    run.config.stash[EXECUTION].perform(stages.SCHEDULER_OFF)
    said = taken.refused(STATES["broken"], "PVE-R060", "to give that run up for good")
    taken.ends(STATES["broken"], option(said, r"--break-lock=[\w-]+"))


@pytest.mark.parametrize("line", [2, -2])
def test_a_run_whose_journal_was_changed_is_given_up_by_its_name(taken: Taken, line: int) -> None:
    run = taken.cut_short(STATES["broken"], "test_scheduler_is_off")
    journal = run.opened.folder / "journal.jsonl"
    run.end()
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[line] = lines[line].replace('"', "'", 1)
    journal.write_text("".join(lines), encoding="utf-8")
    said = taken.refused(STATES["broken"], "PVE-R070", "to give that run up for good")
    taken.ends(STATES["broken"], option(said, r"--break-lock=[\w-]+"))
