"""A connection that is begun before anyone logs in: keys are exchanged meanwhile, and open() goes on from there."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from pve_runbook.ssh.errors import ConnectFailed, Failure
from pve_runbook.ssh.exec import execute
from ssh_server import Server, Site

Start = Callable[..., Server]


def test_what_was_begun_is_gone_on_with(server: Server, site: Site) -> None:
    node = site.connection(site.host("pve1", server))
    node.begin()
    assert not node.is_open and node.transport is None
    with node:
        assert execute(node, "echo here", timeout=30).stdout == b"here\n"
    assert server.connections == 1 and len(server.logins) == 1


def test_nobody_is_logged_in_to_before(server: Server, site: Site) -> None:
    node = site.connection(site.host("pve1", server))
    node.begin()
    node.close()
    assert server.ended.wait(30)
    assert server.connections == 1 and server.tried == [] and server.executed == []
    with node:
        assert server.connections == 2


def test_a_key_that_is_not_known_is_refused_before_the_login(server: Server, site: Site) -> None:
    node = site.connection(site.host("pve1", server, trust=False))
    node.begin()
    with pytest.raises(ConnectFailed) as error:
        node.open()
    assert error.value.kind is Failure.UNKNOWN_KEY and server.tried == [] and server.connections == 1


def test_open_says_what_went_wrong_at_the_beginning(site: Site, server: Server) -> None:
    site.host("pve1", server)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        node = site.connection(f"root@pve1:{unheard.getsockname()[1]}")
        node.begin()
        with pytest.raises(ConnectFailed) as error:
            node.open()
    assert error.value.kind is Failure.REFUSED


def test_a_server_that_never_speaks_is_told_from_one_that_is_not_there(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        node = site.connection(f"root@127.0.0.1:{mute.getsockname()[1]}", connect_timeout=0.5)
        node.begin()
        with pytest.raises(ConnectFailed) as error:
            node.open()
    assert error.value.kind is Failure.TIMEOUT and "did not speak SSH" in error.value.reason


def test_a_jump_host_is_not_logged_in_to_before(start: Start, site: Site) -> None:
    bastion, server = start(), start()
    site.host("bastion", bastion)
    node = site.connection(site.host("pve1", server, "ProxyJump bastion"))
    node.begin()
    node.close()
    assert bastion.connections == server.connections == 0
    node.begin()
    with node:
        assert len(bastion.logins) == len(server.logins) == 1
