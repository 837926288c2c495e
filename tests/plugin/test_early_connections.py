"""Checks reach their nodes while they are collected, and only once the command line is judged."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

Write = Callable[[pytest.Pytester, str, str], None]


@pytest.fixture
def node() -> Iterator[socket.socket]:
    """Something that listens like a node, and never speaks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def hosts(node: socket.socket) -> str:
    """The option that names it."""
    return f"--hosts=root@127.0.0.1:{node.getsockname()[1]}"


def was_reached(node: socket.socket) -> bool:
    """Whether somebody connected; whoever did has gone away again."""
    try:
        link, _ = node.accept()
    except BlockingIOError:
        return False
    with link:
        link.settimeout(30)
        while link.recv(4096):
            pass
    return True


@pytest.fixture
def left_behind() -> Callable[[], list[str]]:
    """Our threads since the test began that do not end; paramiko's takes a moment to see that it was closed."""
    others = set(threading.enumerate())

    def look() -> list[str]:
        new = [t for t in threading.enumerate() if t not in others]
        ours = [t for t in new if "Transport" in type(t).__name__ or t.name.startswith("pve-")]
        for thread in ours:
            thread.join(30)
        return [thread.name for thread in ours if thread.is_alive()]

    return look


def test_a_node_is_let_go_where_the_checks_cannot_be_collected(
    project: pytest.Pytester, write: Write, node: socket.socket, left_behind: Callable[[], list[str]]
) -> None:
    write(project, "checks/test_broken.py", "import nothing_of_that_name\n")
    ran = project.runpytest("checks/", hosts(node))
    assert ran.ret == 2, ran.outlines
    assert left_behind() == [] and was_reached(node)


@pytest.mark.parametrize(
    "option", ["--ticket=../x", "--connection=ssh", "--since=x", "--collect-only", "--help", "--markers"]
)
def test_nothing_is_sent_where_nothing_will_run(
    project: pytest.Pytester, node: socket.socket, left_behind: Callable[[], list[str]], option: str
) -> None:
    project.runpytest("checks/", hosts(node), option)
    assert left_behind() == [] and not was_reached(node)


def test_a_runbook_is_judged_as_a_whole_before(project: pytest.Pytester, node: socket.socket) -> None:
    assert project.runpytest("runbook/", hosts(node), "-k", "three").ret == 4
    assert not was_reached(node)
