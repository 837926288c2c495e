"""What a node runs by itself while its /etc/pve is not mounted: each step in its order, and each guard failing once."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import FROZEN, SILENT
from lab_bench import Bench
from on_node import DB, MEMBERS, NODE, RUN, WORK, OnNode
from pve_lab.faults import Fault
from pve_lab.shell import Killed
from pve_runbook.procedure.window import script

WAIT = 15.0
"""Seconds that a script waits for pmxcfs, at least."""


@pytest.fixture
def on(tmp_path: Path) -> Iterator[OnNode]:
    """A node of a broken cluster that is frozen, with a backup, before its window."""
    bench = Bench(tmp_path, "broken", 2)
    on = OnNode(bench)
    on.type(f"{FROZEN}; {SILENT}; install -d -m 0700 {WORK}; sqlite3 {DB} \".backup '{WORK}/config.db'\"")
    on.type(f"tar -C / -czf {WORK}/system.tar.gz --ignore-failed-read etc/corosync")
    yield on
    bench.close()
    assert bench.unsimulated() == ""


@pytest.fixture
def left(on: OnNode) -> OnNode:
    """The same node after its window."""
    assert on.run("window") == "done"
    return on


def silent(*argv: str, skip: int = 0) -> Fault:
    """A command that says it was done, and did nothing."""
    return Fault("fail", argv=argv, status=0, message="", skip=skip)


def failing(*argv: str, skip: int = 0) -> Fault:
    """A command that fails."""
    return Fault("fail", argv=argv, skip=skip)


def hand(command: str, *argv: str, when: str = "after") -> Fault:
    """What another hand does once a command was run."""
    return Fault("run", argv=argv, command=command, when=when)


def always(*argv: str, times: int = 151) -> list[Fault]:
    """A command that fails every time: as often as a script asks it before it gives up."""
    return [failing(*argv, skip=number) for number in range(times)]


def steps(text: str) -> tuple[list[str], list[str]]:
    """Of a list of steps: all commands, and those that the script's log shows ("+")."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return [line.removeprefix("+ ") for line in lines], [line for line in lines if line.startswith("+ ")]


STOPPED_AND_COPIED = """
+ systemctl stop pve-cluster.service
+ systemctl stop corosync.service
+ systemctl mask --runtime pve-cluster.service corosync.service
+ systemctl stop pve-cluster.service corosync.service
+ cp -a /etc/corosync W.corosync
+ cp -p /var/lib/pve-cluster/config.db W.db.new
  sync
+ mv -f W.db.new W.db
  sync
"""
ENDED = """
  sync
  mv -f W.status.new W.status
  sync
"""
WINDOW = f"""
  systemctl cat corosync-qdevice.service
  systemctl is-enabled corosync.service
  hostname
{STOPPED_AND_COPIED.strip()}
  sqlite3 -readonly 'file:W.db?immutable=1' GUESTS
+ pmxcfs -l
  sqlite3 -readonly /var/lib/pve-cluster/config.db GUESTS
  mkdir -p PARKED
+ cp -p /etc/pve/nodes/pve1/lrm_status PARKED/pve1.lrm_status
+ rm -f /etc/pve/nodes/pve1/lrm_status
+ cp -p /etc/pve/nodes/pve2/lrm_status PARKED/pve2.lrm_status
+ rm -f /etc/pve/nodes/pve2/lrm_status
+ rm -f /etc/pve/corosync.conf
  sqlite3 -readonly /var/lib/pve-cluster/config.db CONF
+ rm -f /etc/corosync/corosync.conf /etc/corosync/authkey
+ rm -rf /etc/corosync/qdevice
+ pkill -TERM -x pmxcfs
  rm -f /var/lib/corosync/ringid_1 /var/lib/corosync/ev_tracking
  sync
+ systemctl unmask --runtime pve-cluster.service
+ systemctl start pve-cluster.service
+ systemctl unmask --runtime --no-reload corosync.service
+ systemctl disable corosync.service
{ENDED.strip()}
"""
RESTORE = f"""
  systemctl cat corosync-qdevice.service
  systemctl is-enabled corosync.service
  hostname
  sha256sum W.new.db
  sha256sum W.new.tar.gz
{STOPPED_AND_COPIED.strip()}
+ rm -f /var/lib/pve-cluster/config.db-wal /var/lib/pve-cluster/config.db-shm
+ install -m 0600 W.new.db /var/lib/pve-cluster/config.db.new
  sync
+ mv -f /var/lib/pve-cluster/config.db.new /var/lib/pve-cluster/config.db
+ tar -C / -xzf W.new.tar.gz etc/corosync
  sync
  sqlite3 -readonly 'file:/var/lib/pve-cluster/config.db?immutable=1' CONF
+ systemctl unmask --runtime pve-cluster.service
+ systemctl start pve-cluster.service
+ rm -f W.new.db W.new.tar.gz
{ENDED.strip()}
"""
"""W: the attempt's own files; what is synced, and when, is what a power cut leaves."""
GUESTS = """'SELECT count(*) FROM tree WHERE name GLOB '"'"'[1-9]*.conf'"'"''"""
CONF = """'SELECT count(*) FROM tree WHERE parent=0 AND name='"'"'corosync.conf'"'"''"""


