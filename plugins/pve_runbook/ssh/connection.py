"""One SSH connection a node: ssh_config and login by fabric, host key check, socket and bounds by us.

fabric alone would accept any host key (it never reads known_hosts), open jump hosts just as blindly, leave
Nagle's algorithm on (about 45 ms a command) and wait an hour for a channel.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Self

import fabric
import paramiko

from pve_runbook.ssh import sudo
from pve_runbook.ssh.errors import ConnectFailed, Failure, explain
from pve_runbook.ssh.exec import close_within, execute
from pve_runbook.ssh.host_keys import HostKeyCheck, HostName, known_hosts_of
from pve_runbook.ssh.hosts import Target, TargetError, parse_hosts
from pve_runbook.ssh.transport import CLOSE_SECONDS, GuardedTransport, Known, Reached, Transport

_KEEPALIVE_SECONDS = 15

# paramiko's transport threads log tracebacks; what they mean is in our own exceptions.
_LOG_CHANNEL = "pve_runbook.ssh.paramiko"
logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How nodes are reached and logged in to; what is None is left to ssh_config and its defaults.

    `password` is used for logins to nodes (never to jump hosts), for encrypted private keys and for sudo; it
    is kept in memory only. `connect_timeout` (seconds) bounds each of: TCP connect, SSH banner, key exchange,
    each login.
    """

    ssh_config: str | None = None
    identity_file: str | None = None
    password: str | None = field(default=None, repr=False)
    accept_new_host_keys: bool = False
    sudo: bool = False
    connect_timeout: float = 10.0
    keys: tuple[str, ...] = ()
    """Private keys to log in to the node with before any other, all in one connection."""
    own_keys: bool = True
    """Whether the operator's keys are tried: agent, ssh_config, --ssh-identity-file, ~/.ssh. A node whose /etc/pve is
    not mounted takes none of root's, and OpenSSH 10 bars who tries them a few times."""
    known: Known | None = None
    """Which questions may be sent, and nothing else; None: whatever is asked for."""


