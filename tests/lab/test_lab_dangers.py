"""What can go wrong on real nodes goes wrong in the lab: HA, startall, the scheduler, storages, power."""

from __future__ import annotations

import pytest
from lab_bench import Bench, MakeBench


def _leave(bench: Bench, name: str, *, keep_ha: bool) -> None:
    """The vendor's way on one node, with or without parking HA's files."""
    remove = "" if keep_ha else "rm -f /etc/pve/ha/resources.cfg /etc/pve/ha/manager_status;"
    bench.run(
        name,
        f"systemctl stop pve-cluster corosync; pmxcfs -l; {remove} rm /etc/pve/corosync.conf;"
        "rm /etc/corosync/corosync.conf /etc/corosync/authkey; pkill -TERM -x pmxcfs;"
        "while pgrep -x pmxcfs >/dev/null; do sleep .2; done; systemctl start pve-cluster",
    )


def test_active_ha_without_quorum_resets_every_node_after_60_s(make_bench: MakeBench) -> None:
    """boot_ids change, guests are gone, their start waits for quorum."""
    bench = make_bench("ha-armed")
    before = {name: node.boot_id for name, node in bench.cluster.nodes.items()}
    bench.advance(39)
    assert {name: node.boot_id for name, node in bench.cluster.nodes.items()} == before
    assert bench.run("pve1", "ls -ld /run/watchdog-mux.active").exit_status == 0
    bench.advance(2)
    for name, node in bench.cluster.nodes.items():
        assert node.boot_id != before[name]
        assert not node.guests.running
        assert bench.run(name, "cat /proc/sys/kernel/random/boot_id").stdout == f"{node.boot_id}\n"
        assert bench.run(name, "systemctl is-active pve-guests").stdout == "inactive\n"  # queued behind pveproxy
    bench.advance(30)
    for name in bench.cluster.nodes:
        assert bench.run(name, "systemctl is-active pve-guests").stdout == "activating\n"


def test_quorum_that_returns_in_time_saves_the_nodes(make_bench: MakeBench) -> None:
    """The locks are renewed, the watchdogs fed."""
    bench = make_bench("ha-armed")
    before = [node.boot_id for node in bench.cluster.nodes.values()]
    bench.advance(30)
    bench.cluster.heal()
    bench.advance(120)
    assert [node.boot_id for node in bench.cluster.nodes.values()] == before


def test_separating_an_armed_node_does_not_save_it(make_bench: MakeBench) -> None:
    """As recorded: reset about 60 s after quorum was lost, whatever was done."""
    bench = make_bench("ha-armed")
    before = bench.node("pve1").boot_id
    _leave(bench, "pve1", keep_ha=False)
    bench.advance(60)
    assert bench.node("pve1").boot_id != before


def test_ha_stops_cleanly_with_quorum(make_bench: MakeBench) -> None:
    """LRM on all nodes, then CRM on all: no watchdog client left, then the loss of quorum harms nobody."""
    bench = make_bench("ha-quorate")
    before = [node.boot_id for node in bench.cluster.nodes.values()]
    for unit in ("pve-ha-lrm", "pve-ha-crm"):
        for name in bench.cluster.nodes:
            assert bench.run(name, f"systemctl disable --now {unit}").exit_status == 0
    for name in bench.cluster.nodes:
        assert bench.run(name, "ls -ld /run/watchdog-mux.active").exit_status == 2
    bench.cluster.isolate()
    bench.advance(200)
    assert [node.boot_id for node in bench.cluster.nodes.values()] == before