def test_a_window_is_these_steps_in_this_order(on: OnNode) -> None:
    before = on.type("cat /etc/pve/nodes/*/lrm_status")
    assert on.run("window") == "done"
    wanted, shown = steps(WINDOW.replace("GUESTS", GUESTS).replace("CONF", CONF).replace("PARKED", f"{WORK}/parked"))
    assert on.commands == wanted
    assert on.log() == ["window of pve1", *shown, "done"]
    assert "[main] notice: forcing local mode (although corosync.conf exists)" in on.said(), (
        "what a command says is kept"
    )
    assert on.type(f"cat {WORK}/parked/*.lrm_status") == before
    assert (on.type("ls /etc/corosync"), on.type("ls /var/lib/corosync")) == ("uidgid.d\n", "")
    assert on.type("stat -c %a /etc/pve/local") == "755\n"


def test_what_ha_knows_is_parked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "quorate", 2)
    on = OnNode(bench)
    on.type(FROZEN)
    for name in (names := ("manager_status", "crm_commands", "resources.cfg", "rules.cfg", "groups.cfg")):
        on.type(f"printf '%s\n' 'this is {name}' > /etc/pve/ha/{name}")
    assert on.run("window") == "done"
    assert on.type("ls /etc/pve/ha") == ""
    for name in names:
        assert on.type(f"cat {WORK}/parked/{name}") == f"this is {name}\n"
    bench.close()
    assert bench.unsimulated() == ""


def test_a_qdevice_goes_with_corosync(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "qdevice", 2)
    on = OnNode(bench)
    on.type(FROZEN)
    assert on.run("window") == "done"
    both = "corosync-qdevice.service corosync.service"
    assert [c for c in on.commands if c.startswith("systemctl") and "corosync" in c][2:] == [
        *(f"systemctl stop {both}", f"systemctl mask --runtime pve-cluster.service {both}"),
        f"systemctl stop pve-cluster.service {both}",
        *(f"systemctl unmask --runtime --no-reload {both}", f"systemctl disable {both}"),
    ]
    bench.close()
    assert bench.unsimulated() == ""


def test_a_way_back_is_these_steps_in_this_order(on: OnNode) -> None:
    before = on.held()
    assert on.run("window") == "done"
    assert on.run("restore") == "done"
    wanted, shown = steps(RESTORE.replace("CONF", CONF))
    assert on.commands == wanted
    assert on.log() == ["restore of pve1", *shown, "done"]
    assert on.held() == before


# --- up to the point of no return a step that fails puts the node back

