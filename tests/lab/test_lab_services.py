"""systemd and pmxcfs in the lab: Wants=, conditions, masks, the lock, local mode, rollback."""

from __future__ import annotations

import json

import pytest
from lab_bench import MakeBench


def test_a_restart_of_pvedaemon_pulls_pve_cluster_and_corosync_back(make_bench: MakeBench) -> None:
    """Wants= starts them although both were stopped; a mask for the run time keeps corosync down."""
    bench = make_bench("broken")
    bench.run("pve1", "systemctl stop pve-cluster corosync")
    assert bench.run("pve1", "systemctl is-active pve-cluster corosync").stdout == "inactive\ninactive\n"
    assert bench.run("pve1", "systemctl restart pvedaemon").exit_status == 0
    assert bench.run("pve1", "systemctl is-active pve-cluster corosync").stdout == "active\nactive\n"
    bench.run("pve1", "systemctl stop pve-cluster corosync; systemctl mask --runtime corosync")
    bench.run("pve1", "systemctl restart pvedaemon")
    assert bench.run("pve1", "systemctl is-active pve-cluster corosync").stdout == "active\ninactive\n"
    assert bench.run("pve1", "systemctl start corosync").stderr == (
        "Failed to start corosync.service: Unit corosync.service is masked.\n"
    )


def test_a_disabled_corosync_is_pulled_in_all_the_same(make_bench: MakeBench) -> None:
    """And its configuration is written back from the database first; without its key it dies with status 8."""
    bench = make_bench("broken")
    bench.run("pve1", "systemctl stop corosync; systemctl disable corosync; rm -rf /etc/corosync/*")
    assert bench.run("pve1", "systemctl restart pve-cluster").exit_status == 0
    assert bench.run("pve1", "ls -A /etc/corosync").stdout == "corosync.conf\n"
    shown = bench.run("pve1", "systemctl show -p ActiveState,ExecMainStatus,Result,UnitFileState corosync").stdout
    assert shown == "Result=exit-code\nExecMainStatus=8\nActiveState=failed\nUnitFileState=disabled\n"


def test_corosync_without_its_configuration_is_skipped(make_bench: MakeBench) -> None:
    """On a standalone node: exit status 0, inactive, the condition says no."""
    bench = make_bench("standalone")
    assert bench.run("pve1", "systemctl start corosync").exit_status == 0
    shown = bench.run("pve1", "systemctl show -p ActiveState,ConditionResult corosync").stdout
    assert shown == "ActiveState=inactive\nConditionResult=no\n"


def test_a_second_pmxcfs_waits_for_the_lock_and_gives_up(make_bench: MakeBench) -> None:
    """Ten seconds, then the text everybody knows, exit status 255."""
    bench = make_bench("broken")
    before = bench.cluster.clock.now
    said = bench.run("pve1", "pmxcfs -l")
    assert said.exit_status == 255
    assert "unable to acquire pmxcfs lock: Resource temporarily unavailable" in said.stderr
    assert 10 <= bench.cluster.clock.now - before < 11


def test_pve_cluster_started_at_once_waits_for_the_dying_pmxcfs(make_bench: MakeBench) -> None:
    """Process and mount outlive the TERM by a second or two; the start tries again and works."""
    bench = make_bench("broken")
    bench.run("pve1", "systemctl stop pve-cluster corosync; pmxcfs -l; rm /etc/pve/corosync.conf")
    bench.run("pve1", "killall pmxcfs")
    assert bench.run("pve1", "pgrep -ax pmxcfs").stdout.endswith(" pmxcfs -l\n")
    assert bench.run("pve1", "systemctl start pve-cluster").exit_status == 0
    assert bench.run("pve1", "pgrep -ax pmxcfs").stdout.endswith(" /usr/bin/pmxcfs\n")


def test_unmounted_everything_of_pve_refuses(make_bench: MakeBench) -> None:
    """ipcc_send_rec, exit status 111; the directory below is an ordinary one."""
    bench = make_bench("broken")
    bench.run("pve1", "systemctl stop pve-cluster")
    for command in ("qm list", "pct list", "pvesm status", "pvecm status", "ha-manager status", "pvesh get /nodes"):
        said = bench.run("pve1", command)
        assert (said.exit_status, said.stdout) == (111, "")
        assert said.stderr.count("ipcc_send_rec") == 3
    assert bench.run("pve1", "echo hidden > /etc/pve/below").exit_status == 0
    bench.run("pve1", "systemctl start pve-cluster")
    assert bench.run("pve1", "cat /etc/pve/below").stderr == "cat: /etc/pve/below: No such file or directory\n"
    bench.run("pve1", "systemctl stop pve-cluster")
    assert bench.run("pve1", "cat /etc/pve/below").stdout == "hidden\n"


