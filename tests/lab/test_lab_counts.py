"""The lab's work grows with what it is asked: what is made of a node's whole model is made once, not for each guest."""

from __future__ import annotations

import shlex
import threading
from collections import Counter, defaultdict
from collections.abc import Callable

import paramiko
import pytest
from bounded import BOUND
from hypothesis import given
from hypothesis import strategies as st
from lab_bench import Bench, MakeBench
from lab_process import Lab
from pve_lab.batch import _words
from pve_lab.commands import sqlite
from pve_lab.interpreter import _Shell
from pve_lab.model.database import Database
from pve_lab.model.devices import Devices
from pve_lab.model.guests import Guests
from pve_lab.model.pmxcfs_view import PmxcfsView
from pve_lab.shell import Killed
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.exec import execute
from pve_runbook.ssh.hosts import parse_hosts

WHOLE = (
    (Devices, "_made_links"),
    (Guests, "_made_configs"),
    (PmxcfsView, "wanted"),
    (Database, "_guests"),
    (Database, "_names"),
)
"""What goes through all volumes, all guests, all files of /etc/pve."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of them was made."""
    found: Counter[str] = Counter()
    for kind, name in WHOLE:
        monkeypatch.setattr(kind, name, _counted(getattr(kind, name), name, found))
    return found


def _counted(method: object, name: str, found: Counter[str]) -> object:
    def call(self: object, *given: object, **named: object) -> object:
        found[name] += 1
        return method(self, *given, **named)  # type: ignore[operator]

    return call


def _probes(bench: Bench, node: str) -> list[str]:
    """What is asked of each guest that runs, and the lists of all."""
    pids = [process.pid for process in bench.node(node).guests.running.values()]
    assert len(pids) > 1
    asked = [f"find /proc/{pid}/fd -type l -lname /dev/* -printf %l\\n" for pid in pids]
    return [*asked, "qm list", "pct list", "pvesm status", "pvesh get /cluster/resources --output-format json"]


@pytest.mark.parametrize("nodes", [2, 5])
def test_a_batch_makes_each_thing_once_a_node(make_bench: MakeBench, made: Counter[str], nodes: int) -> None:
    bench = make_bench("quorate", nodes)
    probes = {name: _probes(bench, name) for name in bench.cluster.nodes}
    made.clear()
    for name, asked in probes.items():
        bench.batch(name, asked)
    assert made == {"_made_links": nodes}
    bench.run("pve1", "touch /etc/pve/one")
    made.clear()
    for name, asked in probes.items():
        bench.batch(name, asked)
    assert made == {"_made_configs": nodes, "_guests": nodes}, "and nothing was changed in /dev"
    bench.node("pve1").storages.add_volume("local-lvm:vm-999-disk-0")
    made.clear()
    for name, asked in probes.items():
        bench.batch(name, asked)
    assert made == {"_made_links": 1}


def test_the_folders_of_a_database_are_gone_through_once_for_each_of_its_states(
    make_bench: MakeBench, made: Counter[str]
) -> None:
    bench = make_bench("quorate", 3)
    made.clear()
    for _ in range(3):
        assert bench.run("pve1", "tar -C / -czf /root/etc-pve.tar.gz etc/pve").exit_status == 0
    assert made["_names"] == 1
    bench.run("pve1", "touch /etc/pve/one")
    bench.run("pve1", "ls /etc/pve; ls /etc/pve/nodes")
    assert made["_names"] == 2


