"""What is a node's own: its database, corosync's files and key, names, SSH keys, its guests' disks."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pve_lab.formats.guest_config import GuestConfig
from pve_lab.inventory import Plan, config_text
from pve_lab.model.database import Database

from pve_system_lab import inventory
from pve_system_lab.errors import host
from pve_system_lab.inventory import INVENTORY, Node

_AGE = 86400 * 200
"""Seconds since the guests were made."""


@dataclass(frozen=True)
class Keys:
    """The control host's way into the nodes."""

    directory: Path

    @property
    def private(self) -> Path:
        """The private key for root on all nodes."""
        return self.directory / "id_ed25519"

    @property
    def public(self) -> str:
        """The line in authorized_keys."""
        return self.private.with_suffix(".pub").read_text()

    @property
    def known_hosts(self) -> Path:
        """The nodes' host keys."""
        return self.directory / "known_hosts"

    def make(self, nodes: Sequence[Node]) -> None:
        """Make the key and the nodes' host keys."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        _keygen(self.private, "pve-runbook-syslab")
        lines = ""
        for node in nodes:
            _keygen(self.host_key(node), f"root@{node.name}")
            kind, key, *_ = self.host_key(node).with_suffix(".pub").read_text().split()
            lines += f"{node.name},{node.address} {kind} {key}\n"
        self.known_hosts.write_text(lines)

    def host_key(self, node: Node) -> Path:
        """The private host key of a node."""
        return self.directory / f"{node.name}_host_key"


def _keygen(file: Path, comment: str) -> None:
    if not file.exists():
        host("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file))


def guests(node: Node) -> list[tuple[int, Plan]]:
    """The guests of a node."""
    return INVENTORY.of(node.number - 1)


def template(file: Path, nodes: list[Node], public_key: str) -> None:
    """A config.db that all nodes begin with."""
    configs = {}
    for node in nodes:
        for vmid, plan in guests(node):
            folder = "qemu-server" if plan.kind == "qemu" else "lxc"
            configs[f"nodes/{node.name}/{folder}/{vmid}.conf"] = config_text(vmid, plan, int(time.time()) - _AGE)
    database = Database(file)
    database.open()
    now = int(time.time()) - 3600
    for path in inventory.folders(nodes):
        database.mkdir(path, writer=0, mtime=now)
    for path, text in inventory.configuration(nodes, public_key, configs).items():
        database.write(path, text.encode(), writer=1, mtime=now)
    database.close()


def write(upper: Path, node: Node, nodes: list[Node], keys: Keys, database: bytes, authkey: bytes) -> None:
    """Write the node's own files into its upper layer."""
    _put(upper, "etc/hostname", f"{node.name}\n")
    _put(upper, "etc/machine-id", f"{uuid.uuid4().hex}\n")
    _put(upper, "etc/hosts", inventory.hosts(node))
    _put(upper, "etc/resolv.conf", "search lab.local\nnameserver 127.0.0.1\n")
    _put(upper, "etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\nshadow: files\nhosts: files dns\n")
    _put(upper, "etc/network/interfaces", inventory.interfaces(node))
    _put(upper, "etc/corosync/corosync.conf", inventory.corosync_conf(nodes))
    _put(upper, "etc/corosync/authkey", authkey, 0o400)
    (upper / "etc/corosync/uidgid.d").mkdir()
    _put(upper, "etc/ssh/ssh_host_ed25519_key", keys.host_key(node).read_bytes(), 0o600)
    _put(upper, "etc/ssh/ssh_host_ed25519_key.pub", keys.host_key(node).with_suffix(".pub").read_bytes())
    _put(upper, "var/lib/pve-cluster/config.db", database, 0o600)
    ssh = upper / "root/.ssh"
    ssh.mkdir(parents=True)
    for folder in (upper / "root", ssh):
        folder.chmod(0o700)
    (ssh / "authorized_keys").symlink_to("/etc/pve/priv/authorized_keys")


def volumes(node: Node, storages: Mapping[str, Path]) -> None:
    """Write the disks of the node's guests into its storages, which are given by their ids."""
    for vmid, plan in guests(node):
        config = GuestConfig(vmid, plan.kind, node.name, config_text(vmid, plan, 0))
        for volume in config.volumes:
            storage, _, name = volume.partition(":")
            disk = storages[storage] / "images" / name
            disk.parent.mkdir(parents=True)
            disk.touch()
            os.truncate(disk, config.boot_disk_bytes)


def _put(upper: Path, path: str, content: str | bytes, mode: int = 0o644) -> None:
    file = upper / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(mode)
