"""Which database wins when nodes meet again, and what it costs the others."""

from __future__ import annotations

from pve_runbook.parsers.config_db import ConfigTree
from pve_runbook.procedure.config_db_diff import Database
from pve_runbook.procedure.database_merge import SHOWN, Meeting

HOSTNAMES = {"one": "pve1", "two": "pve2"}


def database(version: int, mtime: int, files: dict[str, bytes]) -> Database:
    """A node's database; every file was written in its first version."""
    return Database(ConfigTree(version, mtime, 1, files), dict.fromkeys(files, 1))


def guest(vmid: int, node: str, text: bytes = b"memory: 512\n") -> dict[str, bytes]:
    """A guest's configuration file."""
    return {f"nodes/{node}/qemu-server/{vmid}.conf": text}


def test_highest_version_wins_then_latest_write() -> None:
    """As dcdb.c compares: the version, then the time of the last write."""
    assert Meeting({"one": database(7, 1, {}), "two": database(6, 9, {})}, HOSTNAMES).newest == "one"
    assert Meeting({"one": database(7, 1, {}), "two": database(7, 9, {})}, HOSTNAMES).newest == "two"


def test_nobody_meets() -> None:
    """Without members there is no winner and nothing to lose."""
    meeting = Meeting({}, {})
    assert (meeting.newest, meeting.lost_guests(), meeting.differences()) == ("", [], [])


def test_guest_that_only_its_own_node_knows_is_lost() -> None:
    """The winner lacks 201, and has another configuration of 202; 203 is the same for both."""
    own = guest(201, "pve2") | guest(202, "pve2", b"memory: 1024\n") | guest(203, "pve2")
    meeting = Meeting(
        {"one": database(9, 1, guest(202, "pve2") | guest(203, "pve2")), "two": database(3, 1, own)}, HOSTNAMES
    )
    assert meeting.lost_guests() == ["201 of two", "202 of two"]


def test_guest_of_another_node_is_not_lost_with_the_loser() -> None:
    """What a loser knows of the winner's own guests does not count."""
    meeting = Meeting({"one": database(9, 1, {}), "two": database(3, 1, guest(101, "pve1"))}, HOSTNAMES)
    assert meeting.lost_guests() == []


def test_overwritten_files_are_named_and_long_lists_cut() -> None:
    """Per node, the first few paths and how many more."""
    files = {f"firewall/{n}.fw": b"" for n in range(SHOWN + 2)}
    meeting = Meeting({"one": database(9, 1, {}), "two": database(3, 1, files)}, HOSTNAMES)
    named = ", ".join(f"firewall/{n}.fw (missing)" for n in range(SHOWN))
    assert meeting.differences() == [f"on two: {named} and 2 more"]