class Connection:
    """The connection to one node: open(), execute() on it from any thread, close(). It never reconnects.

    With `options.sudo` every command C is sent as `sudo -n -- sh -c 'C'`, which needs NOPASSWD in sudoers. If
    that is refused and there is a password, it is sent as `sudo -S -k -p '' -- sh -c 'C'` with the password
    as the first line of its input. open() finds out which, with the command `cat`.
    """

    def __init__(
        self,
        target: Target,
        options: ConnectOptions,
        *,
        route: Sequence[Target] | None = None,
        leads_to: tuple[str, ...] = (),
    ) -> None:
        """`route` (jump hosts, first to last) and `leads_to` (hosts beyond) are for jump hosts; by default
        ssh_config's ProxyJump decides.
        """
        self.target = target
        self.options = options
        self._route = route
        self._leads_to = leads_to
        self._fabric: Any = None
        self._gateway: Connection | None = None
        self._sudo: tuple[str, ...] = ()
        self._begun: Future[Reached | None] | None = None
        self._began = 0.0

    @property
    def name(self) -> str:
        """The node's name in ids and messages."""
        return self.target.name

    @property
    def transport(self) -> Any:
        """The paramiko.Transport, or None if open() has not succeeded or close() was called."""
        return None if self._fabric is None else self._fabric.transport

    @property
    def is_open(self) -> bool:
        """Whether the link is up as far as this side knows; a frozen node still counts as up."""
        transport = self.transport
        return transport is not None and bool(transport.is_active())

    def begin(self) -> None:
        """Have the node reached and keys exchanged in the background. Nobody is logged in to anything: what is behind
        a jump host waits for open(), which also says what went wrong.
        """
        self.close()
        self._begun, self._began = Future(), time.monotonic()
        threading.Thread(target=self._fulfil, args=(self._begun,), name="pve-runbook-begin", daemon=True).start()

    def _fulfil(self, begun: Future[Reached | None]) -> None:
        try:
            begun.set_result(self._reach(ahead=True))
        except BaseException as error:
            begun.set_exception(error)

    def open(self) -> None:
        """Connect, check the host key, log in, and find out how sudo works here.

        Goes on from where begin() has come to. Does nothing if the connection is open. Raises ConnectFailed.
        """
        if self.is_open:
            return
        if self._begun is None:
            self.close()
            self._began = time.monotonic()
        started = self._began
        try:
            reached = (self._begun.result() if self._begun is not None else None) or self._reach(ahead=False)
            assert reached is not None
            self._begun = None
            self._log_in(reached)
            self._find_sudo()
        except BaseException as error:
            self.close()
            if isinstance(error, ConnectFailed) or not isinstance(error, Exception):
                raise
            kind, reason, advice = explain(error, time.monotonic() - started, self.options.connect_timeout)
            raise ConnectFailed(self.target, kind, reason, advice) from error

    def close(self) -> None:
        """Close the link and those to its jump hosts; a dead link takes a few seconds, not for ever."""
        begun, self._begun = self._begun, None
        gateway, self._gateway = self._gateway, None
        link, self._fabric = self._fabric, None
        if begun is not None:
            begun.add_done_callback(_let_go)
        if link is not None:
            close_within(link.client.close, CLOSE_SECONDS)
        if gateway is not None:
            gateway.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, command: str, stdin: bytes | None) -> tuple[str, bytes | None]:
        """The command and its input as they are sent: with sudo in front if this connection uses it."""
        if self._sudo == sudo.WITH_PASSWORD:
            stdin = f"{self.options.password}\n".encode() + (stdin or b"")
        return sudo.wrapped(self._sudo, command), stdin

    def _reach(self, *, ahead: bool) -> Reached | None:
        """Connect, begin the exchange of keys. None where, ``ahead`` of open(), a jump host would be logged in to."""
        target, options = self.target, self.options
        config = fabric.Config(runtime_ssh_path=options.ssh_config, lazy=True)
        config.load_ssh_config()
        link = fabric.Connection(target.host, user=target.user, port=target.port, config=config, gateway=False)
        settings: Mapping[str, Any] = link.ssh_config
        hops = self._hops(settings, link.host)
        if hops and ahead:
            return None
        name = HostName(link.host, link.port, settings.get("hostkeyalias"), jumped=bool(hops))
        known_hosts = known_hosts_of(
            settings, name, typed=target.host, user=link.user, accept_new=options.accept_new_host_keys
        )
        make = Transport if options.known is None else partial(GuardedTransport, options.known)
        check = HostKeyCheck(name, known_hosts, options.connect_timeout, make)
        identity_files = self._identity_files(settings)
        sock = self._through(hops, link.host, link.port) if hops else self._directly(link.host, link.port)
        link.client.set_log_channel(_LOG_CHANNEL)
        link.client.set_missing_host_key_policy(check)
        link.connect_timeout = options.connect_timeout
        try:
            transport = check.transport(sock)
            transport.set_log_channel(_LOG_CHANNEL)
            transport.banner_timeout = options.connect_timeout
            transport.begin()
        except BaseException:
            close_within(sock.close, CLOSE_SECONDS)
            raise
        link.connect_kwargs = {
            "sock": sock,
            "transport_factory": lambda sock, **kwargs: transport,
            "banner_timeout": options.connect_timeout,
            "auth_timeout": options.connect_timeout,
            "channel_timeout": options.connect_timeout,
            "password": options.password,
            "key_filename": [*options.keys, *identity_files],
        }
        if not options.own_keys:
            link.connect_kwargs |= {"allow_agent": False, "look_for_keys": False, "key_filename": list(options.keys)}
        return Reached(link, transport, sock)

    def _log_in(self, reached: Reached) -> None:
        """Wait for the keys, check the host's, and log in."""
        try:
            reached.link.open()
        except BaseException:
            reached.close()
            raise
        reached.link.transport.set_keepalive(_KEEPALIVE_SECONDS)
        self._fabric = reached.link

    def _hops(self, settings: Mapping[str, Any], host: str) -> tuple[Target, ...]:
        """The jump hosts, first to last. One that is this host itself (ProxyJump under `Host *`) is left out,
        as ssh does.
        """
        if self._route is not None:
            return tuple(self._route)
        if settings.get("proxycommand") is not None:
            raise self._config("ssh_config has a ProxyCommand for it", "write the way there as ProxyJump HOST")
        words = settings.get("proxyjump", "none")
        if words.lower() == "none":
            return ()
        try:
            hops = tuple(hop for hop in parse_hosts(words) if hop.host not in (host, self.target.host))
        except TargetError:
            raise self._config(
                f"its ProxyJump {words!r} is not readable", "write ProxyJump [user@]host[:port]"
            ) from None
        if any(hop.host in self._leads_to for hop in hops):
            raise self._config(f"its ProxyJump {words!r} goes in a circle", "give the jump host a way without itself")
        return hops

    def _directly(self, host: str, port: int) -> socket.socket:
        sock = socket.create_connection((host, port), timeout=self.options.connect_timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _through(self, hops: Sequence[Target], host: str, port: int) -> Any:
        """A channel through the last jump host, whose host key is checked like any other.

        Jump hosts are logged in to with keys or the agent: a password was typed for the nodes, not for them.
        """
        self._gateway = Connection(
            hops[-1],
            replace(self.options, password=None, sudo=False, keys=(), own_keys=True, known=None),
            route=hops[:-1] or None,
            leads_to=(*self._leads_to, self.target.host),
        )
        try:
            self._gateway.open()
        except ConnectFailed as error:
            reason = f"its jump host {error.target.name} cannot be passed: {error.reason}"
            raise ConnectFailed(self.target, error.kind, reason, error.advice) from error
        try:
            return self._gateway.transport.open_channel(
                "direct-tcpip", (host, port), ("", 0), timeout=self.options.connect_timeout
            )
        except paramiko.ChannelException as error:
            raise ConnectFailed(
                self.target,
                Failure.REFUSED,
                f"its jump host {self._gateway.name} could not connect to {host} port {port}: {error.text}",
                f"on {self._gateway.name}, type: ssh {host} -p {port}",
            ) from error

    def _identity_files(self, settings: Mapping[str, Any]) -> list[str]:
        """--ssh-identity-file first, then ssh_config's; of these, as in ssh, only what exists."""
        asked = self.options.identity_file
        if asked is not None and not os.path.isfile(os.path.expanduser(asked)):
            raise self._config(f"there is no identity file {asked}", "give --ssh-identity-file a private key")
        configured = [os.path.expanduser(file) for file in settings.get("identityfile", [])]
        existing = [file for file in configured if os.path.isfile(file)]
        return existing if asked is None else [os.path.expanduser(asked), *existing]

    def _find_sudo(self) -> None:
        """Choose sudo's options."""
        self._sudo = ()
        if not self.options.sudo:
            return
        ways: list[tuple[str, ...]] = [sudo.WITHOUT_PASSWORD]
        if self.options.password is not None:
            ways.append(sudo.WITH_PASSWORD)
        for way in ways:
            self._sudo = way
            result = execute(self, sudo.TRIAL, timeout=self.options.connect_timeout)
            if result.exit_status == 0 and not result.stdout:
                return
        said = " ".join(result.stderr.decode("utf-8", "replace").split()) or "nothing"
        raise ConnectFailed(
            self.target,
            Failure.SUDO,
            f"sudo is refused there, it said: {said}",
            "log in as root, give the user NOPASSWD in sudoers, or add --ask-password",
        )

    def _config(self, reason: str, advice: str) -> ConnectFailed:
        return ConnectFailed(self.target, Failure.CONFIG, reason, advice)


def _let_go(begun: Future[Reached | None]) -> None:
    """Close what was begun and is not wanted any more, as soon as it is there."""
    if begun.exception() is None and (reached := begun.result()) is not None:
        reached.close()


def begin_all(targets: Sequence[Target], options: ConnectOptions) -> tuple[Connection, ...]:
    """Begin a connection to each: nobody is logged in to, and nothing is asked. Whoever begins them closes them."""
    connections = tuple(Connection(target, options) for target in targets)
    for connection in connections:
        connection.begin()
    return connections


def open_all(
    connections: Sequence[Connection],
    executor: Executor,
    opening: Callable[[Connection], object] = Connection.open,
    then: Callable[[Connection], object] = lambda connection: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> dict[Target, ConnectFailed | None]:
    """Open side by side; for each target, in the order given, None or why it failed.

    `opening` opens one and raises ConnectFailed. `then` is done with each connection as soon as it is open, beside the
    others; `meanwhile` once, in this thread.
    """

    def attempt(connection: Connection) -> ConnectFailed | None:
        try:
            opening(connection)
        except ConnectFailed as error:
            return error
        then(connection)
        return None

    failures = executor.map(attempt, connections)
    meanwhile()
    return {connection.target: failure for connection, failure in zip(connections, failures, strict=True)}
