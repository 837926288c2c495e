"""Access: every node answers as root, and is what it should be."""

from __future__ import annotations

from pve_runbook.work import refusals


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
