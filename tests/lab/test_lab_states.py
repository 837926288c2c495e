"""Each starting state shows what it says, in the words that a real node has for it."""

from __future__ import annotations

import json

import pytest
from bounded import finish
from lab_bench import Bench, MakeBench
from lab_process import Lab, connect, running_lab

READ_VERSION = "sqlite3 -readonly /var/lib/pve-cluster/config.db 'SELECT version FROM tree WHERE inode=0'"


def _guests_are_untouched(bench: Bench, healthy: Bench, *but: str) -> None:
    """Every guest of a healthy cluster runs on with its pid; `but` are nodes that lost their power."""
    for name, node in bench.cluster.nodes.items():
        if name not in but:
            before = {vmid: p.pid for vmid, p in healthy.node(name).guests.running.items()}
            assert {vmid: p.pid for vmid, p in node.guests.running.items()} == before


def test_watchdog_client_left(make_bench: MakeBench) -> None:
    """The marker and a connection of a process that is none of HA's; the node is not reset."""
    bench = make_bench("watchdog-client-left")
    assert bench.run("pve2", "ls -ld /run/watchdog-mux.active").exit_status == 0
    assert bench.run("pve1", "ls -ld /run/watchdog-mux.active").exit_status == 2
    assert bench.run("pve2", "ss -xH src /run/watchdog-mux.sock").stdout.endswith(" watchdog-client\n")
    boot_id = bench.node("pve2").boot_id
    bench.advance(300)
    bench.run("pve2", "systemctl stop pve-ha-lrm pve-ha-crm")
    assert bench.run("pve2", "ls -ld /run/watchdog-mux.active").exit_status == 0
    assert bench.node("pve2").boot_id == boot_id


def test_peer_quorate(make_bench: MakeBench) -> None:
    """Two of three see each other."""
    bench = make_bench("peer-quorate")
    said = {name: bench.run(name, "pvecm status") for name in bench.cluster.nodes}
    assert [s.exit_status for s in said.values()] == [2, 0, 0]
    assert "Total votes:      2\n" in said["pve2"].stdout
    assert bench.run("pve1", "stat -c %a /etc/pve/local").stdout == "555\n"
    assert bench.run("pve3", "stat -c %a /etc/pve/local").stdout == "755\n"


def test_member_unreachable() -> None:
    """Connections to it are refused until it is switched on; then it boots without its guests."""

    async def body(lab: Lab) -> None:
        with pytest.raises(ConnectionRefusedError):
            await connect(lab, "pve3")
        lab.control.power_on("pve3")
        await _login(lab, "pve3")
        lab.control.power_off("pve1")
        with pytest.raises(ConnectionRefusedError):
            await connect(lab, "pve1")
        lab.control.reset("broken")
        await _login(lab, "pve1")

    async def _login(lab: Lab, name: str) -> None:
        connection = await connect(lab, name)
        assert (await connection.run("hostname")).stdout == f"{name}\n"
        connection.close()
        await connection.wait_closed()

    with running_lab("member-unreachable") as lab:
        state = lab.control.state()
        assert [node.powered for node in state.values()] == [True, True, False]
        assert not any(g.running for g in state["pve3"].guests.values())
        finish(body(lab))


def test_conf_differs(make_bench: MakeBench) -> None:
    """Another text and a higher config_version in one node's /etc/corosync; the databases agree."""
    bench = make_bench("conf-differs")
    texts = [bench.run(name, "cat /etc/corosync/corosync.conf").stdout for name in bench.cluster.nodes]
    assert texts[0] == texts[1] != texts[2]
    assert "config_version: 4\n" in texts[2]
    assert len({bench.run(name, "cat /etc/pve/corosync.conf").stdout for name in bench.cluster.nodes}) == 1


def test_authkey_differs(make_bench: MakeBench) -> None:
    """A node with another key does not come back when the network heals."""
    bench = make_bench("authkey-differs")
    keys = [bench.run(name, "sha256sum /etc/corosync/authkey").stdout for name in bench.cluster.nodes]
    assert keys[0] == keys[1] != keys[2]
    bench.cluster.heal()
    assert "Total votes:      2\n" in bench.run("pve1", "pvecm status").stdout
    assert "Total votes:      1\n" in bench.run("pve3", "pvecm status").stdout