def test_a_database_put_back_is_what_pmxcfs_loads(make_bench: MakeBench) -> None:
    """The rollback: copy aside, edit in local mode, put back: version and content as before, member again."""
    bench = make_bench("broken")
    version = "sqlite3 -readonly /var/lib/pve-cluster/config.db 'SELECT version FROM tree WHERE inode=0'"
    bench.run(
        "pve1", "systemctl stop pve-cluster corosync; mkdir /root/b; cp -p /var/lib/pve-cluster/config.db /root/b/"
    )
    assert bench.run("pve1", "ls -A /var/lib/pve-cluster").stdout == ".pmxcfs.lockfile\nconfig.db\n"
    bench.run("pve1", "pmxcfs -l; rm /etc/pve/corosync.conf; rm /etc/pve/nodes/pve2/qemu-server/201.conf")
    edited = int(bench.run("pve1", version).stdout)
    bench.run("pve1", "pkill -TERM -x pmxcfs; while pgrep -x pmxcfs >/dev/null; do sleep .2; done")
    bench.run("pve1", "cp -p /root/b/config.db /var/lib/pve-cluster/config.db; systemctl start pve-cluster")
    assert int(bench.run("pve1", version).stdout) == edited - 2
    assert bench.run("pve1", "ls /etc/pve/corosync.conf /etc/pve/nodes/pve2/qemu-server/201.conf").exit_status == 0
    assert bench.run("pve1", "pvecm status").exit_status == 2
    bench.cluster.heal()
    assert bench.run("pve1", "pvecm status").exit_status == 0


def test_an_edited_database_that_rejoins_overwrites_the_others(make_bench: MakeBench) -> None:
    """Why the rollback has to put the copy back: the highest version wins wholesale."""
    bench = make_bench("broken")
    bench.run("pve1", "systemctl stop pve-cluster; pmxcfs -l; rm /etc/pve/nodes/pve2/qemu-server/201.conf")
    bench.run("pve1", "pkill -TERM -x pmxcfs; while pgrep -x pmxcfs >/dev/null; do sleep .2; done")
    bench.run("pve1", "systemctl start pve-cluster")
    bench.cluster.heal()
    assert bench.run("pve2", "ls /etc/pve/nodes/pve2/qemu-server/201.conf").exit_status == 2


def test_a_read_only_look_at_a_closed_database_leaves_files_beside_it(make_bench: MakeBench) -> None:
    """Unless it is opened as immutable."""
    bench = make_bench("broken")
    bench.run("pve1", "systemctl stop pve-cluster corosync")
    asked = "'SELECT count(*) FROM tree'"
    said = bench.run("pve1", f"sqlite3 -readonly 'file:/var/lib/pve-cluster/config.db?immutable=1' {asked}")
    assert said.exit_status == 0
    assert bench.run("pve1", "ls -A /var/lib/pve-cluster").stdout == ".pmxcfs.lockfile\nconfig.db\n"
    assert bench.run("pve1", f"sqlite3 -readonly /var/lib/pve-cluster/config.db {asked}").stdout == said.stdout
    left = [".pmxcfs.lockfile", "config.db", "config.db-shm", "config.db-wal"]
    assert bench.run("pve1", "ls -A /var/lib/pve-cluster").stdout.split() == left


def test_du_adds_up_what_lies_below(make_bench: MakeBench) -> None:
    """Bytes of files; a directory of the disk has 4096, one of pmxcfs none; what is missing is said."""
    bench = make_bench("broken")
    bench.run("pve1", "mkdir -p /root/d/e; printf 12345 | tee /root/d/e/f; ln -s e /root/d/l")
    asked = bench.run("pve1", "du -sbx /root/d/e/f /root/d/e /etc/pve/firewall /root/d/none")
    listed = bench.run("pve1", "find /etc/pve/firewall -type f -printf '%s\\n'").stdout.split()
    below = sum(int(size) for size in listed)
    assert asked.stdout == f"5\t/root/d/e/f\n4101\t/root/d/e\n{below}\t/etc/pve/firewall\n"
    assert asked.stderr == "du: cannot access '/root/d/none': No such file or directory\n"
    assert asked.exit_status == 1


def test_a_backup_is_a_whole_database(make_bench: MakeBench) -> None:
    """Taken while pmxcfs runs, checked, pulled as base64."""
    bench = make_bench("broken")
    bench.run("pve1", "install -d -m 0700 /var/lib/pve-runbook/r")
    bench.run("pve1", "sqlite3 /var/lib/pve-cluster/config.db \".backup '/var/lib/pve-runbook/r/config.db'\"")
    assert bench.run("pve1", "sqlite3 /var/lib/pve-runbook/r/config.db 'PRAGMA integrity_check'").stdout == "ok\n"
    count = "'SELECT count(*),max(version) FROM tree'"
    live = bench.run("pve1", f"sqlite3 -readonly /var/lib/pve-cluster/config.db {count}").stdout
    assert bench.run("pve1", f"sqlite3 /var/lib/pve-runbook/r/config.db {count}").stdout == live
    assert bench.run("pve1", "base64 -w0 /var/lib/pve-runbook/r/config.db").stdout.startswith("U1FMaXRlIGZvcm1hdCAz")


