"""The lab as a process: one SSH server a node on loopback, and the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
from pve_runbook.facts_file.model import Portrait

from pve_lab.build import build
from pve_lab.machine import Machine, Site
from pve_lab.model.cluster import Cluster
from pve_lab.model.file_answers import Hung
from pve_lab.penalties import Penalties
from pve_lab.scenarios import SCENARIOS
from pve_lab.shell import Channel
from pve_lab.sshd import Connection, Session
from pve_lab.twin import build_twin
from pve_lab.verbs import VERBS, Json

MOST_CHANNELS = 256
"""Commands that may run at one time."""

PASSWORD = "lab"
"""Root's, on every node."""

_Connections = dict[asyncssh.connection.SSHConnection, set[Channel]]


def _tell(machine: Machine) -> None:
    with machine.turn:
        machine.turn.notify_all()


class _NodeServer(asyncssh.SSHServer):
    """The sshd of one node: root by key, as /root/.ssh says at that moment, or by password."""

    def __init__(
        self, machine: Machine, connections: _Connections, penalties: Penalties, threads: ThreadPoolExecutor
    ) -> None:
        self._machine = machine
        self._connections = connections
        self._threads = threads
        self._penalties = penalties
        self._address = ""
        self._tried = self._logged_in = False
        self._connection: Connection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Keep the connection, so that it can be cut; whom a penalty bars is dropped without a word."""
        conn.__class__ = Connection  # asyncssh makes it itself and asks nobody of which class
        assert isinstance(conn, Connection)
        self._address = conn.get_extra_info("peername")[0]
        if self._penalties.refuses(self._address):
            conn.abort()
            return
        self._connection = conn
        self._connections[conn] = set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; what waits for its node to thaw waits for nothing now."""
        if self._tried and not self._logged_in and self._machine.node.version.ssh_penalties:
            self._penalties.add(self._address)
        if self._connection is not None:
            for channel in self._connections.pop(self._connection, set()):
                channel.hang_up()  # here and now: a node that thaws next must not begin what nobody waits for
            asyncio.get_running_loop().run_in_executor(None, _tell, self._machine)

    def session_requested(self) -> tuple[asyncssh.SSHServerChannel[bytes], Session]:
        """Whoever is logged in may run commands."""
        assert self._connection is not None
        return Session(self._connection, self._threads, self._begin).opened()

    def _begin(self, session: Session) -> Channel:
        channel = Channel(self._machine, session.read)
        if self._connection is not None:
            self._connections.get(self._connection, set()).add(channel)
        return channel

    def begin_auth(self, username: str) -> bool:
        """Everybody has to log in."""
        return True

    def auth_completed(self) -> None:
        """Somebody is logged in."""
        self._logged_in = True

    def public_key_auth_supported(self) -> bool:
        """Keys are taken."""
        return True

    def password_auth_supported(self) -> bool:
        """PermitRootLogin yes, as Proxmox sets it up (pve-cluster, Setup.pm)."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """Root's lies in /etc/shadow, whatever becomes of /etc/pve."""
        self._tried = True
        return (username, password) == ("root", PASSWORD)

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2 (recorded: sshd -T)."""
        self._tried = True
        if username != "root":
            return False
        wanted = key.export_public_key("openssh").split()[1].decode()
        for name in ("authorized_keys", "authorized_keys2"):
            try:
                text = self._machine.node.files.text(f"/root/.ssh/{name}")
            except (OSError, Hung):
                continue
            if any(wanted in line.split() for line in text.splitlines() if not line.startswith("#")):
                return True
        return False


class LabServer:
    """All nodes of one lab, their servers and their control socket."""

    def __init__(self, number: int, scenario: str, directory: Path, portrait: Portrait | None = None) -> None:
        self.directory = directory
        self.scenario = scenario
        self._portrait = portrait
        self._number = number
        self._epoch = time.time()
        self._builds = 0
        self._client_key = asyncssh.generate_private_key("ssh-ed25519", comment="pve-runbook-lab")
        self.cluster = self._build()
        self.site = Site(directory / "unsimulated.log")
        self.ports: dict[str, int] = {}
        self._connections: dict[str, _Connections] = {}
        self.penalties: dict[str, Penalties] = {}
        self._host_keys: dict[str, asyncssh.SSHKey] = {}
        self._acceptors: dict[str, asyncssh.SSHAcceptor] = {}
        self._kept: dict[str, socket.socket] = {}
        self._control: asyncio.AbstractServer | None = None
        self._stopped = asyncio.Event()
        self._threads = ThreadPoolExecutor(max_workers=MOST_CHANNELS, thread_name_prefix="channel")
        self._loop = asyncio.get_running_loop()

    @property
    def ssh_config(self) -> Path:
        """The ssh_config that reaches the nodes."""
        return self.directory / "ssh_config"

    @property
    def control(self) -> Path:
        """The control socket."""
        return self.directory / "control"

    @property
    def machines(self) -> dict[str, Machine]:
        """The nodes by name."""
        return self.site.machines

    def _build(self) -> Cluster:
        public = self._client_key.export_public_key("openssh").decode().strip()
        self._builds += 1
        place = self.directory / "models" / str(self._builds)
        place.mkdir(parents=True)
        if self._portrait is not None:
            return build_twin(self._portrait, place, public)
        scenario = SCENARIOS[self.scenario]
        cluster = build(self._number, place, self._epoch, public, scenario.version, scenario.inventory, scenario.wiring)
        scenario.shape(cluster)
        return cluster

    async def start(self) -> None:
        """Open the ports and write ssh_config, known_hosts and the client's key."""
        identity = self.directory / "id_ed25519"
        identity.touch(0o600)
        self._client_key.write_private_key(str(identity))
        self._client_key.write_public_key(str(identity) + ".pub")
        known_hosts = ""
        (self.directory / "nodes").mkdir()
        for name, node in self.cluster.nodes.items():
            self._host_keys[name] = asyncssh.generate_private_key("ssh-ed25519")
            self._connections[name] = {}
            self.penalties[name] = Penalties()
            log = self.directory / "nodes" / f"{name}.jsonl"
            Machine(node, log, self.site, functools.partial(self._cut, name))
            await self._open(name, 0)
            key = self._host_keys[name].export_public_key("openssh").decode().split()
            known_hosts += f"[127.0.0.1]:{self.ports[name]} {key[0]} {key[1]}\n"
        (self.directory / "known_hosts").write_text(known_hosts, encoding="utf-8")
        self.ssh_config.write_text("".join(self._host(name) for name in self.ports), encoding="utf-8")
        await self._follow_power()
        self._control = await asyncio.start_unix_server(self._answer, str(self.control))

    async def _open(self, name: str, port: int) -> None:
        """Start the sshd of a node; port 0 is any that is free."""
        machine = self.machines[name]
        acceptor = await asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[self._host_keys[name]],
            encoding=None,
            reuse_address=True,
            server_factory=functools.partial(
                _NodeServer, machine, self._connections[name], self.penalties[name], self._threads
            ),
            line_editor=False,
            compression_algs=None,
            login_timeout=30,
        )
        self._acceptors[name] = acceptor
        self.ports[name] = acceptor.get_port()

    async def _follow_power(self) -> None:
        """A node without power refuses connections; its port is kept for it."""
        for name, node in self.cluster.nodes.items():
            if not node.powered and name in self._acceptors:
                self._acceptors.pop(name).close()
                self._kept[name] = socket.socket()
                self._kept[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._kept[name].bind(("127.0.0.1", self.ports[name]))
            elif node.powered and name in self._kept:
                self._kept.pop(name).close()
                await self._open(name, self.ports[name])

    def _host(self, name: str) -> str:
        return (
            f"Host {name}\n  HostName 127.0.0.1\n  Port {self.ports[name]}\n  User root\n"
            f"  IdentityFile {self.directory}/id_ed25519\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.directory}/known_hosts\n  StrictHostKeyChecking yes\n\n"
        )

    async def wait(self) -> None:
        """Run until the lab is told to stop."""
        await self._stopped.wait()

    async def close(self) -> None:
        """Drop everything."""
        if self._control is not None:
            self._control.close()
        for acceptor in self._acceptors.values():
            acceptor.close()
        for kept in self._kept.values():
            kept.close()
        for machine in self.machines.values():
            machine.close()
        await self._loop.run_in_executor(None, self._threads.shutdown)
        for node in self.cluster.nodes.values():
            node.pmxcfs.database.close()

    # -- what a verb of the control socket may do ------------------------------------------------

    def _cut(self, node: str) -> None:
        """Drop all connections of a node; from any thread."""
        for connection in list(self._connections[node]):
            self._loop.call_soon_threadsafe(connection.abort)

    def reset(self, scenario: str | None) -> None:
        """Put all nodes into a starting state again, at the present time: same ports and keys, new model, empty logs,
        no faults.

        A twin has only the one state that it was built from.
        """
        if scenario is not None and self._portrait is not None:
            raise ValueError("a twin has no scenarios")
        if scenario is not None and scenario not in SCENARIOS:
            raise ValueError(f"there is no scenario {scenario!r}")
        self.scenario = scenario or self.scenario
        self._epoch = time.time()
        before, self.cluster = self.cluster, self._build()
        self.site.faults.reset()
        for name, node in self.cluster.nodes.items():
            self.machines[name].replace(node)
            self.penalties[name].clear()
        for node in before.nodes.values():
            node.pmxcfs.database.close()
        shutil.rmtree(before.directory)

    def stop(self) -> None:
        """End the lab; from any thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    def _perform(self, request: Json) -> object:
        with self.site.lock:
            result = VERBS[request["verb"]](self, request)
            for node in self.cluster.nodes.values():
                node.files.remembered = None
            for machine in self.machines.values():
                machine.turn.notify_all()
        return result

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply: dict[str, object]
        try:
            request = json.loads(await reader.readline())
            reply = {"result": await asyncio.to_thread(self._perform, request)}
            await self._follow_power()
        except (KeyError, ValueError, TypeError, OSError) as problem:
            reply = {"error": f"{type(problem).__name__}: {problem}"}
        writer.write(json.dumps(reply).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()