STOP = ("systemctl", "stop", "pve-cluster.service")
START = ("systemctl", "start", "pve-cluster.service")
PKILL = ("pkill", "-TERM", "-x", "pmxcfs")
COPY = ("cp", "-p", DB)
SQLITE = ("sqlite3", "-readonly")
STAT = ("stat", "-c", "%a", "/etc/pve/local")
COMMON: dict[str, list[Fault]] = {
    "a watchdog client is active: HA could reset this node": [hand("touch /run/watchdog-mux.active", "hostname")],
    "systemctl stop pve-cluster.service": [failing(*STOP)],
    "systemctl stop corosync.service": [failing("systemctl", "stop", "corosync.service")],
    "systemctl mask --runtime pve-cluster.service corosync.service": [failing("systemctl", "mask", "--runtime")],
    "systemctl stop pve-cluster.service corosync.service": [failing(*STOP, skip=1)],
    "pmxcfs does not end": [silent(*STOP), silent(*STOP, skip=1), silent(*PKILL), silent("umount")],
    f"the database was not closed cleanly: {DB}-wal is there": [hand(f"touch {DB}-wal", *STOP)],
    "cp -a /etc/corosync W.corosync": [failing("cp", "-a", "/etc/corosync")],
    f"cp -p {DB} W.db.new": [failing(*COPY)],
    "mv -f W.db.new W.db": [failing("mv", "-f")],
}
"""Words with which a script ends → what struck it; both scripts begin alike."""
OF_THE_WINDOW = {
    **COMMON,
    "the guests in the database could not be counted": [failing(*SQLITE)],
    "pmxcfs -l": [failing("pmxcfs", "-l")],
    "pmxcfs does not run in local mode": [silent("pmxcfs", "-l")],
    "/etc/pve is not writable in local mode": always(*STAT),
    "not all guests' configs are there in local mode": [
        hand("rm /etc/pve/nodes/pve1/qemu-server/101.conf", "pgrep", "-ax")
    ],
    f"cp -p /etc/pve/nodes/pve1/lrm_status {WORK}/parked/pve1.lrm_status": [
        failing("cp", "-p", "/etc/pve/nodes/pve1/lrm_status")
    ],
    "rm -f /etc/pve/nodes/pve2/lrm_status": [failing("rm", "-f", "/etc/pve/nodes/pve2/lrm_status")],
    "rm -f /etc/pve/corosync.conf": [failing("rm", "-f", "/etc/pve/corosync.conf")],
    "corosync.conf is still in /etc/pve": [silent("rm", "-f", "/etc/pve/corosync.conf")],
    "corosync.conf is still in the database": [failing(*SQLITE, skip=2)],
    "rm -f /etc/corosync/corosync.conf /etc/corosync/authkey": [failing("rm", "-f", "/etc/corosync/corosync.conf")],
    "rm -rf /etc/corosync/qdevice": [failing("rm", "-rf", "/etc/corosync/qdevice")],
    "pmxcfs does not leave local mode": [silent(*PKILL)],
}
OF_THE_WAY_BACK = {
    "the database to be restored is not the one of the record": [hand("echo >> W.new.db", "hostname")],
    "the archive to be restored is not the one of the record": [hand("echo >> W.new.tar.gz", "hostname")],
    **COMMON,
    f"rm -f {DB}-wal {DB}-shm": [failing("rm", "-f", f"{DB}-wal")],
    f"install -m 0600 W.new.db {DB}.new": [failing("install", "-m", "0600")],
    f"mv -f {DB}.new {DB}": [failing("mv", "-f", f"{DB}.new")],
    "tar -C / -xzf W.new.tar.gz etc/corosync": [failing("tar")],
    "/etc/corosync/corosync.conf was not in the archive": [silent("tar")],
    "the database has no corosync.conf": [failing(*SQLITE)],
    "systemctl start pve-cluster.service, five times": always(*START, times=5),
    "/etc/pve is not mounted after the start of pve-cluster": [silent(*START)],
    "rm -f W.new.db W.new.tar.gz": [failing("rm", "-f", "W.new.db")],
}

UNTOUCHED = ("a watchdog client is active", "the database to be restored", "the archive to be restored")
"""Refusals before anything on the node is stopped."""


@pytest.mark.parametrize("words", OF_THE_WINDOW)
def test_a_window_that_fails_before_its_point_of_no_return_leaves_the_node_as_it_was(on: OnNode, words: str) -> None:
    before = on.held()
    assert on.run("window", *OF_THE_WINDOW[words]) == f"rolled-back {words}"
    put_back(on, words, before)


@pytest.mark.parametrize("words", OF_THE_WAY_BACK)
def test_a_way_back_that_fails_leaves_the_node_standalone_as_it_was(left: OnNode, words: str) -> None:
    before = left.held()
    assert left.run("restore", *OF_THE_WAY_BACK[words]) == f"rolled-back {words}"
    put_back(left, words, before)
    assert left.type("ls /etc/corosync") == "uidgid.d\n"


