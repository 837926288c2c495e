"""A real SSH server on loopback whose commands are real bash processes, with switches for what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import pytest
from bounded import BOUND
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.hosts import parse_hosts

_T = TypeVar("_T")

PASSWORD = "correct horse battery staple"
FREEZE_INSTEAD_OF_ANSWERING = "freeze"
"""As a command: the server stops dead between the request and its answer."""


@pytest.fixture(scope="session")
def keys() -> dict[str, asyncssh.SSHKey]:
    """Key pairs by name: three for hosts, one for the client; generating RSA takes a while, so once."""
    return {
        "host": asyncssh.generate_private_key("ssh-ed25519"),
        "other host": asyncssh.generate_private_key("ssh-ed25519"),
        "rsa host": asyncssh.generate_private_key("ssh-rsa", key_size=2048),
        "client": asyncssh.generate_private_key("ssh-ed25519"),
    }


class Server:
    """One SSH server with its own thread and event loop; `port` is where it listens on 127.0.0.1."""

    def __init__(self, host_keys: list[asyncssh.SSHKey], client_key: asyncssh.SSHKey, env: Mapping[str, str]) -> None:
        self.host_keys = host_keys
        self.env = dict(env)
        self.executed: list[str] = []
        self.tried: list[str] = []
        self.passwords: list[str] = []
        self._logins: list[str] = []
        self.forwarded: list[tuple[str, int]] = []
        self.ended = threading.Event()
        self._client_key = client_key
        self._loop = asyncio.new_event_loop()
        self._links: list[asyncssh.SSHServerConnection] = []
        self._sockets: list[Any] = []
        self._processes: list[asyncio.subprocess.Process] = []
        self._thawed = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sshd", daemon=True)
        self._thread.start()
        self._acceptor = self._do(self._listen())
        self.port: int = self._acceptor.get_port()

    @property
    def connections(self) -> int:
        """How often it was connected to."""
        return len(self._links)

    @property
    def logins(self) -> list[str]:
        """Who logged in, read where it is noted: a client may go on before this thread has noted its login."""

        async def noted() -> list[str]:
            return list(self._logins)

        return self._do(noted())

    def known_hosts_line(self, host: str = "127.0.0.1") -> str:
        """The line that makes this server's first host key known."""
        return f"[{host}]:{self.port} {self.host_keys[0].export_public_key().decode().strip()}\n"

    def freeze(self) -> None:
        """Stop answering, as a stopped sshd does: the kernel still accepts connections and data."""
        frozen = threading.Event()

        def freeze() -> None:
            frozen.set()
            self._thawed.wait(BOUND)

        self._loop.call_soon_threadsafe(freeze)
        assert frozen.wait(30)

    def stop_listening(self) -> None:
        """Refuse new connections; those that are there stay."""
        self._loop.call_soon_threadsafe(self._acceptor.close)

    def drop(self) -> None:
        """Cut every connection without a word."""
        for link in self._links:
            self._loop.call_soon_threadsafe(link.abort)

    def stop(self) -> None:
        self._thawed.set()
        self._do(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=self.host_keys,
            authorized_client_keys=asyncssh.import_authorized_keys(self._client_key.export_public_key().decode()),
            server_factory=lambda: _Login(self),
            encoding=None,
            gss_host=None,
        )

    async def _shut_down(self) -> None:
        self._acceptor.close()
        while rest := asyncio.all_tasks() - {asyncio.current_task()}:
            for link in self._links:
                link.abort()
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait(rest, timeout=0.05)
        for link in self._links:
            link.abort()
        while any(sock.fileno() != -1 for sock in self._sockets):
            await asyncio.sleep(0)  # one round of the loop

    async def run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run one command; the channel ends when its streams have ended, as with OpenSSH."""
        assert process.command is not None
        self.executed.append(process.command)
        child = await asyncio.create_subprocess_exec(
            "bash", "-c", process.command,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self.env, start_new_session=True, limit=1 << 20,
        )  # fmt: skip
        self._processes.append(child)
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
        await asyncio.gather(_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr))
        status = await child.wait()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        if status < 0:
            process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            process.exit(status)


class _Login(asyncssh.SSHServer):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._user = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._server._links.append(conn)
        self._server._sockets.append(conn.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.ended.set()

    def begin_auth(self, username: str) -> bool:
        self._user = username
        self._server.tried.append(username)
        return True

    def auth_completed(self) -> None:
        self._server._logins.append(self._user)

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self._server.passwords.append(password)
        return password == PASSWORD

    def session_requested(self) -> asyncssh.SSHServerProcess[bytes]:
        return _Session(self._server)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        self._server.forwarded.append((dest_host, dest_port))
        return True


class _Session(asyncssh.SSHServerProcess[bytes]):
    def __init__(self, server: Server) -> None:
        super().__init__(server.run, None, 3, False)
        self._server = server

    def exec_requested(self, command: str) -> bool:
        if command == FREEZE_INSTEAD_OF_ANSWERING:
            self._server._thawed.wait(BOUND)
        return super().exec_requested(command)


async def _pump(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Pass a stream on to its end; what the client does not want any more is thrown away."""
    wanted = True
    while data := await source.read(1 << 20):
        if wanted:
            try:
                sink.write(data)
                await sink.drain()
            except (OSError, asyncssh.Error):
                wanted = False


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):  # the command may not read it all
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    sink.close()


@dataclass
class Site:
    """The operator's side: a home of its own with known_hosts, ssh_config and a private key."""

    home: Path
    config_lines: list[str] = field(default_factory=list)

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh" / "known_hosts"

    @property
    def config(self) -> Path:
        return self.home / ".ssh" / "config"

    def host(self, name: str, server: Server, *extra: str, trust: bool = True) -> str:
        """Make `name` mean `server` in ssh_config, its key known unless told otherwise; returns the name."""
        lines = ["HostName 127.0.0.1", f"Port {server.port}", f"IdentityFile {self.home}/.ssh/client", *extra]
        with self.config.open("a") as file:
            file.write("\n    ".join([f"Host {name}", *lines]) + "\n")
        if trust:
            with self.known_hosts.open("a") as file:
                file.write(server.known_hosts_line())
        return name

    def connection(self, name: str, **options: Any) -> Connection:
        options.setdefault("connect_timeout", 30.0)
        return Connection(parse_hosts(name)[0], ConnectOptions(**options))


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, asyncssh.SSHKey]) -> Site:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(mode=0o700, parents=True)
    client_key = home / ".ssh" / "client"
    client_key.write_bytes(keys["client"].export_private_key())
    client_key.chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", getpass.getuser())
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Site(home)


@pytest.fixture
def start(keys: dict[str, asyncssh.SSHKey], tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers: start("host", "rsa host") offers these host keys."""
    started: list[Server] = []

    def start_one(*host_keys: str, env: Mapping[str, str] | None = None) -> Server:
        offered = [keys[name] for name in host_keys or ("host",)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **(env or {})}
        started.append(Server(offered, keys["client"], environment))
        return started[-1]

    yield start_one
    for server in started:
        server.stop()


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    return start()


@pytest.fixture
def node(server: Server, site: Site) -> Iterator[Connection]:
    """An open connection to `server`, as the node pve1."""
    connection = site.connection(site.host("pve1", server))
    connection.open()
    yield connection
    connection.close()
