"""Reaching a node: ssh_config, host keys, logins, jump hosts, sudo, and one clear line for each failure."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
import pytest
from pve_runbook.ssh.batch import run_batch
from pve_runbook.ssh.connection import Connection, ConnectOptions, open_all
from pve_runbook.ssh.errors import ConnectFailed, Failure
from pve_runbook.ssh.exec import execute
from pve_runbook.ssh.transport import CLOSE_SECONDS, Refused
from ssh_server import PASSWORD, Server, Site

Start = Callable[..., Server]


def failure(connection: Connection) -> ConnectFailed:
    """How open() fails; whatever it is, it must be one line and name the node first."""
    with pytest.raises(ConnectFailed) as error:
        connection.open()
    assert not connection.is_open
    assert str(error.value).startswith(connection.name + ": ") and "\n" not in str(error.value)
    return error.value


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """paramiko's transport threads log tracebacks for most of this; none may get through, nor a password."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert [record for record in caplog.records if record.name.startswith(("paramiko", "pve_runbook"))] == []
    assert PASSWORD not in caplog.text


def test_an_alias_of_ssh_config_is_logged_in_to(server: Server, site: Site) -> None:
    with site.connection(site.host("pve1", server, "User operator")) as node:
        assert node.is_open and node.name == "pve1"
        assert execute(node, "echo here", timeout=30).stdout == b"here\n"
    assert server.logins == ["operator"]
    assert not node.is_open


def test_user_and_port_of_the_command_line_win(server: Server, site: Site) -> None:
    site.host("pve1", server, "User operator")
    config = site.config.read_text().replace(f"Port {server.port}", "Port 1")
    site.config.write_text(config)
    with site.connection(f"root@pve1:{server.port}") as node:
        execute(node, "true", timeout=30)
    assert server.logins == ["root"]


def test_another_ssh_config_replaces_the_operators_own(server: Server, site: Site, tmp_path: Path) -> None:
    site.host("pve1", server)
    other = site.config.rename(tmp_path / "other_config")
    site.config.write_text("Host *\n    HostName 127.0.0.1\n    Port 1\n")
    with site.connection("pve1", ssh_config=str(other)) as node:
        assert node.is_open


def test_an_identity_file_of_the_command_line_is_tried(server: Server, site: Site, tmp_path: Path) -> None:
    site.host("pve1", server)
    (site.home / ".ssh" / "client").rename(tmp_path / "key")
    assert failure(site.connection("pve1")).kind is Failure.AUTHENTICATION
    with site.connection("pve1", identity_file=str(tmp_path / "key")) as node:
        assert node.is_open


def test_a_closed_connection_can_be_opened_again_and_closing_twice_is_fine(server: Server, site: Site) -> None:
    node = site.connection(site.host("pve1", server))
    for _ in range(2):
        node.open()
        node.open()
        execute(node, "true", timeout=30)
        node.close()
        node.close()
    assert len(server.logins) == 2


def test_nagle_is_off(node: Connection) -> None:
    assert node.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_an_unknown_host_key_is_refused_before_any_login(server: Server, site: Site) -> None:
    error = failure(site.connection(site.host("pve1", server, trust=False)))
    assert error.kind is Failure.UNKNOWN_KEY
    assert f"ssh-keyscan -p {server.port} -t ed25519 127.0.0.1 >> ~/.ssh/known_hosts" in error.advice
    assert "--accept-new-host-keys" in error.advice
    assert server.tried == []


def test_a_changed_host_key_is_refused_before_any_login(start: Start, site: Site) -> None:
    server, impostor = start("host"), start("other host")
    site.host("pve1", server)
    text = site.known_hosts.read_text()
    site.known_hosts.write_text(text.replace(str(server.port), str(impostor.port)))
    site.config.write_text(site.config.read_text().replace(str(server.port), str(impostor.port)))
    for accept_new in (False, True):
        error = failure(site.connection("pve1", accept_new_host_keys=accept_new, password=PASSWORD))
        assert error.kind is Failure.CHANGED_KEY
        assert "WARNING" in error.reason
        assert f"ssh-keygen -R '[127.0.0.1]:{impostor.port}'" in error.advice
    assert impostor.tried == [] and impostor.passwords == []


def test_a_new_host_key_is_accepted_once_and_then_known(server: Server, site: Site) -> None:
    name = site.host("pve1", server, trust=False)
    with site.connection(name, accept_new_host_keys=True):
        assert site.known_hosts.read_text() == server.known_hosts_line()
    with site.connection(name) as node:
        assert node.is_open


