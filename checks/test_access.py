"""Access: every node answers as root, and is what it should be."""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import refusals
from pve_runbook.diagnosis.agreement import clocks_apart
from pve_runbook.probes import checks_only
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal


def test_login_is_root(host):
    """The login acts as root."""
    assert host.pve.is_root, refusals.not_root(host.pve)


def test_is_proxmox_we_know(host):
    """The node runs Proxmox VE 7, 8 or 9."""
    version = host.pve.version
    assert version is not None and version.major in (7, 8, 9), refusals.not_known_proxmox(host.pve)


def test_every_node_is_named_once(cluster):
    """No two entries of --hosts lead to the same node."""
    seen = {}
    for node in cluster.nodes:
        key = (node.facts.hostname, node.facts.boot_id)
        assert key not in seen, refusals.same_node(node.name, seen.get(key, ""), key[0])
        seen[key] = node.name


def test_clocks_agree(cluster):
    """The nodes' clocks agree."""
    problem = clocks_apart(cluster.clock_offsets())
    assert not problem, problem


def test_there_is_space(host):
    """There is space for the configuration database."""
    assert not host.pve.read_only_places, refusals.read_only_place(host.pve)
    for where in host.pve.free_space:
        enough = where.target == "/run" or where.available_kib >= 65_536
        assert enough, refusals.no_space(host.pve, where.target, where.available_kib)


def test_a_second_way_in_would_hold(host, members):
    """A login would work while /etc/pve, where root's keys are, is not mounted; judged by reading."""
    if not members.logs_in_as_root:
        pytest.skip("the login is not root's own: it does not hang on /etc/pve")
    logins = host.pve.get(checks_only.SSHD)
    assert logins.root_password or logins.reads_second_file, refusal(
        RefusalId.NO_LOGIN_WITHOUT_PVE,
        host.pve.node,
        seen=f"sshd takes no password of root's, and keys from {' '.join(logins.key_files)} only",
        why="root's authorized_keys is a link into /etc/pve: nobody gets in while that is not mounted",
        do="Let sshd read .ssh/authorized_keys2 too (AuthorizedKeysFile), or have the console at hand",
    )