def test_duplicate_id(make_bench: MakeBench) -> None:
    """One guest, two owners; it runs once, and nobody has quorum."""
    bench = make_bench("duplicate-id")
    owners = {name: {c.vmid: c.owner for c in bench.node(name).guests.configs()}[203] for name in bench.cluster.nodes}
    assert owners == {"pve1": "pve1", "pve2": "pve2", "pve3": "pve2"}
    assert bench.run("pve1", "ls /etc/pve/qemu-server").stdout.count("203.conf") == 1
    _guests_are_untouched(bench, make_bench("quorate"))
    assert [bench.run(n, "stat -c %a /etc/pve/local").stdout for n in bench.cluster.nodes] == ["555\n"] * 3


def test_volume_elsewhere(make_bench: MakeBench) -> None:
    """The dataset of container 111 is on pve3."""
    bench = make_bench("volume-elsewhere")
    dataset = "tank/guests/subvol-111-disk-0\n"
    assert [dataset in bench.run(n, "zfs list -H -o name").stdout for n in bench.cluster.nodes] == [False, False, True]


def test_guest_locked(make_bench: MakeBench) -> None:
    """A lock in the config of every database, and no task."""
    bench = make_bench("guest-locked")
    for name in bench.cluster.nodes:
        config = bench.run(name, "cat /etc/pve/nodes/pve1/qemu-server/102.conf").stdout
        assert "lock: snapshot\n" in config.partition("\n[")[0]
        assert "lock:" not in config.partition("\n[")[2]
    assert bench.run("pve1", "pgrep -af '^task UPID:'").stdout == ""


def test_name_on_loopback(make_bench: MakeBench) -> None:
    """pmxcfs runs, and would not start again."""
    bench = make_bench("name-on-loopback")
    assert bench.run("pve3", "getent ahosts pve3").stdout.startswith("127.0.1.1 ")
    assert bench.run("pve2", "getent ahosts pve2").stdout.startswith("10.55.0.12 ")
    assert bench.run("pve3", "pgrep -x pmxcfs").exit_status == 0
    assert bench.run("pve3", "systemctl restart pve-cluster").exit_status == 1


def test_clock_skew(make_bench: MakeBench) -> None:
    """date, and what carries a time of the node."""
    bench = make_bench("clock-skew")
    seconds = {name: float(bench.run(name, "date +%s.%N").stdout) for name in bench.cluster.nodes}
    assert abs(seconds["pve2"] - seconds["pve1"]) < 1
    assert 89 < seconds["pve3"] - seconds["pve1"] < 91
    bench.run("pve3", "systemctl stop cron")
    stamp = float(bench.run("pve3", "journalctl -n1 -o short-unix").stdout.split()[0])
    assert 89 < stamp - seconds["pve1"] < 95


def test_disk_full(make_bench: MakeBench) -> None:
    """df says so, and every way of writing a backup fails."""
    bench = make_bench("disk-full")
    assert " 100% /\n" in bench.run("pve2", "df -Pk /var/lib/pve-cluster").stdout
    bench.run("pve2", "install -d -m 0700 /var/lib/pve-runbook/r")
    copy = bench.run("pve2", "sqlite3 /var/lib/pve-cluster/config.db \".backup '/var/lib/pve-runbook/r/config.db'\"")
    assert (copy.exit_status, copy.stderr) == (1, "Error: database or disk is full\n")
    again = bench.run("pve2", "cp -p /var/lib/pve-cluster/config.db /var/lib/pve-runbook/r/config.db")
    assert (again.exit_status, "No space left on device" in again.stderr) == (1, True)
    archive = bench.run("pve2", "tar -C / -czf /var/lib/pve-runbook/r/etc-pve.tar.gz etc/pve etc/network")
    assert archive.exit_status in (0, 2)
    assert bench.run("pve2", "install -m 0600 /dev/stdin /root/big", b"x" * 9000).exit_status == 1
    assert bench.run("pve2", "install -m 0600 /dev/stdin /run/big", b"x" * 9000).exit_status == 0
    assert bench.run("pve1", "install -m 0600 /dev/stdin /root/big", b"x" * 9000).exit_status == 0


def test_stacked_mount(make_bench: MakeBench) -> None:
    """Two lines, /etc/pve works; below the live mount is a dead one."""
    bench = make_bench("stacked-mount")
    lines = bench.run("pve2", "findmnt -n -o FSTYPE,SOURCE /etc/pve").stdout
    assert [line.split() for line in lines.splitlines()] == [["fuse", "/dev/fuse"]] * 2
    assert bench.run("pve2", "cat /etc/pve/corosync.conf").exit_status == 0
    bench.run("pve2", "systemctl stop pve-cluster")
    assert bench.run("pve2", "findmnt -n -o SOURCE /etc/pve").stdout == "/dev/fuse\n"
    assert bench.run("pve2", "umount -l /etc/pve; findmnt -n /etc/pve").exit_status == 1