@pytest.mark.parametrize("known", ["host", "rsa host"])
def test_a_node_with_several_keys_shows_the_known_one(
    start: Start, site: Site, keys: dict[str, asyncssh.SSHKey], known: str
) -> None:
    server = start("host", "rsa host")
    site.host("pve1", server, trust=False)
    public = keys[known].export_public_key().decode()
    site.known_hosts.write_text(f"[127.0.0.1]:{server.port} {public}")
    with site.connection("pve1") as node:
        assert node.is_open


def test_a_host_key_alias_is_honoured(server: Server, site: Site) -> None:
    site.host("pve1", server, "HostKeyAlias cluster-node-1", trust=False)
    assert "cluster-node-1" in failure(site.connection("pve1")).reason
    public = server.host_keys[0].export_public_key().decode()
    site.known_hosts.write_text(f"cluster-node-1 {public}")
    with site.connection("pve1") as node:
        assert node.is_open


def test_a_password_logs_in_where_no_key_does(server: Server, site: Site) -> None:
    site.host("pve1", server)
    (site.home / ".ssh" / "client").unlink()
    error = failure(site.connection("pve1"))
    assert error.kind is Failure.AUTHENTICATION and "--ask-password" in error.advice
    assert failure(site.connection("pve1", password="wrong")).kind is Failure.AUTHENTICATION
    with site.connection("pve1", password=PASSWORD) as node:
        assert node.is_open


def test_an_encrypted_key_needs_its_passphrase(server: Server, site: Site, keys: dict[str, asyncssh.SSHKey]) -> None:
    site.host("pve1", server)
    key = site.home / ".ssh" / "client"
    key.write_bytes(keys["client"].export_private_key(passphrase="open sesame", rounds=50))
    error = failure(site.connection("pve1"))
    assert error.kind is Failure.PASSPHRASE
    assert "encrypted" in error.reason and "ssh-add" in error.advice
    with site.connection("pve1", password="open sesame") as node:
        assert node.is_open


def test_a_password_is_not_in_the_text_of_the_options() -> None:
    assert PASSWORD not in repr(ConnectOptions(password=PASSWORD))


def test_a_name_that_does_not_resolve_is_an_unknown_host(site: Site) -> None:
    assert failure(site.connection("no-such-node.invalid")).kind is Failure.UNKNOWN_HOST


def test_a_port_where_nothing_listens_is_refused(site: Site) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        assert failure(site.connection(f"127.0.0.1:{unheard.getsockname()[1]}")).kind is Failure.REFUSED


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a port where the kernel accepts connections and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_node_that_accepts_and_never_answers_costs_one_timeout(mute: str, site: Site) -> None:
    started = time.monotonic()
    assert failure(site.connection(mute, connect_timeout=1.0)).kind is Failure.TIMEOUT
    assert time.monotonic() - started < 6


def test_something_else_than_an_ssh_server_is_named_as_such(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        listener.settimeout(30)

        def answer() -> None:
            link, _ = listener.accept()
            with link:
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answered = thread.submit(answer)
        error = failure(site.connection(f"127.0.0.1:{listener.getsockname()[1]}"))
        answered.result(30)
    assert error.kind is Failure.PROTOCOL


@pytest.mark.parametrize("says", [b"", b"Not allowed at this time\r\n"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_server_that_drops_who_comes_is_up_and_may_have_barred_the_address(
    site: Site, says: bytes, reset: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        listener.settimeout(30)

        def drop() -> None:
            link, _ = listener.accept()
            with link:
                if reset:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif says:
                    link.sendall(says)

        dropped = thread.submit(drop)
        error = failure(site.connection(f"127.0.0.1:{listener.getsockname()[1]}"))
        dropped.result(30)
    assert error.kind is Failure.DROPPED and error.reason.startswith("it is up, ")
    assert "bars this address" in error.advice


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ssh_config": "/no/such/file"}, "/no/such/file"),
        ({"identity_file": "/no/such/key"}, "/no/such/key"),
    ],
)
def test_a_file_that_is_not_there_is_named(server: Server, site: Site, options: dict[str, str], said: str) -> None:
    error = failure(site.connection(site.host("pve1", server), **options))
    assert error.kind is Failure.CONFIG and said in error.reason
    assert server.tried == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ProxyCommand nc %h %p", "write the way there as ProxyJump"),
        ("ProxyJump ,", "ProxyJump [user@]host[:port]"),
        ("this is no setting\n    Match", "ssh -G"),
    ],
)
def test_an_ssh_config_that_cannot_be_followed_is_named(server: Server, site: Site, line: str, said: str) -> None:
    error = failure(site.connection(site.host("pve1", server, line)))
    assert error.kind is Failure.CONFIG and said in error.advice
    assert server.tried == []