def test_a_unit_that_runs_detached_ends_by_itself(make_bench: MakeBench) -> None:
    """--no-block returns at once; its sleeps and ours share one clock; afterwards nothing is left of the unit."""
    bench = make_bench("broken")
    script = b"#!/bin/bash\nfor i in 1 2 3; do sleep 1; echo $i >>/root/out; done\nexit 4\n"
    bench.run("pve1", "install -m 0700 /dev/stdin /root/s.sh", script)
    said = bench.run("pve1", "systemd-run --no-block --unit=u --collect -p Type=oneshot /bin/bash /root/s.sh")
    assert (said.exit_status, said.stderr) == (0, "Running as unit: u.service\n")
    bench.run("pve1", "sleep 5")
    assert bench.run("pve1", "cat /root/out").stdout == "1\n2\n3\n"
    assert bench.run("pve1", "systemctl show -p LoadState,Result u").stdout == "Result=success\nLoadState=not-found\n"
    assert "status=4" in bench.run("pve1", "journalctl -u u -o cat").stdout


def test_the_log_says_what_changed_a_node(make_bench: MakeBench) -> None:
    """Reads and work in our own folders do not count; refused attempts do."""
    bench = make_bench("broken")
    for command in ("cat /etc/hosts", "pvecm status", "qm list", "touch /root/a", "install -d /var/lib/pve-runbook/r"):
        bench.run("pve1", command)
    assert bench.mutations() == []
    bench.run("pve1", "touch /etc/pve/x; systemctl stop pvescheduler; rm -f /etc/corosync/authkey; pvecm expected 1")
    assert bench.mutations() == [
        "touch /etc/pve/x",
        "systemctl stop pvescheduler",
        "rm -f /etc/corosync/authkey",
        "pvecm expected 1",
    ]
    line = json.loads(bench.machines["pve1"].log.read_text().splitlines()[0])
    assert line["argv"] == ["cat", "/etc/hosts"]
    assert (line["via"], line["channel"], line["exit_status"]) == ("ssh", 1, 0)


def test_an_unknown_command_is_answered_and_noted(make_bench: MakeBench, tmp_path: object) -> None:
    """127, and a line in unsimulated.log, by name and by path."""
    bench = make_bench("broken")
    said = bench.run("pve1", "frobnicate --all")
    assert (said.exit_status, said.stderr) == (127, "bash: line 1: frobnicate: command not found\n")
    assert bench.run("pve1", "/usr/sbin/frobnicate").exit_status == 127
    assert bench.unsimulated() == "pve1: frobnicate\npve1: /usr/sbin/frobnicate\n"
    bench.site.unsimulated.unlink()


def test_an_output_is_whole_however_long(make_bench: MakeBench) -> None:
    """A database of thousands of guests is pulled as one line of base64."""
    bench = make_bench("broken")
    bench.cluster.nodes["pve1"].files.put("/root/large", b"x" * 1_500_000)
    assert len(bench.run("pve1", "base64 -w0 /root/large").stdout) == 2_000_000


def test_a_link_is_made_once(make_bench: MakeBench) -> None:
    """The second of two runs that take a node's lock at the same moment is told so, as by symlink(2)."""
    bench = make_bench("broken")
    assert bench.run("pve1", "ln -s -T first /var/lib/lock").exit_status == 0
    second = bench.run("pve1", "ln -s -T second /var/lib/lock")
    assert second.exit_status == 1 and second.stderr.endswith("'/var/lib/lock': File exists\n")
    assert bench.run("pve1", "readlink /var/lib/lock").stdout == "first\n"


@pytest.mark.parametrize("scenario", ["pve7", "broken", "pve9"])
def test_a_start_of_pveproxy_puts_crons_link_back(make_bench: MakeBench, scenario: str) -> None:
    """On every release; not while /etc/pve is read-only."""
    bench = make_bench(scenario)
    link = "/etc/cron.d/vzdump"
    assert bench.run("pve1", f"readlink {link}").stdout == "/etc/pve/vzdump.cron\n"
    bench.run("pve1", f"mv -T {link} /root/parked; systemctl restart pveproxy")
    assert bench.run("pve1", f"readlink {link}").exit_status == 1
    bench.run("pve1", "pvecm expected 1; systemctl restart pvedaemon")
    assert bench.run("pve1", f"readlink {link}").exit_status == 1
    bench.run("pve1", "systemctl restart pveproxy")
    assert bench.run("pve1", f"readlink {link}").stdout == "/etc/pve/vzdump.cron\n"