def test_the_database_is_asked_once_for_each_of_its_states(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, asked = make_bench("quorate", 2), Counter[str]()
    monkeypatch.setattr(sqlite, "_open", _counted_call(sqlite._open, asked))
    question = "sqlite3 -readonly /var/lib/pve-cluster/config.db \"SELECT count(*) FROM tree WHERE name='one'\""
    assert [bench.run("pve1", question).stdout for _ in range(3)] == ["0\n"] * 3
    assert asked.total() == 1
    bench.run("pve1", "touch /etc/pve/one")
    assert bench.run("pve1", question).stdout == "1\n"
    bench.run("pve1", "sqlite3 /var/lib/pve-cluster/config.db \"DELETE FROM tree WHERE name='one'\"")
    assert bench.run("pve1", question).stdout == "0\n", "written past pmxcfs, too"


def _counted_call(method: Callable[..., object], asked: Counter[str]) -> Callable[..., object]:
    def call(*given: object) -> object:
        asked[""] += 1
        return method(*given)

    return call


def test_a_shell_that_looks_at_no_guests_config_has_none_copied(make_bench: MakeBench) -> None:
    """A window makes thirty changes to /etc/pve: with the guests each was a copy of all of them."""
    bench = make_bench("quorate", 2)
    config = bench.node("pve1").files.config
    bench.run("pve1", "hostname")
    assert not config.exists("/corosync.conf"), "nothing looked"
    assert bench.run("pve1", "[ -e /etc/pve/corosync.conf ] && echo there").stdout == "there\n"
    own = next(c for c in bench.node("pve1").guests.own())
    assert config.exists("/nodes/pve1/lrm_status") and not config.exists(f"/{own.path}")
    assert bench.run("pve1", f"[ -e /etc/pve/{own.path} ] && echo there").stdout == "there\n"
    assert bench.run("pve1", "cd /etc/pve/nodes/pve1 && for f in */*.conf; do echo $f; done").stdout.count(".conf") > 1
    bench.run("pve1", "install -m 0700 /dev/stdin /root/x.sh", f"[ -e /etc/pve/{own.path} ] && echo there\n".encode())
    assert bench.run("pve1", "bash /root/x.sh").stdout == "there\n", "the scripts that a line names are read, too"


def test_the_copy_for_bash_is_made_where_bash_runs_and_something_changed(
    make_bench: MakeBench, made: Counter[str]
) -> None:
    bench = make_bench("quorate", 3)
    bench.run("pve1", "cat /etc/pve/.members")
    made.clear()
    for _ in range(3):
        bench.run("pve1", "cat /etc/pve/.members; ls /etc/pve")
    assert made["wanted"] == 0
    bench.run("pve1", "touch /etc/pve/one")
    assert made["wanted"] == 1, "on the node where it was written; the others have no bash"
    assert bench.run("pve2", "for f in /etc/pve/on*; do echo $f; done").stdout == "/etc/pve/one\n"
    assert made["wanted"] == 2


def test_an_exec_request_is_answered_with_six_packets(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncssh by itself sends twelve: one to be ignored before each."""
    options = ConnectOptions(ssh_config=str(lab.ssh_config))
    with Connection(parse_hosts("pve1")[0], options) as connection:
        packets, kinds = connection.transport.packetizer, list[int]()
        read = packets.read_message

        def counted() -> tuple[int, paramiko.Message]:
            kind, message = read()
            kinds.append(kind)
            return kind, message

        monkeypatch.setattr(packets, "read_message", counted)
        for _ in range(3):  # when the first one comes a read is under way that is not counted
            assert execute(connection, "hostname", timeout=BOUND).stdout == b"pve1\n"
        *_, begin, end = (i for i, kind in enumerate(kinds) if kind == 91)
        assert sorted(kinds[begin:end]) == [91, 94, 96, 97, 98, 99]


def test_who_waits_on_a_node_is_woken_by_what_goes_on_there(make_bench: MakeBench) -> None:
    """Not by every command on every node: one waits on each while all leave."""
    bench = make_bench("broken", 2)
    looked, machine = [0], bench.machines["pve1"]
    waiting, ended = threading.Event(), threading.Event()

    def holds() -> bool:
        looked[0] += 1
        waiting.set()
        return ended.is_set()

    def wait() -> None:
        with machine.turn:
            machine.turn.wait_for(holds, BOUND)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(BOUND)
    for _ in range(20):
        bench.run("pve2", "true; hostname")
    assert looked == [1]
    ended.set()
    bench.run("pve1", "hostname")
    thread.join(BOUND)
    assert not thread.is_alive() and looked == [2]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[_Shell]]:
    """The shells of this test alone that nobody uses, by host name."""
    found: dict[str, list[_Shell]] = defaultdict(list)
    monkeypatch.setattr(_Shell, "_idle", found)
    return found


def test_a_bash_is_used_again_and_knows_nothing_of_what_it_ran(
    make_bench: MakeBench, idle: dict[str, list[_Shell]]
) -> None:
    first = make_bench("quorate", 2)
    left = "x=1; export y=2; f() { :; }; cd /etc; set -e; shopt -s nullglob; alias l=ls; trap 'echo' EXIT; echo > /a"
    assert first.run("pve1", left).exit_status == 0
    [shell] = idle["pve1"]
    said = make_bench("quorate", 2).run("pve1", 'echo "[$x] [$y] $PWD $-"; shopt nullglob; alias; type f; ls /a')
    assert said.stdout.split() == ["[]", "[]", "/root", "hBc", "nullglob", "off"]
    assert "f: not found" in said.stderr and "'/a'" in said.stderr
    assert idle["pve1"] == [shell], "in another lab, too"


def test_a_bash_that_was_ended_is_not_used_again(make_bench: MakeBench, idle: dict[str, list[_Shell]]) -> None:
    bench = make_bench("hung-pve", 1)
    machine, threads = bench.machines["pve1"], set(threading.enumerate())

    def types() -> None:
        with pytest.raises(Killed):
            bench.run("pve1", "ls /etc/pve")

    threading.Thread(target=types).start()
    with machine.turn:
        assert machine.turn.wait_for(lambda: any(channel.blocked for channel in machine.channels), BOUND)
    started = set(threading.enumerate()) - threads
    assert len(started) == 2
    machine.reset()
    for thread in started:
        thread.join(BOUND)
        assert not thread.is_alive()
    assert not idle["pve1"]


def test_a_folder_that_was_replaced_is_no_folder(make_bench: MakeBench) -> None:
    bench = make_bench("quorate", 1)
    files = bench.node("pve1").files
    made = "mkdir -p /root/a/b /root/c; touch /root/a/b/one /root/c/two; ls /root/a/b"
    assert bench.run("pve1", made).stdout == "one\n"
    assert bench.run("pve1", "rm -r /root/a/b; ln -s /root/c /root/a/b; ls /root/a/b/two").stdout == "/root/a/b/two\n"
    assert bench.run("pve1", "rm -r /root/a; touch /root/a; ls /root/a/b").exit_status == 2
    for name in ("one", "two"):
        files.put(f"/run/a/{name}", "")
        assert bench.run("pve1", "ls /run/a").stdout == f"{name}\n"
        files.discard("/run/a")
        assert bench.run("pve1", "ls /run/a").exit_status == 2


@given(words=st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=8), max_size=8))
def test_words_are_those_of_a_shell(words: list[str]) -> None:
    assert _words(shlex.join(words)) == words


def test_words_that_are_written_otherwise_are_read_too() -> None:
    assert _words(r"""a\ b "c d"e $'f'""") == ["a b", "c de", "$f"]
