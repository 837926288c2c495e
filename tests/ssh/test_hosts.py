"""What --hosts may say."""

from __future__ import annotations

import pytest
from pve_runbook.ssh.hosts import Target, TargetError, parse_hosts


@pytest.mark.parametrize(
    ("entry", "target"),
    [
        ("pve1", Target("pve1", None, None, "pve1")),
        ("root@pve1", Target("pve1", "root", None, "pve1")),
        ("root@pve1:2222", Target("pve1:2222", "root", 2222, "pve1")),
        ("ssh://root@pve1:2222", Target("pve1:2222", "root", 2222, "pve1")),
        ("ssh://pve1/", Target("pve1", None, None, "pve1")),
        ("SSH://pve1", Target("pve1", None, None, "pve1")),
        ("10.0.0.2:22", Target("10.0.0.2:22", None, 22, "10.0.0.2")),
        ("[2001:db8::1]:22", Target("[2001:db8::1]:22", None, 22, "2001:db8::1")),
        ("root@[2001:db8::1]", Target("2001:db8::1", "root", None, "2001:db8::1")),
        ("2001:db8::1", Target("2001:db8::1", None, None, "2001:db8::1")),
        ("fe80::1%eth0", Target("fe80::1%eth0", None, None, "fe80::1%eth0")),
        ("admin@pam@pve1.example.org", Target("pve1.example.org", "admin@pam", None, "pve1.example.org")),
    ],
)
def test_an_entry_is_read_as_user_host_and_port(entry: str, target: Target) -> None:
    assert parse_hosts(entry) == (target,)


def test_commas_and_repeated_options_make_one_list_in_the_order_given() -> None:
    assert [target.name for target in parse_hosts(["pve3,root@pve1", "ssh://pve2"])] == [
        "pve3",
        "pve1",
        "pve2",
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("docker://pve1", "not docker"),
        ("local://", "not local"),
        ("ansible://all", "not ansible"),
        ("salt://pve1", "not salt"),
        ("paramiko://pve1", "not paramiko"),
        ("safe-ssh://pve1", "not safe-ssh"),
        ("", "empty entry"),
        ("pve1,,pve2", "empty entry"),
        ("pve1,", "empty entry"),
        ("pve1, pve2", "white space"),
        ("pve1\n", "white space"),
        ("pve\x00", "control character"),
        ("pve1\x1b[31m", "control character"),
        ("-oProxyCommand=reboot", "does not name a host"),
        ("root@-pve1", "does not name a host"),
        ("-l@pve1", "no usable user"),
        ("@pve1", "no usable user"),
        ("root@", "does not name a host"),
        ("ssh://", "does not name a host"),
        ("pve1:", "has the port ''"),
        ("pve1:0", "has the port '0'"),
        ("pve1:65536", "has the port '65536'"),
        ("pve1:ssh", "has the port 'ssh'"),
        ("pve1:²", "has the port '²'"),
        ("[2001:db8::1", "no IPv6 address"),
        ("[pve1]:22", "no IPv6 address"),
        ("[2001:db8::1]22", "no IPv6 address"),
        ("pve1/etc", "does not name a host"),
        ("pve..1", "does not name a host"),
        ("p" * 64, "does not name a host"),
        ("$(reboot)", "does not name a host"),
    ],
)
def test_anything_else_is_refused_in_one_line(entry: str, said: str) -> None:
    with pytest.raises(TargetError) as refusal:
        parse_hosts(entry)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value) and "\x1b" not in str(refusal.value)


def test_an_empty_list_is_refused_with_what_to_write() -> None:
    with pytest.raises(TargetError, match="write --hosts=pve1"):
        parse_hosts([])


def test_a_password_in_an_entry_is_refused_and_not_repeated() -> None:
    with pytest.raises(TargetError, match="--ask-password") as refusal:
        parse_hosts("root:secret@pve1")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("spec", ["pve1,pve1", "root@pve1:22,ssh://root@PVE1:22", "[::1],::1"])
def test_the_same_node_twice_is_refused(spec: str) -> None:
    with pytest.raises(TargetError, match="twice"):
        parse_hosts(spec)


def test_one_host_with_two_ports_is_two_nodes() -> None:
    assert len(parse_hosts("pve1:2221,pve1:2222")) == 2
