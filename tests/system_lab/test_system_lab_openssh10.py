"""OpenSSH 10 itself, as PVE 9 has it: what it does to who logs in in vain, and to what its sessions run."""

from __future__ import annotations

import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest
from bounded import BOUND
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.line import Line
from pve_runbook.journal.journal import Journal
from pve_runbook.parsers.output import Output
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.detached import Sent, run_detached
from pve_runbook.ssh.errors import ConnectFailed, Failure
from pve_runbook.ssh.hosts import Target
from pve_system_lab.root import OPENSSH_10, ensure

pytestmark = pytest.mark.syslab
START = """
set -e
mount --bind "$2" "$1/mnt"; mount --bind /dev "$1/dev"; mount -t proc proc "$1/proc"; mount -t tmpfs tmpfs "$1/run"
mkdir "$1/run/sshd"
exec chroot "$1" /usr/sbin/sshd -D -p "$3" -h /mnt/host -o ListenAddress=127.0.0.1 -o PermitRootLogin=yes \\
  -o StrictModes=no -o "AuthorizedKeysFile=/mnt/authorized_keys"
"""


@dataclass
class Server:
    """An sshd that listens on a port of loopback; `mnt` is its /mnt."""

    port: int
    mnt: Path
    process: subprocess.Popen[bytes]
    told: list[str] = field(default_factory=list)

    @property
    def target(self) -> Target:
        return Target("pve1", "root", self.port, "127.0.0.1")

    def line(self, key: str) -> Line:
        """A line to it, by that key alone."""
        options = ConnectOptions(keys=(str(self.mnt / key),), own_keys=False)
        cluster = Cluster([self.target], options, Journal(), read_only=False, attempt="run")
        cluster.waits.say = lambda node, text: self.told.append(text)
        return Line(cluster, Connection(self.target, options), lambda connection: "the same boot")

    def cut(self) -> None:
        """Its sessions end without a word."""
        subprocess.run(["pkill", "-KILL", "-f", "^sshd-session: root@notty"], check=False)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An sshd of its own, which knows nobody yet."""
    mnt = tmp_path / "mnt"
    mnt.mkdir()
    for name in ("host", "right", "wrong"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(mnt / name)
        (mnt / name).chmod(0o600)
        if name == "right":
            key.write_public_key(mnt / "authorized_keys")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    public = asyncssh.read_private_key(mnt / "host").export_public_key().decode().strip()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    monkeypatch.setenv("HOME", str(home.parent))
    root = ensure(debian=OPENSSH_10)
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", START, "sh", str(root), str(mnt), str(port)])
    found = Server(port, mnt, process)
    until(lambda: listens(port))
    yield found
    found.cut()
    process.terminate()
    process.wait(BOUND)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def until(holds: Callable[[], bool]) -> None:
    """Look until it holds, for a bounded time."""
    end = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def tried(server: Server) -> Failure:
    """What becomes of a login with the wrong key."""
    with pytest.raises(ConnectFailed) as refused:
        server.line("wrong").connection.open()
    return refused.value.kind


def test_who_logs_in_in_vain_is_barred_and_that_is_waited_out(server: Server) -> None:
    """One connection with five keys is one failed login; five connections are enough. Who is in stays in."""
    inside = server.line("right")
    inside.open()
    several = ConnectOptions(keys=(*[str(server.mnt / "wrong")] * 4, str(server.mnt / "right")), own_keys=False)
    for _ in range(5):
        Connection(server.target, several).open()
    until(lambda: tried(server) is Failure.DROPPED)  # sshd counts a login when its process has ended
    began = time.monotonic()
    server.line("right").open()
    assert 5 < time.monotonic() - began < 60
    assert server.told[0].startswith("it is up, and its SSH server drops connections")
    assert inside.connection.is_open


def test_a_session_that_is_cut_does_not_end_what_it_runs_and_its_outcome_is_read(server: Server) -> None:
    line = server.line("right")
    line.open()
    script = "echo once >>/mnt/ran; until [ -e /mnt/go ]; do sleep 0.05; done; echo end"
    slow = Sent(secrets.token_hex(4), "run", ("bash", "-c", script), 30, "here")
    said: list[Output] = []
    under_way = threading.Thread(
        target=lambda: said.append(line.carry(lambda lost: run_detached(line.connection, slow, lost)))
    )
    under_way.start()
    until((server.mnt / "ran").exists)
    server.cut()
    until(lambda: any("is back after" in text for text in server.told))
    (server.mnt / "go").touch()
    under_way.join(BOUND)
    assert said == [Output("end\n", "", 0)]
    assert (server.mnt / "ran").read_text() == "once\n"


def test_an_input_that_is_cut_half_way_is_not_used(server: Server) -> None:
    line = server.line("right")
    line.open()
    data = secrets.token_bytes(40_000_000)
    put = Sent(secrets.token_hex(4), "run", ("install", "-m", "0600", "/dev/stdin", "/mnt/file"), 60, "here", data)
    kept = Path(f"/proc/{server.process.pid}/root/run/pve-runbook/run") / f"{put.name}.input-0"
    said: list[Output] = []
    under_way = threading.Thread(
        target=lambda: said.append(line.carry(lambda lost: run_detached(line.connection, put, lost)))
    )
    under_way.start()
    until(lambda: kept.exists() and kept.stat().st_size > 0)
    server.cut()
    under_way.join(BOUND)
    assert said == [Output("", "", 0)]
    assert (server.mnt / "file").read_bytes() == data
