"""--rollback: the nodes that left go back into their cluster, from their own databases of before the first change."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from plan_compared import does_not_fit, planned

REARM = "systemctl enable --now pve-ha-lrm pve-ha-crm"


def members(lab: Any) -> list[tuple[str, bool, int]]:
    """(mode, corosync's files there, database version) of every node."""
    state = lab.control.state()
    return [(n.mode, {"authkey", "corosync.conf"} <= set(n.corosync_files), n.version) for n in state.values()]


@pytest.mark.parametrize("scenario", ["quorate", pytest.param("broken", marks=pytest.mark.sweep)])
def test_a_dismantled_cluster_is_had_back(
    start_lab: Callable[..., Any], run: Callable[..., Any], scenario: str
) -> None:
    lab = start_lab(scenario, nodes=2)
    before = members(lab)
    done = run("runbook/", *lab.options, "--approve=all")
    assert done.status == 0, done.text
    sent = len(lab.mutating())
    plan = run("runbook/", *lab.options, "--plan", f"--rollback={done.record}")
    assert plan.status == 0 and len(lab.mutating()) == sent, plan.text
    bound = re.findall(r"--approve=all@[0-9a-f]{12}", plan.text)[-1]
    back = run("runbook/", *lab.options, bound, f"--rollback={done.record}")
    assert back.status == 0, back.text
    wrong = does_not_fit(planned(back), back, whole=True)
    assert wrong == [], "the way back is planned by what sends it:\n" + "\n".join(wrong)
    text = (back.record / "plan.md").read_text()
    assert "ROLL BACK" in text and "FREEZE" not in text and "THAW" not in text
    assert members(lab) == before
    assert lab.changed_guests() == {}
    assert REARM in back.text.split("next ")[1].split(" steps ")[0]
    for node in lab.control.state().values():
        assert node.units["corosync.service"] == ("active", "enabled")
        assert node.units["pvescheduler.service"][0] == "inactive"
        assert node.units["pve-ha-lrm.service"] == ("inactive", "disabled")
    again = run("runbook/", *lab.options, "--approve=all", f"--rollback={done.record}")
    assert again.status == 0, again.text
    assert members(lab) == before


@pytest.mark.sweep
def test_past_the_point_of_no_return_only_by_the_nodes_name(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab("quorate", nodes=2)
    done = run("runbook/", *lab.options, "--approve=all")
    assert done.status == 0, done.text
    lab.control.run("pve2", "echo 'x' > /etc/pve/user.cfg && echo 'y' > /etc/pve/priv/tfa.cfg")
    before = len(lab.mutating())
    refused = run("runbook/", *lab.options, "--approve=all", f"--rollback={done.record}")
    assert refused.status == 1
    [(title, message)] = refused.failed()
    assert title.startswith("Since its backup nobody but the run changed the node's configuration")
    assert message.startswith("pve2: its configuration was changed since its backup: priv/tfa.cfg (")
    assert "user.cfg (" in message and "--discard-changes=pve2" in message
    assert lab.mutating()[before:] == []
    back = run("runbook/", *lab.options, "--approve=all", f"--rollback={done.record}", "--discard-changes=pve2")
    assert back.status == 0, back.text
    assert lab.changed_guests() == {}
    kept = back.record / "backups" / "pve2" / "config.db"
    assert kept.stat().st_size, "what was given up is not in the record"


@pytest.mark.sweep
def test_no_guest_is_given_to_a_newer_database_that_does_not_know_it(
    start_lab: Callable[..., Any], run: Callable[..., Any]
) -> None:
    lab = start_lab("diverged", nodes=2)
    done = run("runbook/", *lab.options, "--approve=all", "--authority=pve2")
    assert done.status == 0, done.text
    before = len(lab.mutating())
    refused = run("runbook/", *lab.options, "--approve=all", f"--rollback={done.record}")
    assert refused.status == 1
    [(title, message)] = refused.failed()
    assert title == "Every node's own guests are in the newest database as the node itself has them."
    assert message.startswith("cluster: pve2's database is the newest, without the config of 101 of pve1")
    assert lab.mutating()[before:] == []


@pytest.mark.sweep
def test_without_the_operators_word_nothing_goes_back(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab("broken", nodes=2)
    done = run("runbook/", *lab.options, "--approve=all")
    before = len(lab.mutating())
    refused = run("runbook/", *lab.options, f"--rollback={done.record}")
    assert refused.status == 1
    assert "ROLL BACK: pve1, pve2 go back into the cluster labcluster" in refused.text
    assert "Give --approve=8" in refused.text
    assert lab.mutating()[before:] == []


@pytest.mark.sweep
def test_a_changed_backup_is_no_way_back(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab("broken", nodes=2)
    done = run("runbook/", *lab.options, "--approve=all")
    archive = done.record / "backups" / "pve1" / "system.tar.gz"
    data = bytearray(archive.read_bytes())
    data[40] ^= 1
    archive.write_bytes(data)
    before = len(lab.mutating())
    refused = run("runbook/", *lab.options, "--approve=all", f"--rollback={done.record}")
    assert refused.status == 1
    assert "pve1: the backup" in refused.failed()[0][1] and "is changed" in refused.failed()[0][1]
    assert lab.mutating()[before:] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runbook/", "--hosts=pve1", "--rollback=nowhere"], "nowhere: there is no journal.jsonl in it"),
        (["checks/", "--hosts=pve1", "--rollback=x"], "it stands in front of runbook/ only"),
        (
            ["runbook/", "--hosts=pve1", "--discard-changes=pve1"],
            "--discard-changes=pve1: with --rollback, nodes of --hosts",
        ),
        (["runbook/test_phase8_rollback.py", "--hosts=pve1"], "phase 8 runs alone and with --rollback=DIR"),
    ],
)
def test_bad_input_is_one_line(run: Callable[..., Any], arguments: list[str], words: str) -> None:
    refused = run(*arguments)
    assert refused.status == 4
    assert words in refused.text


@pytest.mark.sweep
def test_a_node_of_another_cluster_is_left_alone(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    """The rebuild has begun on one node: its peers are not put into a cluster that it has left for good."""
    lab = start_lab("quorate", nodes=2)
    done = run("runbook/", *lab.options, "--approve=all")
    assert done.status == 0, done.text
    for command in (
        "tar -C / -xzf /var/lib/pve-runbook/*/system.tar.gz etc/corosync",
        "sed -i s/labcluster/rebuilt/ /etc/corosync/corosync.conf",
        "cat /etc/corosync/corosync.conf > /etc/pve/corosync.conf",
        "systemctl restart pve-cluster",
        "systemctl enable --now corosync",
    ):
        said = lab.control.run("pve1", command)
        assert said.exit_status == 0, said
    before = len(lab.mutating())
    refused = run("runbook/", *lab.options, "--approve=all", f"--rollback={done.record}")
    assert refused.status == 1
    [(title, message)] = refused.failed()
    assert title == "The node is no member of another cluster by now."
    assert message.startswith("pve1: corosync.conf in its database is not the one of the record")
    assert lab.mutating()[before:] == []


@pytest.mark.sweep
def test_a_guest_that_runs_since_is_never_given_up(start_lab: Callable[..., Any], run: Callable[..., Any]) -> None:
    lab = start_lab("quorate", nodes=2)
    done = run("runbook/", *lab.options, "--approve=all")
    assert done.status == 0, done.text
    lab.control.run("pve2", "qm create 777 --memory 16 --name new --kvm 0 && qm start 777")
    before = len(lab.mutating())
    refused = run("runbook/", *lab.options, "--approve=all", f"--rollback={done.record}", "--discard-changes=pve2")
    assert refused.status == 1
    assert refused.failed()[0][1].startswith("pve2: its backup does not know: guest 777 runs")
    assert lab.mutating()[before:] == []