@pytest.mark.parametrize("keep_ha", [True, False])
def test_a_separated_node_that_kept_has_files_takes_over(keep_ha: bool, make_bench: MakeBench) -> None:
    """After about 240 s the others' guests are its own, and started where it can reach their disks; else never."""
    bench = make_bench("ha-quorate")
    for unit in ("pve-ha-lrm", "pve-ha-crm"):
        for name in bench.cluster.nodes:
            bench.run(name, f"systemctl stop {unit}")
    _leave(bench, "pve1", keep_ha=keep_ha)
    bench.run("pve1", "systemctl start pve-ha-lrm")
    bench.advance(300)
    owners = {c.vmid: c.owner for c in bench.node("pve1").guests.configs()}
    assert owners[201] == ("pve1" if keep_ha else "pve2")
    assert owners[301] == ("pve1" if keep_ha else "pve3")
    assert {c.vmid: c.owner for c in bench.node("pve2").guests.configs()}[201] == "pve2"


def test_a_granted_quorum_starts_what_waited(make_bench: MakeBench) -> None:
    """startall-waiting: the onboot guests start at that moment, then the scheduler."""
    bench = make_bench("startall-waiting")
    assert not bench.node("pve2").guests.running
    jobs = bench.run("pve2", "systemctl list-jobs --no-pager --no-legend").stdout
    assert [line.split()[1:] for line in jobs.splitlines()] == [
        ["pve-guests.service", "start", "running"],
        ["pvescheduler.service", "start", "waiting"],
    ]
    assert ":startall::root@pam: 0\n" in bench.run("pve2", "cat /var/log/pve/tasks/active").stdout
    bench.run("pve2", "pvecm expected 1; sleep 1")
    assert sorted(bench.node("pve2").guests.running) == [201, 202, 210]
    assert bench.run("pve2", "systemctl is-active pve-guests pvescheduler").stdout == "active\nactive\n"


def test_a_stop_cancels_the_schedulers_waiting_start(make_bench: MakeBench) -> None:
    """The job is cleared; the guests' start still waits."""
    bench = make_bench("startall-waiting")
    bench.run("pve2", "systemctl stop pvescheduler")
    jobs = bench.run("pve2", "systemctl list-jobs --no-pager --no-legend").stdout
    assert [line.split()[1] for line in jobs.splitlines()] == ["pve-guests.service"]
    bench.run("pve2", "pvecm expected 1; sleep 1")
    assert bench.run("pve2", "systemctl is-active pvescheduler").stdout == "inactive\n"


@pytest.mark.parametrize("stopped", [True, False])
def test_overdue_jobs_start_within_a_minute_of_quorum(stopped: bool, make_bench: MakeBench) -> None:
    """Unless the scheduler is stopped."""
    bench = make_bench("broken")
    if stopped:
        bench.run("pve1", "systemctl stop pvescheduler")
    bench.advance(600)
    assert bench.run("pve1", "pgrep -af '^task UPID:'").stdout == ""
    bench.run("pve1", "pvecm expected 1")
    bench.advance(60)
    tasks = bench.run("pve1", "pgrep -af '^task UPID:'").stdout
    assert (":vzdump:" in tasks) is not stopped
    assert ("lock: backup\n" in bench.run("pve1", "cat /etc/pve/qemu-server/101.conf").stdout) is not stopped


def test_a_storage_that_hangs_costs_its_probe_its_timeout_alone(make_bench: MakeBench) -> None:
    """The others of the batch answer; model time passes, real time does not."""
    bench = make_bench("broken")
    bench.node("pve2").files.hung.add("/mnt/pve/nas")
    before = bench.cluster.clock.now
    probes = ["hostname", "find /mnt/pve/nas/images -maxdepth 1", "df -Pk /mnt/pve/nas", "qm list"]
    name, hung, also, guests = bench.batch("pve2", probes)
    assert (name.stdout, name.exit_status) == ("pve2\n", 0)
    assert (hung.exit_status, also.exit_status, hung.stdout) == (124, 124, "")
    assert "mail201" in guests.stdout
    assert bench.cluster.clock.now - before >= 5