def put_back(on: OnNode, words: str, before: dict[str, str]) -> None:
    """The node is what it was, and the script said why."""
    assert on.held() == before
    said = on.log()
    assert said[-1] == f"rolled-back {words}" and f"failed: {words}" in said
    assert ("systemctl stop pve-cluster.service" in on.commands) != words.startswith(UNTOUCHED)


def test_a_corosync_that_nobody_had_masked_is_not_masked_when_a_window_failed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "quorate", 2)
    on = OnNode(bench)
    on.type(FROZEN)
    before = on.held()
    assert on.run("window", failing("pmxcfs", "-l")) == "rolled-back pmxcfs -l"
    assert on.held() == before
    assert on.type("systemctl is-active corosync.service") == "active\n"
    bench.close()
    assert bench.unsimulated() == ""


def test_a_copy_of_an_earlier_attempt_is_not_put_back(left: OnNode) -> None:
    """It would be a step back in time: what was written since then is in the database only."""
    late = f"rm -f {DB}-wal {DB}-shm"
    assert left.run("restore", *OF_THE_WAY_BACK[late]) == f"rolled-back {late}"
    left.type("echo hello > /etc/pve/since")
    before = left.held()["tree"]
    assert left.run("restore", failing(*COPY)) == f"rolled-back cp -p {DB} W.db.new"
    assert left.held()["tree"] == before and "\nsince|" in before


def test_what_a_pmxcfs_left_behind_is_unmounted(on: OnNode) -> None:
    """One that was killed serves its mount no more, and nothing but an unmount takes it away."""
    on.node.files.dead_mounts = 1
    assert on.run("window") == "done"
    assert "umount -l /etc/pve" in on.commands and on.seconds > WAIT


def test_a_pmxcfs_that_crashes_in_local_mode_is_put_back(on: OnNode) -> None:
    """Nobody serves its mount, and what is typed into it fails."""
    crash = hand("kill -9 $(pgrep -x pmxcfs)", "rm", "-f", "/etc/pve/corosync.conf", when="before")
    assert on.run("window", crash) == "rolled-back rm -f /etc/pve/corosync.conf"
    assert "umount -l /etc/pve" in on.commands
    assert on.type("findmnt -n /etc/pve | wc -l") == "1\n"
    assert on.node.units.get("pve-cluster").active == "active"


def test_a_unit_that_wants_pve_cluster_does_not_start_it_within_a_window(on: OnNode) -> None:
    """Half of Proxmox's units do: one that another hand, or a timer, starts there would bring the cluster's pmxcfs."""
    assert on.run("window", hand("systemctl restart pvedaemon", "cp", "-a", "/etc/corosync")) == "done"
    assert on.type("systemctl is-enabled pve-cluster") == "enabled\n"


def cut_short(on: OnNode, *argv: str) -> None:
    """A window in which the power goes before a command, and comes back."""
    on.bench.site.faults.arm(Fault("power_cycle", argv=argv))
    text = script("window", RUN, RUN, MEMBERS)
    on.type(f"install -d -m 0700 {WORK}; install -m 0700 /dev/stdin {WORK}/window.sh", text.encode())
    with pytest.raises(Killed):
        on.bench.run(NODE, f"/bin/bash {WORK}/window.sh")
    on.type(FROZEN)


@pytest.mark.parametrize("argv", [("systemctl", "stop", "corosync.service"), ("pmxcfs", "-l"), PKILL], ids=" ".join)
def test_a_power_cut_leaves_no_mask(on: OnNode, argv: tuple[str, ...]) -> None:
    cut_short(on, *argv)
    assert on.node.units.get("pve-cluster").unit_file_state == "enabled"
    assert on.node.units.get("pve-cluster").active == "active"


@pytest.mark.parametrize("imported", [False, True], ids=["read-from-the-database", "imported-at-its-start"])
def test_a_power_cut_between_the_two_files_is_gone_on_from(on: OnNode, imported: bool) -> None:
    """corosync.conf is out of the database and still in /etc/corosync; a pmxcfs may take it in from there."""
    cut_short(on, "rm", "-f", "/etc/corosync/corosync.conf")
    assert "corosync.conf" in on.type("ls /etc/corosync") and "corosync.conf" not in on.type("ls /etc/pve")
    if imported:
        on.type("cp /etc/corosync/corosync.conf /etc/pve/corosync.conf; systemctl restart pve-cluster")
    on.type(SILENT)
    assert on.run("window") == "done"
    assert (on.type("ls /etc/corosync"), on.type("stat -c %a /etc/pve/local")) == ("uidgid.d\n", "755\n")
    assert on.node.standalone


