"""The line to a node: it comes back when it is lost, to the same boot of the node only, and by the right key."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import asyncssh
import pytest
from bounded import BOUND
from pve_runbook.cluster.cluster import Cluster
from pve_runbook.cluster.line import LOGIN_SECONDS, LOSSES, RETURN_SECONDS, Line
from pve_runbook.journal import events
from pve_runbook.journal.journal import Journal
from pve_runbook.ssh.connection import ConnectOptions
from pve_runbook.ssh.errors import ConnectFailed, Failure
from pve_runbook.ssh.exec import ConnectionLost, execute
from pve_runbook.ssh.hosts import parse_hosts
from pve_runbook.ssh.transport import Refused
from ssh_server import PASSWORD, Server, Site

SCALE = 0.05
"""Of every bound: 60 s are 3 s here."""


@pytest.fixture
def make(site: Site) -> Iterator[Callable[..., Line]]:
    """Build lines to a node that says a boot id."""
    clusters: list[Cluster] = []

    def make_one(server: Server, boots: list[str], **options: Any) -> Line:
        journal = Journal()
        target = parse_hosts(site.host("pve1", server))
        cluster = Cluster(
            target, ConnectOptions(**options), journal, read_only=False, attempt="run", timeout_scale=SCALE
        )
        clusters.append(cluster)
        line = Line(cluster, cluster.nodes[0].connection, lambda connection: boots.pop(0))
        line.boot = "one"
        line.told = []  # type: ignore[attr-defined]
        cluster.waits.say = lambda node, text: line.told.append(text)  # type: ignore[attr-defined]
        return line

    yield make_one
    for cluster in clusters:
        cluster.close()


def asks(line: Line, losses: list[int], command: str = "echo yes") -> Callable[[int], bytes]:
    """Sends a command over whatever connection the line has, and notes how often the line was lost before."""

    def send(lost: int) -> bytes:
        losses.append(lost)
        return execute(line.connection, command, timeout=BOUND).stdout

    return send


def notes(line: Line) -> list[str]:
    """What the record says of the line."""
    entries = line._run.journal.events
    return [e.event.text for e in entries if isinstance(e.event, events.Note)]


def test_a_line_that_was_cut_is_back_and_the_question_is_asked_again(server: Server, make: Callable[..., Line]) -> None:
    line, losses = make(server, ["one"]), list[int]()
    line.open()
    server.drop()
    assert server.ended.wait(BOUND)
    assert line.carry(asks(line, losses)) == b"yes\n"
    assert losses == [0, 1]
    [note] = notes(line)
    assert note.startswith("the connection was lost and is back after ")
    assert line.told == ["the connection was lost; it is tried again for 3 s", note]  # type: ignore[attr-defined]


def test_a_line_that_carries_questions_alone_comes_back_as_one(server: Server, make: Callable[..., Line]) -> None:
    """What checks/ may send is not more after it."""
    line = make(server, ["one"], known=lambda argv: False)
    line.open()
    server.drop()
    with pytest.raises(Refused):
        line.carry(asks(line, []))
    assert server.executed == []


def test_what_must_not_be_sent_twice_is_not_where_it_may_have_arrived(
    server: Server, make: Callable[..., Line]
) -> None:
    line, losses = make(server, ["one"]), list[int]()
    line.open()

    def send(lost: int) -> bytes:
        losses.append(lost)
        cut = lambda data: server.drop()  # noqa: E731
        return execute(line.connection, "echo begun; sleep 300", timeout=BOUND, on_stdout=cut).stdout

    with pytest.raises(ConnectionLost, match="its outcome is unknown"):
        line.carry(send, repeats=False)
    assert losses == [0]
    assert line.connection.is_open, "what comes next has its line"


def test_a_node_that_was_rebooted_meanwhile_is_not_gone_on_with(server: Server, make: Callable[..., Line]) -> None:
    line, losses = make(server, ["two"]), list[int]()
    line.open()
    server.drop()
    assert server.ended.wait(BOUND)
    for _ in range(2):
        with pytest.raises(ConnectionLost, match=r"it was rebooted meanwhile \(boot id one, now two\)"):
            line.carry(asks(line, losses))
    assert losses == [0, 0] and server.connections == 2


def test_a_line_that_is_lost_again_and_again_ends(server: Server, make: Callable[..., Line]) -> None:
    line, losses = make(server, ["one"] * 9), list[int]()
    line.open()

    def send(lost: int) -> bytes:
        losses.append(lost)
        line.connection.transport.close()
        return execute(line.connection, "true", timeout=BOUND).stdout

    with pytest.raises(ConnectionLost):
        line.carry(send)
    assert losses == list(range(LOSSES + 1))


def test_a_node_that_stays_away_is_tried_for_its_time_and_then_given_up(
    start: Callable[..., Server], make: Callable[..., Line]
) -> None:
    server = start()
    line, losses = make(server, []), list[int]()
    line.open()
    server.stop_listening()
    server.drop()
    started = time.monotonic()
    with pytest.raises(ConnectionLost, match="did not come back: nothing listens on its SSH port"):
        line.carry(asks(line, losses))
    assert time.monotonic() - started >= RETURN_SECONDS * SCALE / 2
    with pytest.raises(ConnectionLost, match="did not come back"):
        line.carry(asks(line, losses))
    assert losses == [0, 0]


def test_logins_that_are_refused_are_few(server: Server, site: Site, make: Callable[..., Line]) -> None:
    """OpenSSH 10 notes 5 s for each, and bars from 15 s on."""
    line, losses = make(server, []), list[int]()
    line.open()
    (site.home / ".ssh" / "client").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    server.drop()
    with pytest.raises(ConnectionLost, match="it refused the login"):
        line.carry(asks(line, losses))
    assert 2 <= server.connections <= 1 + RETURN_SECONDS / LOGIN_SECONDS


def test_while_etc_pve_is_away_only_the_key_of_the_run_is_tried(
    server: Server, site: Site, make: Callable[..., Line]
) -> None:
    line, losses = make(server, ["one"]), list[int]()
    line.open()
    own = site.home / ".ssh" / "client"
    line.key = own.rename(site.home / "second-way-in")
    own.write_bytes(b"not to be read")
    line.is_unmounted = True
    server.drop()
    assert line.carry(asks(line, losses)) == b"yes\n"
    assert not line.connection.options.own_keys and line.connection.options.keys == (str(line.key),)
    assert notes(line)[0].endswith(", by the second key")


def test_without_a_second_key_the_first_login_waits_until_root_s_may_be_back(
    server: Server, make: Callable[..., Line]
) -> None:
    line, losses = make(server, ["one"]), list[int]()
    line.open()
    line.is_unmounted = True
    server.drop()
    started = time.monotonic()
    assert line.carry(asks(line, losses)) == b"yes\n"
    assert time.monotonic() - started >= LOGIN_SECONDS * SCALE


def test_a_key_that_is_gone_is_not_asked_for(server: Server, site: Site, make: Callable[..., Line]) -> None:
    line, losses = make(server, ["one"]), list[int]()
    line.open()
    line.key = site.home / "deleted"
    server.drop()
    assert line.carry(asks(line, losses)) == b"yes\n"


def test_a_password_that_was_typed_brings_the_line_back(server: Server, site: Site, make: Callable[..., Line]) -> None:
    line, losses = make(server, ["one"]), list[int]()
    (site.home / ".ssh" / "client").unlink()
    with pytest.raises(ConnectFailed) as refused:
        line.open()
    assert refused.value.kind is Failure.AUTHENTICATION
    assert line.reopen(ConnectOptions(password=PASSWORD, own_keys=False)) is None
    server.drop()
    assert line.carry(asks(line, losses)) == b"yes\n"
    assert server.passwords == [PASSWORD, PASSWORD]


@pytest.fixture
def dropping() -> Iterator[tuple[int, list[float]]]:
    """A port whose connections are dropped; when each came."""
    came: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drop() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return
                came.append(time.monotonic())

        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        yield listener.getsockname()[1], came
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(BOUND)


def test_a_server_that_drops_connections_is_waited_for_and_is_never_called_dead(
    server: Server, site: Site, make: Callable[..., Line], dropping: tuple[int, list[float]]
) -> None:
    port, came = dropping
    line = make(server, [])
    text = site.config.read_text()
    site.config.write_text(text.replace(f"Port {server.port}", f"Port {port}"))
    with pytest.raises(
        ConnectFailed, match=r"it is up, and its SSH server drops the connection .*, for [23] s; "
    ) as error:
        line.open()
    assert error.value.kind is Failure.DROPPED and len(came) > 5
    back = threading.Timer(0.5, site.config.write_text, [text])
    back.start()
    line.open()
    back.join()
    assert notes(line)[-1].startswith("its SSH server dropped connections for ")