def test_a_node_behind_a_jump_host_is_reached_through_it(start: Start, site: Site) -> None:
    bastion, server = start("host"), start("other host")
    site.host("bastion", bastion)
    with site.connection(site.host("pve1", server, "ProxyJump bastion")) as node:
        assert execute(node, "echo here", timeout=30).stdout == b"here\n"
    assert bastion.forwarded == [("127.0.0.1", server.port)]
    assert bastion.executed == [] and len(server.executed) == 1


def test_several_jump_hosts_are_passed_in_order(start: Start, site: Site) -> None:
    first, second, server = start("host"), start("host"), start("other host")
    site.host("first", first)
    site.host("second", second)
    with site.connection(site.host("pve1", server, f"ProxyJump first,operator@second:{second.port}")) as node:
        assert node.is_open
    assert first.forwarded == [("127.0.0.1", second.port)]
    assert second.forwarded == [("127.0.0.1", server.port)]
    assert second.logins == ["operator"]


def test_a_jump_host_with_an_unknown_key_is_not_passed(start: Start, site: Site) -> None:
    bastion, server = start("host"), start("other host")
    site.host("bastion", bastion, trust=False)
    error = failure(site.connection(site.host("pve1", server, "ProxyJump bastion")))
    assert error.kind is Failure.UNKNOWN_KEY and "jump host bastion" in error.reason
    assert bastion.tried == [] and server.tried == []


def test_a_node_with_an_unknown_key_behind_a_jump_host_is_refused_with_a_line_that_works_from_here(
    start: Start, site: Site
) -> None:
    bastion, server = start("host"), start("other host")
    site.host("bastion", bastion)
    error = failure(site.connection(site.host("pve1", server, "ProxyJump bastion", trust=False)))
    assert error.kind is Failure.UNKNOWN_KEY and "ssh-keyscan" not in error.advice
    assert f"echo '{server.known_hosts_line().strip()}' >> ~/.ssh/known_hosts" in error.advice
    assert server.tried == []


def test_the_password_for_nodes_is_not_shown_to_a_jump_host(start: Start, site: Site) -> None:
    bastion, server = start("host"), start("other host")
    site.host("bastion", bastion)
    site.host("pve1", server, "ProxyJump bastion")
    (site.home / ".ssh" / "client").unlink()
    error = failure(site.connection("pve1", password=PASSWORD))
    assert error.kind is Failure.AUTHENTICATION and "jump host bastion" in error.reason
    assert bastion.passwords == []


def test_a_node_that_the_jump_host_cannot_reach_is_refused(start: Start, site: Site) -> None:
    bastion, server = start("host"), start("other host")
    site.host("bastion", bastion)
    name = site.host("pve1", server, "ProxyJump bastion")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        error = failure(site.connection(f"{name}:{port}"))
    assert error.kind is Failure.REFUSED and "bastion" in error.reason


def test_a_jump_host_under_a_wildcard_does_not_jump_through_itself(start: Start, site: Site) -> None:
    bastion, server = start("host"), start("other host")
    site.host("bastion", bastion)
    site.host("pve1", server)
    with site.config.open("a") as file:
        file.write("Host *\n    ProxyJump bastion\n")
    with site.connection("pve1") as node:
        assert node.is_open
    assert len(bastion.logins) == 1


def test_jump_hosts_in_a_circle_are_named(server: Server, site: Site) -> None:
    site.host("one", server, "ProxyJump two")
    site.host("two", server, "ProxyJump three")
    site.host("three", server, "ProxyJump one")
    error = failure(site.connection("one"))
    assert error.kind is Failure.CONFIG and "circle" in error.reason