def test_stale_mount(make_bench: MakeBench) -> None:
    """Mounted, no pmxcfs, every access says so; the database was not closed; a start of pve-cluster mends it."""
    bench = make_bench("stale-mount")
    assert bench.run("pve2", "pgrep -x pmxcfs").exit_status == 1
    assert bench.run("pve2", "findmnt -n -o FSTYPE /etc/pve").stdout == "fuse\n"
    for command in ("cat /etc/pve/.members", "stat -c %a /etc/pve/local", "ls -A /etc/pve"):
        said = bench.run("pve2", command)
        assert said.exit_status
        assert said.stderr.endswith(": Transport endpoint is not connected\n")
    assert "config.db-wal" in bench.run("pve2", "ls -A /var/lib/pve-cluster").stdout
    assert bench.run("pve2", "qm list").exit_status == 111
    assert bench.run("pve2", "systemctl is-active pve-cluster").stdout == "failed\n"
    assert bench.run("pve2", "systemctl start pve-cluster; cat /etc/pve/.members").stdout.startswith("{")
    assert bench.run("pve2", "findmnt -n -o FSTYPE /etc/pve").stdout == "fuse\n"
    _guests_are_untouched(bench, make_bench("quorate"))


def test_systemd_starts_a_killed_pmxcfs_again(make_bench: MakeBench) -> None:
    """Restart=on-failure; one that was started by hand stays dead."""
    bench = make_bench("broken")
    bench.run("pve1", "pkill -KILL -x pmxcfs; sleep 2")
    assert bench.run("pve1", "systemctl is-active pve-cluster").stdout == "active\n"
    assert bench.run("pve1", "findmnt -n -o FSTYPE /etc/pve").stdout == "fuse\n"
    bench.run("pve1", "systemctl stop pve-cluster; pmxcfs; pkill -KILL -x pmxcfs; sleep 2")
    assert bench.run("pve1", "pgrep -x pmxcfs").exit_status == 1


def test_hung_pve(make_bench: MakeBench) -> None:
    """Whatever asks pmxcfs runs into its timeout; files, systemd and the processes answer."""
    bench = make_bench("hung-pve")
    asked = [
        "cat /etc/pve/.members",
        "stat -c %a /etc/pve/local",
        "ls -A /etc/pve",
        "pvecm status",
        "qm list",
        "pct list",
    ]
    asked += ["ha-manager status", "pvesm status", "pvesh get /cluster/status"]
    answering = ["hostname", "systemctl is-active pve-cluster", "pgrep -x pmxcfs", "findmnt -n /etc/pve", READ_VERSION]
    said = bench.batch("pve2", asked + answering)
    assert [s.exit_status for s in said] == [124] * len(asked) + [0] * len(answering)
    assert all(s.exit_status in (0, 2) for s in bench.batch("pve1", asked))
    bench.run("pve2", "systemctl stop pve-cluster corosync")
    assert bench.run("pve2", "ls -A /etc/pve").exit_status


@pytest.mark.parametrize(("scenario", "node"), [("hung-pve", "pve2"), ("stale-mount", "pve2"), ("unmounted", "pve1")])
def test_a_node_without_etc_pve_lets_the_key_in(scenario: str, node: str) -> None:
    """By authorized_keys2."""

    async def body(lab: Lab) -> None:
        connection = await connect(lab, node)
        assert (await connection.run("hostname")).stdout == f"{node}\n"
        connection.close()
        await connection.wait_closed()

    with running_lab(scenario) as lab:
        finish(body(lab))


def test_startall_shared(make_bench: MakeBench) -> None:
    """The start of pve2's guests waits; one of them has its disk on the nas."""
    bench = make_bench("startall-shared")
    assert ":startall::root@pam: 0\n" in bench.run("pve2", "cat /var/log/pve/tasks/active").stdout
    config = bench.run("pve2", "cat /etc/pve/qemu-server/203.conf").stdout
    assert "onboot: 1\n" in config
    assert "scsi0: nas:203/" in config
    assert not bench.node("pve2").guests.running


