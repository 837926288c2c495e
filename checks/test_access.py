"""Access: every node answers as root, and is what it should be."""

from __future__ import annotations

from pve_runbook.work.refusal import refusal


def test_login_is_root(host):
    """The login acts as root."""
    assert host.pve.is_root, refusal(
        host.pve.node,
        seen="the login is not root",
        why="Proxmox's tools answer only root",
        do="Log in as root (root@NODE in --hosts), or give --sudo",
    )


def test_is_proxmox_we_know(host):
    """The node runs Proxmox VE 7, 8 or 9."""
    version = host.pve.version
    assert 7 <= version.major <= 9, refusal(
        host.pve.node,
        seen=f"this is Proxmox VE {version.full}",
        why="what these checks read is known for 7, 8 and 9 only",
        do="Read this node by hand",
    )


def test_every_node_is_named_once(cluster):
    """No two entries of --hosts lead to the same node."""
    seen = {}
    for node in cluster.nodes:
        key = (node.facts.hostname, node.facts.boot_id)
        assert key not in seen, refusal(
            node.name,
            seen=f"this is {key[0]}, the same node as {seen[key]}",
            why="what one node says would be counted twice",
            do=f"Leave {node.name} or {seen[key]} out of --hosts",
        )
        seen[key] = node.name