# --- what is waited for, and how long


def test_a_script_waits_a_quarter_of_a_minute_for_pmxcfs_and_no_longer(on: OnNode) -> None:
    for words in ("/etc/pve is not writable in local mode", "pmxcfs does not leave local mode"):
        assert on.run("window", *OF_THE_WINDOW[words]) == f"rolled-back {words}"
        assert WAIT < on.seconds < 2 * WAIT
    assert on.run("window") == "done"
    words = "/etc/pve is not mounted after the start of pve-cluster"
    assert on.run("restore", *OF_THE_WAY_BACK[words]) == f"rolled-back {words}"
    assert WAIT < on.seconds < 2 * WAIT


def test_pve_cluster_is_started_again_up_to_four_times(on: OnNode) -> None:
    assert on.run("window", *always(*START, times=4)) == "done"
    tries = [c for c in on.commands if c in (shlex.join(START), "systemctl reset-failed pve-cluster.service")]
    assert tries == [*[shlex.join(START), "systemctl reset-failed pve-cluster.service"] * 4, shlex.join(START)]
    assert on.waits.count("sleep 2") == 4


# --- where a node can neither be taken out nor be put back

LATE = failing("rm", "-rf", "/etc/corosync/qdevice")
STUCK = {
    "after 'pmxcfs does not leave local mode': pmxcfs does not end": [
        *(silent(*PKILL), silent(*PKILL, skip=1), silent("umount")),
    ],
    "after 'rm -rf /etc/corosync/qdevice': config.db could not be put back": [LATE, failing("cp", "-p", skip=3)],
    "after 'rm -rf /etc/corosync/qdevice': /etc/corosync could not be put back": [LATE, failing("cp", "-a", skip=1)],
    "after 'rm -rf /etc/corosync/qdevice': pve-cluster does not start": [LATE, failing(*START)],
}


@pytest.mark.parametrize("words", STUCK)
def test_a_way_back_within_a_window_that_fails_too_is_left_to_a_person(on: OnNode, words: str) -> None:
    assert on.run("window", *STUCK[words]) == f"stuck {words}"
    assert on.log()[-1] == f"stuck {words}"


FORWARD = {
    "systemctl start pve-cluster.service, five times": always(*START, times=5),
    "/etc/pve is not writable after the start of pve-cluster": [silent(*START)],
    "systemctl unmask --runtime --no-reload corosync.service": [
        failing("systemctl", "unmask", "--runtime", "--no-reload")
    ],
    "systemctl disable corosync.service": [failing("systemctl", "disable", "corosync.service")],
}


@pytest.mark.parametrize("words", FORWARD)
def test_past_the_point_of_no_return_nothing_is_put_back(on: OnNode, words: str) -> None:
    assert on.run("window", *FORWARD[words]) == f"forward {words}"
    assert on.log()[-2:] == [f"failed: {words}", f"forward {words}"]
    assert on.type("ls /etc/corosync") == "uidgid.d\n"
    conf = "SELECT count(*) FROM tree WHERE name='corosync.conf'"
    assert on.type(f'sqlite3 -readonly {DB} "{conf}"') == "0\n"


def test_what_runs_on_a_node_reads_english_and_finds_its_commands() -> None:
    """Whatever the login's own environment is."""
    head = script("window", RUN, RUN, MEMBERS).partition("say()")[0]
    odd = {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "PATH": "/nowhere", "TERM": "xterm"}
    shown = 'printf "%s|" "$LC_ALL" "$LANG" "$TERM" "$PATH" "$B" "$W" "$@"'
    said = subprocess.run(["/bin/bash", "-c", head + shown], env=odd, capture_output=True, text=True, timeout=60)
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    assert said.stdout.split("|")[:-1] == ["C", "C", "dumb", path, WORK, f"{WORK}/window-{RUN}", *MEMBERS], said