def test_other_run_live(make_bench: MakeBench) -> None:
    """A unit of another run goes on on pve2; no lock says whose it is."""
    bench = make_bench("other-run-live")
    listing = "systemctl list-units --no-legend --plain --no-pager --all 'pve-runbook-*'"
    said = [bench.run(name, listing).stdout for name in bench.cluster.nodes]
    assert [len(s.splitlines()) for s in said] == [0, 1, 0]
    assert bench.run("pve2", "readlink /var/lib/pve-runbook/lock").exit_status == 1


def test_diverged(make_bench: MakeBench) -> None:
    """Three versions, three trees; nobody has quorum; the newest wins when they meet."""
    bench = make_bench("diverged")
    versions = [int(bench.run(name, READ_VERSION).stdout) for name in bench.cluster.nodes]
    assert [v - versions[0] for v in versions] == [0, 1, 2]
    changed = "grep -l '^#changed on' /etc/pve/nodes/*/*/*.conf"
    found = [bench.run(name, changed).stdout for name in bench.cluster.nodes]
    assert [len(f.splitlines()) for f in found] == [1, 1, 1]
    assert len(set(found)) == 3
    assert [bench.run(n, "stat -c %a /etc/pve/local").stdout for n in bench.cluster.nodes] == ["555\n"] * 3
    bench.cluster.heal()
    assert bench.run("pve1", changed).stdout == found[2]


def test_shared_by_two(make_bench: MakeBench) -> None:
    """In the default cluster pve2 alone has guests on the nas, here pve3 has some too."""
    owners = {}
    for scenario in ("broken", "shared-by-two"):
        bench = make_bench(scenario)
        configs = bench.node("pve1").guests.configs()
        owners[scenario] = {c.owner for c in configs if any(v.startswith("nas:") for v in c.volumes)}
        for config in configs:
            assert all(bench.node(config.owner).storages.volume_exists(v) for v in config.volumes)
    assert owners == {"broken": {"pve2"}, "shared-by-two": {"pve2", "pve3"}}
    assert {c.owner for c in make_bench("broken", 6).node("pve1").guests.configs() if "nas:" in c.text} == {"pve2"}


def test_ceph(make_bench: MakeBench) -> None:
    """Its config in /etc/pve, linked from /etc/ceph; its units; its storage."""
    bench = make_bench("ceph")
    assert bench.run("pve2", "readlink /etc/ceph/ceph.conf").stdout == "/etc/pve/ceph.conf\n"
    assert "mon_host = 10.55.0.11 10.55.0.12 10.55.0.13\n" in bench.run("pve2", "cat /etc/ceph/ceph.conf").stdout
    units = bench.run("pve2", "systemctl list-units --no-legend --plain 'ceph-*'").stdout
    assert [line.split()[:4] for line in units.splitlines()] == [
        ["ceph-mgr@pve2.service", "loaded", "active", "running"],
        ["ceph-mon@pve2.service", "loaded", "active", "running"],
        ["ceph-osd@1.service", "loaded", "active", "running"],
    ]
    assert bench.run("pve2", "pgrep -x ceph-osd").exit_status == 0
    row = next(r for r in bench.run("pve2", "pvesm status").stdout.splitlines() if r.startswith("ceph-vm"))
    assert row.split()[1:3] == ["rbd", "active"]


def test_qdevice(make_bench: MakeBench) -> None:
    """Its column, its row, its vote in one partition; the forced value is refused where it votes."""
    bench = make_bench("qdevice")
    said = {name: bench.run(name, "pvecm status") for name in bench.cluster.nodes}
    assert [s.exit_status for s in said.values()] == [2, 2, 2]
    assert (
        "\nExpected votes:   4\nHighest expected: 4\nTotal votes:      2\nQuorum:           3 Activity"
        in said["pve1"].stdout
    )
    assert said["pve1"].stdout.endswith(
        "Flags:            Qdevice \n\nMembership information\n----------------------\n"
        "    Nodeid      Votes    Qdevice Name\n0x00000001          1    A,V,NMW 10.55.0.11 (local)\n"
        "0x00000000          1            Qdevice\n"
    )
    assert said["pve2"].stdout.endswith(
        "0x00000002          1   A,NV,NMW 10.55.0.12 (local)\n0x00000000          0            Qdevice (votes 1)\n"
    )
    assert "  device {\n    model: net\n" in bench.run("pve3", "cat /etc/pve/corosync.conf").stdout
    assert bench.run("pve1", "pvecm expected 1").exit_status == 1
    assert bench.run("pve1", "systemctl stop corosync-qdevice; sleep 1; pvecm expected 1").exit_status == 0
    text = bench.run("pve1", "pvecm status").stdout
    assert "Quorate:          Yes\n" in text
    assert "Qdevice" not in text