SUDO = r"""#!/bin/bash
echo "sudo $*" >>"$HOME/sudo.log"
ask=; while [ "$1" != -- ]; do
  case $1 in -n) never=1 ;; -S) ask=1 ;; -p) shift ;; esac; shift
done; shift
if [ "$RULE" = ask ]; then
  [ -n "$never" ] && { echo "sudo: a password is required" >&2; exit 1; }
  IFS= read -r typed; [ "$typed" = "$SECRET" ] || { echo "sudo: 1 incorrect password attempt" >&2; exit 1; }
elif [ "$RULE" = never-reads ]; then
  [ -n "$never" ] && exit 1
fi
SUDO_UID=1 exec "$@"
"""


@pytest.fixture
def with_sudo(start: Start, site: Site, tmp_path: Path) -> Callable[[str], str]:
    """with_sudo("ask") gives a node whose sudo asks for a password; "free" one with NOPASSWD."""

    def make(rule: str) -> str:
        program = tmp_path / "bin" / "sudo"
        program.parent.mkdir()
        program.write_text(SUDO)
        program.chmod(0o755)
        env = {"PATH": f"{program.parent}:/usr/bin:/bin", "RULE": rule, "SECRET": PASSWORD}
        return site.host("pve1", start(env=env))

    return make


@pytest.mark.parametrize(("rule", "password"), [("free", None), ("free", PASSWORD), ("ask", PASSWORD)])
def test_with_sudo_commands_and_their_input_arrive_unchanged(
    with_sudo: Callable[[str], str], site: Site, rule: str, password: str | None
) -> None:
    with site.connection(with_sudo(rule), sudo=True, password=password) as node:
        result = execute(node, 'LC_ALL=C cat; echo "it\'s" $SUDO_UID | cat', timeout=30, stdin=b"line\nline\0\n")
        assert result.stdout == b"line\nline\0\nit's 1\n"
        assert execute(node, "cat; exit 5", timeout=30).exit_status == 5
        assert execute(node, "cat", timeout=30).stdout == b""


@pytest.mark.parametrize(("rule", "password"), [("free", None), ("ask", PASSWORD)])
def test_with_sudo_too_only_known_questions_are_sent(
    with_sudo: Callable[[str], str], site: Site, rule: str, password: str | None
) -> None:
    options = {"sudo": True, "password": password, "known": lambda argv: tuple(argv) == ("id", "-u")}
    with site.connection(with_sudo(rule), **options) as node:
        assert run_batch(node, [("uid", 5, ("id", "-u"))])["uid"].exit_status == 0
        with pytest.raises(Refused):
            run_batch(node, [("uid", 5, ("id", "-g"))])
        with pytest.raises(Refused):
            execute(node, "id -u", timeout=30)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_sudo_that_wants_another_password_is_refused_with_what_it_said(
    with_sudo: Callable[[str], str], site: Site, password: str | None
) -> None:
    error = failure(site.connection(with_sudo("ask"), sudo=True, password=password))
    assert error.kind is Failure.SUDO
    assert ("password is required" if password is None else "incorrect password") in error.reason


def test_sudo_that_would_pass_the_password_on_to_the_command_is_refused(
    with_sudo: Callable[[str], str], site: Site
) -> None:
    error = failure(site.connection(with_sudo("never-reads"), sudo=True, password=PASSWORD))
    assert error.kind is Failure.SUDO and PASSWORD not in str(error)


def test_nodes_are_opened_side_by_side_and_each_failure_stands_beside_its_node(server: Server, site: Site) -> None:
    """Two of them are answered, with what is not SSH, when both have come: one after the other they were silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(5) as threads:
        listener.settimeout(30)

        def answer() -> None:
            links = [listener.accept()[0] for _ in range(2)]
            for link in links:
                with link:
                    link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        both = f"127.0.0.1:{listener.getsockname()[1]}"
        names = [f"root@{both}", site.host("pve1", server), f"admin@{both}", "no-such-node.invalid"]
        connections = [site.connection(name) for name in names]
        done: list[Connection] = []
        answered = threads.submit(answer)
        opened = open_all(connections, threads, then=done.append)
        answered.result(30)
    assert done == [connections[1]]
    assert list(opened) == [connection.target for connection in connections]
    kinds = [None if error is None else error.kind for error in opened.values()]
    assert kinds == [Failure.PROTOCOL, None, Failure.PROTOCOL, Failure.UNKNOWN_HOST]
    connections[1].close()


def test_closing_the_connection_to_a_frozen_node_does_not_hang(server: Server, site: Site) -> None:
    node = site.connection(site.host("pve1", server))
    node.open()
    server.freeze()
    started = time.monotonic()
    node.close()
    assert time.monotonic() - started < 3 * CLOSE_SECONDS
