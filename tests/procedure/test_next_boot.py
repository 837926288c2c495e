"""What changes a node's network at its next boot: watched, backed up, and told where it lies ready."""

from __future__ import annotations

import pytest
from bench_run import MakeRun, phase
from pve_runbook.actions import registry as actions
from pve_runbook.journal.events import Note, of_kind
from pve_runbook.parsers.network_files import parse_drop_ins
from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.procedure.stages import LOCKED, SCHEDULER_OFF

CONDITIONS = phase("phase0_conditions")
LINK = "/usr/local/lib/systemd/network/50-pve-nic0.link"
SUM = "0" * 64


def test_what_lies_ready_is_told_and_left(make_run: MakeRun) -> None:
    run = make_run("quorate")
    assert [n.facts.comes_with_the_next_boot for n in run.cluster.nodes] == [(), (), ()]
    new = "/etc/pve/nodes/pve2/host.fw.new"
    said = run.bench.run("pve2", f"echo x > /etc/network/interfaces.new; echo '[OPTIONS]' > {new}")
    assert said.exit_status == 0, said
    run.cluster.forget()
    CONDITIONS.test_what_comes_with_the_next_boot_is_told(run.cluster, run.notes)
    notes = [(n.topic, n.node, n.text) for n in of_kind(run.journal.events, Note) if n.node == "pve2"]
    assert [text.partition(" lies ready")[0] for topic, _, text in notes if topic == "pending"] == [
        "/etc/network/interfaces.new",
        new,
    ]
    left = [text for topic, _, text in notes if topic != "pending"]
    assert len(left) == 2 and all("the next boot puts it into force" in text for text in left)


def test_every_such_file_is_watched_and_backed_up(make_run: MakeRun) -> None:
    run = make_run("quorate", 2)
    line = f"mkdir -p {LINK.rpartition('/')[0]}; echo x > {LINK}; echo y > /etc/network/interfaces.d/vlans"
    assert run.bench.run("pve1", f"{line}; echo z > /etc/network/interfaces.new").exit_status == 0
    run.cluster.forget()
    assert {LINK, "/etc/network/interfaces.d/vlans", "/etc/network/interfaces.new", "/etc/hosts"} <= set(
        run.cluster.node("pve1").facts.network_files
    )
    made = " ".join(actions.BACKUP_SYSTEM.bind(run="x").argv).replace("/var/lib/pve-runbook/x/system", "/root/system")
    for node in ("pve1", "pve2"):  # the second one has no such folder
        assert run.bench.run(node, made).exit_status == 0
    names = run.bench.run("pve1", "tar -tzf /root/system.tar.gz").stdout.splitlines()
    assert {LINK[1:], "etc/network/interfaces.d/vlans", "etc/network/interfaces.new"} <= set(names)


def test_a_place_that_does_not_exist_has_no_entry() -> None:
    missing = "find: '/usr/local/lib/systemd/network': No such file or directory\n"
    assert parse_drop_ins(Output(f"{SUM}  /etc/network/interfaces.d/sdn\n", missing, 1)) == {
        "/etc/network/interfaces.d/sdn": SUM
    }
    assert parse_drop_ins(Output("", missing, 1)) == {} == parse_drop_ins(Output("", "", 0))


@pytest.mark.parametrize(
    "output",
    [
        Output("", "find: '/etc/network/interfaces.d': Permission denied\n", 1),
        Output("", "", 1),
        Output(f"{SUM} /etc/x\n", "", 0),
        Output("sha256sum: /etc/network/interfaces.d/x: Input/output error\n", "", 0),
    ],
)
def test_anything_else_is_unknown(output: Output) -> None:
    with pytest.raises(ParseError):
        parse_drop_ins(output)


@pytest.mark.parametrize("scenario", ["pve7", "broken", "pve9"])
def test_cron_s_link_is_on_every_release(make_run: MakeRun, scenario: str) -> None:
    """It leads into /etc/pve on 8 and 9 too (pve-cluster, Setup.pm), and is put aside wherever it is."""
    run = make_run(scenario, 2)
    assert run.bench.run("pve1", "readlink /etc/cron.d/vzdump").stdout == "/etc/pve/vzdump.cron\n"
    run.perform(LOCKED)
    run.perform(SCHEDULER_OFF)
    parked = f"/var/lib/pve-runbook/{run.cluster.work}/cron.d-vzdump"
    assert run.bench.run("pve1", f"readlink {parked}").stdout == "/etc/pve/vzdump.cron\n"
    assert not run.cluster.node("pve1").facts.scheduler_runs
