"""The guests and files of the system lab's cluster: those of the recorded cluster, and one container that runs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from pve_lab.formats.corosync_conf import Member, render
from pve_lab.inventory import Inventory, Plan

CLUSTER = "labcluster"
CONFIG_VERSION = 3
GATEWAY = "10.55.0.1"
"""The lab's bridge on this machine."""
DISKS = "/mnt/disks"
"""Where a node's second disk is mounted."""
NAS, EXPORT = "/mnt/pve/nas", "/srv/nas"
"""Where a node mounts the nas, and what it mounts there."""
STORAGE_CFG = f"""dir: local
\tpath /var/lib/vz
\tcontent iso,vztmpl,backup,images,rootdir

dir: disks
\tpath {DISKS}
\tcontent images,rootdir
\tis_mountpoint 1

nfs: nas
\texport {EXPORT}
\tpath {NAS}
\tserver {GATEWAY}
\tcontent images

"""
_DISK = "local:ID/vm-ID-disk-0.raw,size=16M"
_DISKS = "disks:ID/vm-ID-disk-0.raw,size=16M"
_NAS = "nas:ID/vm-ID-disk-0.raw,size=16M"
_ROOTFS = "local:ID/vm-ID-disk-0.raw,size=8M"


def _vm(offset: int, name: str, disk: str = _DISK, *, onboot: bool = True) -> Plan:
    return Plan(offset, "qemu", name, running=True, onboot=onboot, memory=32, disks=(f"scsi0: {disk}",))


def _container(offset: int, name: str, *, running: bool) -> Plan:
    return Plan(offset, "lxc", name, running, onboot=running, memory=64, disks=(f"rootfs: {_ROOTFS}",))


INVENTORY = Inventory(
    STORAGE_CFG,
    (
        (_vm(1, "web", _DISKS), _vm(2, "db"), _container(10, "dns", running=True), _container(90, "ct", running=False)),
        (
            _vm(1, "mail", _DISKS),
            _vm(2, "ci"),
            _vm(3, "build", _NAS, onboot=False),
            _container(90, "ct", running=False),
        ),
        (_vm(1, "monitor", _DISKS), _vm(2, "git"), _container(90, "ct", running=False)),
    ),
)
JOBS_CFG = (
    "vzdump: backup-07cdf241-8b56\n\tschedule 2:00\n\tall 1\n\tcompress zstd\n\tenabled 1\n\tmode snapshot\n"
    "\tprune-backups keep-last=3\n\tstorage local\n\n"
)


@dataclass(frozen=True)
class Node:
    """A node: `number` from 1; its address is on the bridge of the lab."""

    number: int

    @property
    def name(self) -> str:
        """Its host name."""
        return f"pve{self.number}"

    @property
    def address(self) -> str:
        """Its address for SSH and for corosync."""
        return f"10.55.0.{10 + self.number}"


def corosync_conf(nodes: list[Node]) -> str:
    """corosync.conf as PVE writes it."""
    members = [Member(node.name, node.number, 1, node.address) for node in nodes]
    return render(CLUSTER, CONFIG_VERSION, members)


def hosts(node: Node) -> str:
    """/etc/hosts as the installer writes it: `pvecm add` adds no peer's name."""
    return f"127.0.0.1 localhost.localdomain localhost\n{node.address} {node.name}.lab.local {node.name}\n"


def interfaces(node: Node) -> str:
    """/etc/network/interfaces."""
    return (
        "auto lo\niface lo inet loopback\n\niface eno1 inet manual\n\nauto vmbr0\niface vmbr0 inet static\n"
        f"\taddress {node.address}/24\n\tgateway {GATEWAY}\n\tbridge-ports eno1\n\tbridge-stp off\n\tbridge-fd 0\n"
        "\nsource /etc/network/interfaces.d/*\n"
    )


def configuration(nodes: list[Node], public_key: str, configs: dict[str, str]) -> dict[str, str]:
    """All files of /etc/pve; `configs` are the guests'."""
    files = {
        "corosync.conf": corosync_conf(nodes),
        "storage.cfg": STORAGE_CFG,
        "datacenter.cfg": "keyboard: en-us\n",
        "user.cfg": "user:root@pam:1:0:::root@lab.local:::\n",
        "jobs.cfg": JOBS_CFG,
        "vzdump.cron": '# cluster wide vzdump cron schedule\n\nPATH="/usr/sbin:/usr/bin:/sbin:/bin"\n\n',
        "authkey.pub": "-----BEGIN PUBLIC KEY-----\nlab\n-----END PUBLIC KEY-----\n",
        "pve-root-ca.pem": "-----BEGIN CERTIFICATE-----\nlab ca\n-----END CERTIFICATE-----\n",
        "priv/authkey.key": "-----BEGIN RSA PRIVATE KEY-----\nlab\n-----END RSA PRIVATE KEY-----\n",
        "priv/authorized_keys": public_key,
        "priv/known_hosts": "",
        "firewall/cluster.fw": "[OPTIONS]\n\nenable: 0\n",
        **configs,
    }
    status = {"mode": "active", "results": {}, "state": "wait_for_agent_lock", "timestamp": int(time.time())}
    for node in nodes:
        files[f"nodes/{node.name}/pve-ssl.pem"] = (
            f"-----BEGIN CERTIFICATE-----\n{node.name}\n-----END CERTIFICATE-----\n"
        )
        files[f"nodes/{node.name}/lrm_status"] = json.dumps(status, separators=(",", ":"))
    return files


def folders(nodes: list[Node]) -> list[str]:
    """All folders of /etc/pve, parents first."""
    found = ["priv", "priv/lock", "priv/acme", "nodes", "firewall", "ha", "mapping", "sdn", "virtual-guest"]
    for node in nodes:
        own = f"nodes/{node.name}"
        found += [own, *(f"{own}/{name}" for name in ("lxc", "qemu-server", "openvz", "priv"))]
    return found