def test_a_read_only_mount_refuses_writes(make_bench: MakeBench) -> None:
    """storage-readonly: EROFS on the mount, options say ro."""
    bench = make_bench("storage-readonly")
    said = bench.run("pve2", "touch /mnt/pve/nas/images/x")
    assert said.stderr == "touch: cannot touch '/mnt/pve/nas/images/x': Read-only file system\n"
    assert bench.run("pve2", "findmnt -n -T /tank/guests -o OPTIONS").stdout.startswith("ro,")
    assert bench.run("pve2", "zfs get -H -o value readonly tank/guests").stdout == "on\n"
    assert bench.run("pve1", "touch /mnt/pve/nas/images/x").exit_status == 0


def test_a_missing_volume_and_an_inactive_storage_show(make_bench: MakeBench) -> None:
    """storage-missing: the logical volume is gone on pve1, the nas inactive on pve2; pvesm still exits 0."""
    bench = make_bench("storage-missing")
    volumes = bench.run("pve1", "lvs --reportformat json -o vg_name,lv_name").stdout
    assert '"vm-103-disk-0"' in volumes
    assert '"vm-103-disk-1"' not in volumes
    status = bench.run("pve2", "pvesm status")
    assert status.exit_status == 0
    assert status.stderr == "storage 'nas' is not online\n"
    assert [line.split()[2] for line in status.stdout.splitlines() if line.startswith("nas ")] == ["inactive"]


def test_a_backup_and_a_migration_in_flight_show(make_bench: MakeBench) -> None:
    """Task, lock, and for the migration the process that waits on the target."""
    backup = make_bench("backup-running")
    assert ":vzdump::root@pam: 0\n" in backup.run("pve1", "cat /var/log/pve/tasks/active").stdout
    assert "lock: backup\n" in backup.run("pve1", "qm config 101").stdout
    moving = make_bench("migrating")
    assert ":qmigrate:101:root@pam: 0\n" in moving.run("pve1", "cat /var/log/pve/tasks/active").stdout
    assert "lock: migrate\n" in moving.run("pve2", "cat /etc/pve/nodes/pve1/qemu-server/101.conf").stdout
    assert "-incoming" in moving.run("pve2", "pgrep -af '^/usr/bin/kvm -id 101 '").stdout


def test_a_power_cycle_drops_run_time_masks_and_keeps_disablement(make_bench: MakeBench) -> None:
    """And guests start by themselves only where there is quorum."""
    bench = make_bench("quorate")
    bench.run("pve1", "systemctl mask --runtime pvescheduler; systemctl disable pve-ha-lrm; touch /run/x")
    bench.node("pve1").power_cycle()
    states = bench.run("pve1", "systemctl is-enabled pvescheduler pve-ha-lrm").stdout
    assert states == "enabled\ndisabled\n"
    assert bench.run("pve1", "systemctl is-active pve-ha-lrm pve-guests").stdout == "inactive\nactive\n"
    assert sorted(bench.node("pve1").guests.running) == [101, 102, 110]
    assert bench.run("pve1", "ls /run/x").exit_status == 2


def test_releases_differ_as_they_should(make_bench: MakeBench) -> None:
    """PVE 7.0 has no pvescheduler; PVE 9 has the fencing line and the KiB header."""
    old = make_bench("pve7")
    assert old.run("pve1", "pveversion").stdout.startswith("pve-manager/7.0-11/")
    shown = old.run("pve1", "systemctl show -p LoadState,ActiveState pvescheduler.service pvesr.timer").stdout
    assert shown == "LoadState=not-found\nActiveState=inactive\n\nLoadState=loaded\nActiveState=active\n"
    assert "resolved node name" not in old.run("pve1", "systemctl stop pve-cluster; pmxcfs -l").stderr
    new = make_bench("pve9")
    assert "Total (KiB)" in new.run("pve1", "pvesm status").stdout
    new.run("pve1", "pvecm expected 1")
    assert new.run("pve1", "ha-manager status").stdout == "quorum OK\nfencing standby (CRM watchdog standby)\n"
    assert "node-affinity: keep-web" in new.run("pve1", "cat /etc/pve/ha/rules.cfg").stdout