def test_qdevice_of_a_healthy_cluster_and_its_corosync(make_bench: MakeBench) -> None:
    """Four votes of four; a stop of corosync takes the QDevice's daemon along."""
    bench = make_bench("qdevice")
    bench.cluster.heal()
    text = bench.run("pve2", "pvecm status").stdout
    assert "Total votes:      4\nQuorum:           3  \nFlags:            Quorate Qdevice \n" in text
    bench.run("pve1", "systemctl stop corosync")
    assert bench.run("pve1", "systemctl is-active corosync-qdevice").stdout == "inactive\n"


def test_corosync_removed_by_hand(make_bench: MakeBench) -> None:
    """Its files are gone, the database has its config, /etc/pve is mounted and read-only."""
    bench = make_bench("corosync-removed-by-hand")
    for name in bench.cluster.nodes:
        assert bench.run(name, "ls -A /etc/corosync").stdout == ""
        assert (
            bench.run(name, "systemctl is-active corosync; systemctl is-enabled corosync").stdout
            == "inactive\ndisabled\n"
        )
        assert bench.run(name, "ls /etc/pve/corosync.conf; stat -c %a /etc/pve/local").stdout.endswith("conf\n555\n")
        assert bench.run(name, "pvecm status").stderr == "Cannot initialize CMAP service\n"
    _guests_are_untouched(bench, make_bench("quorate"))


@pytest.mark.parametrize(
    ("scenario", "argv", "mode", "corosync"),
    [
        ("local-mode", "pmxcfs -l", "755", "inactive"),
        ("hand-started-pmxcfs", "pmxcfs", "555", "active"),
        ("unmounted", None, None, "inactive"),
    ],
)
def test_pmxcfs_by_hand(
    scenario: str, argv: str | None, mode: str | None, corosync: str, make_bench: MakeBench
) -> None:
    """pve-cluster is stopped on pve1; the other nodes are as in broken."""
    bench = make_bench(scenario)
    running = bench.run("pve1", "pgrep -ax pmxcfs").stdout
    assert running.partition(" ")[2] == ("" if argv is None else f"{argv}\n")
    assert (
        bench.run("pve1", "systemctl is-active pve-cluster; systemctl is-active corosync").stdout
        == f"inactive\n{corosync}\n"
    )
    said = bench.run("pve1", "stat -c %a /etc/pve/local")
    assert said.stdout == ("" if mode is None else f"{mode}\n")
    assert bench.run("pve2", "systemctl is-active pve-cluster").stdout == "active\n"
    _guests_are_untouched(bench, make_bench("quorate"))


def test_standalone_corosync_running(make_bench: MakeBench) -> None:
    """pve1 is standalone and writable, and corosync runs with the files that were left."""
    bench = make_bench("standalone-corosync-running")
    assert bench.run("pve1", "pvecm status").exit_status == 2
    assert bench.run("pve1", "systemctl is-active corosync; stat -c %a /etc/pve/local").stdout == "active\n755\n"
    assert bench.run("pve1", "ls /etc/corosync/corosync.conf").exit_status == 0
    assert sorted(bench.node("pve1").guests.running) == [101, 102, 110]
    _guests_are_untouched(bench, make_bench("quorate"), "pve1")


def test_leftovers(make_bench: MakeBench) -> None:
    """Standalone everywhere, with authkey, ring id and HA's files; nobody takes anything over."""
    bench = make_bench("leftovers")
    bench.advance(600)
    for number, name in enumerate(bench.cluster.nodes):
        assert bench.node(name).standalone
        assert (
            bench.run(name, "ls /etc/corosync/authkey /etc/pve/ha/manager_status /etc/pve/ha/resources.cfg").exit_status
            == 0
        )
        assert bench.run(name, "ls -A /var/lib/corosync").stdout == f"ringid_{number + 1}\n"
        assert json.loads(bench.run(name, "cat /etc/pve/ha/manager_status").stdout)["master_node"] == "pve3"
    assert {c.vmid: c.owner for c in bench.node("pve1").guests.configs()}[201] == "pve2"
    _guests_are_untouched(bench, make_bench("quorate"))
