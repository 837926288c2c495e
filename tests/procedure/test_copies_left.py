"""Copies of the configuration that act on every separated node: each is named with what to type on which node."""

from __future__ import annotations

from bench_run import BenchRun, MakeRun
from pve_runbook.facts.copies import acme_accounts, acting
from pve_runbook.journal.events import Note
from pve_runbook.procedure import left_to_do
from pve_runbook.procedure.left_to_do import what_is_left

FILES = {
    "jobs.cfg": "vzdump: nightly\n\tschedule 2:00\n\tall 1\n\tstorage nas\n\n"
    "vzdump: of-pve1\n\tschedule 3:00\n\tall 1\n\tnode pve1\n\tstorage nas\n\n"
    "vzdump: off\n\tschedule 3:00\n\tall 1\n\tenabled 0\n\tstorage nas\n\n"
    "realm-sync: people\n\trealm ldap1\n\tschedule 1:00\n\n",
    "replication.cfg": "local: 102-0\n\ttarget pve2\n\n",
    "status.cfg": "influxdb: metrics\n\tserver 10.55.0.7\n\tport 8089\n\n"
    "graphite: old\n\tdisable 1\n\tserver 10.55.0.7\n\tport 2003\n\n",
    "notifications.cfg": "sendmail: mail-to-root\n\tmailto-user root@pam\n\nmatcher: default-matcher\n\tmode all\n\n"
    "gotify: phone\n\tserver https://10.55.0.7\n\n",
    "mapping/pci.cfg": "gpu\n\tmap id=10de:1b80,node=pve1,path=0000:01:00.0\n\tmap id=10de:1b80,node=pve2\n\n",
    "sdn/fabrics.cfg": "openfabric_fabric: fab\n\tip_prefix 10.9.0.0/24\n\nopenfabric_node: fab_pve3\n\n",
    "sdn/zones.cfg": "vxlan: lan\n\tpeers 10.55.0.11,10.55.0.12\n\n",
    "priv/acme/default": "{}",
    "priv/acme/plugins.cfg": "standalone: standalone\n\n",
}


def written(run: BenchRun) -> BenchRun:
    """The cluster's nodes have these files."""
    for path, text in FILES.items():
        run.bench.node("pve1").pmxcfs.write(path, text.encode())
    run.cluster.forget()
    return run


def said(run: BenchRun, name: str) -> str:
    """What is left of one node's copies."""
    others = [n.name for n in run.cluster.nodes if n.name != name]
    return "\n".join(acting(run.cluster.node(name).facts, others))


def test_what_is_there_is_named_with_what_to_type_where(make_run: MakeRun) -> None:
    run = written(make_run("quorate"))
    first, second = said(run, "pve1"), said(run, "pve2")
    assert "backup jobs run here by themselves now" in first and "backup jobs run here" in second
    assert "`pvesh set /cluster/backup/JOB --storage STORAGE`" in first
    assert "`pvesh delete /cluster/jobs/realm-sync/people`" in first and "realm sync people" in second
    assert "`pvesr delete 102-0 --force`" in first and "102-0" not in second, "only its owner replicates a guest"
    assert "`pvesh delete /cluster/metrics/server/metrics`" in second
    assert "notifications go out through mail-to-root, phone of notifications.cfg from here" in second
    assert "/etc/pve/mapping/pci.cfg still names pve2:" in first
    assert "/etc/pve/mapping/pci.cfg still names pve1:" in second
    assert "/etc/pve/sdn/fabrics.cfg still names pve3:" in second and "fabrics" not in said(run, "pve3")
    assert "/etc/pve/sdn/zones.cfg still names its peers by address:" in first
    for text in (first, second):
        assert "old" not in text and " off" not in text and "matcher" not in text


def test_what_is_not_there_is_not_named(make_run: MakeRun) -> None:
    run = make_run("quorate")
    for path in ("jobs.cfg", "replication.cfg"):
        run.bench.run("pve1", f"rm /etc/pve/{path}")
    run.cluster.forget()
    assert [said(run, name) for name in ("pve1", "pve2", "pve3")] == ["", "", ""]
    assert not [text for _, text in what_is_left(run.cluster.nodes, "work", (), ()) if "ACME" in text]


def test_accounts_of_acme_and_the_host_of_a_qdevice_are_named(make_run: MakeRun) -> None:
    run = written(make_run("quorate"))
    assert acme_accounts(FILES) == ("default",)
    note = f"{left_to_do.QDEVICE_AT}10.55.0.9; it votes no more"
    run.notes.note(left_to_do.QDEVICE, note, "pve1")
    run.notes.note(left_to_do.QDEVICE, note, "pve2")
    assert all(isinstance(e.event, Note) for e in run.journal.events[-2:])
    left = what_is_left(run.cluster.nodes, "work", (), run.journal.events)
    [account] = [text for node, text in left if node is None and "ACME" in text]
    assert "the ACME account default," in account
    [device] = [text for node, text in left if node is None and "qnetd" in text]
    assert device.startswith("the QDevice's host 10.55.0.9 still knows this cluster")
