"""Building the default cluster: files, database, interfaces, guests of every node."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from pathlib import Path

from pve_lab.formats.corosync_conf import render
from pve_lab.inventory import RICH, Inventory, config_text
from pve_lab.model.cluster import Cluster
from pve_lab.model.database import Database
from pve_lab.model.node import CRON_LINK, CRON_TARGET, Node
from pve_lab.model.storage import Mount
from pve_lab.model.version import PVE8, Version
from pve_lab.wiring import MIXED, Wiring

CLUSTER_NAME = "labcluster"
AUTHKEY = hashlib.sha256(b"lab corosync authkey").digest() * 4
JOBS_CFG = (
    "vzdump: backup-07cdf241-8b56\n\tschedule 2:00\n\tall 1\n\tcompress zstd\n\tenabled 1\n\tmode snapshot\n"
    "\tprune-backups keep-last=3\n\tstorage nas\n\n"
    "vzdump: backup-5f2f0c11-22aa\n\tschedule sun 01:00\n\tcompress zstd\n\tenabled 1\n\tmode snapshot\n"
    "\tnode pve1\n\tstorage local\n\tvmid 101,102\n\n"
)


SERVICES_AGE = 5220.0
"""Seconds since the services started, when the lab begins; the kernel booted 5245 s before."""


def _secret(name: str) -> str:
    return f"LAB-SECRET-{name}-{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def keys_and_certificates(names: list[str], public_key: str) -> dict[str, str]:
    """The files of /etc/pve that no probe reads, or may read; `public_key` is the one that may log in."""
    files = {
        "authkey.pub": "-----BEGIN PUBLIC KEY-----\nlab\n-----END PUBLIC KEY-----\n",
        "pve-root-ca.pem": "-----BEGIN CERTIFICATE-----\nlab ca\n-----END CERTIFICATE-----\n",
        "pve-www.key": f"-----BEGIN PRIVATE KEY-----\n{_secret('www')}\n-----END PRIVATE KEY-----\n",
        "priv/authkey.key": f"-----BEGIN RSA PRIVATE KEY-----\n{_secret('ticket')}\n-----END RSA PRIVATE KEY-----\n",
        "priv/pve-root-ca.key": f"-----BEGIN PRIVATE KEY-----\n{_secret('ca')}\n-----END PRIVATE KEY-----\n",
        "priv/shadow.cfg": f"admin:$5${_secret('shadow')}:\n",
        "priv/token.cfg": f"root@pam!ci {_secret('token')}\n",
        "priv/authorized_keys": public_key + "\n",
        "priv/known_hosts": "",
    }
    for name in names:
        files[f"nodes/{name}/pve-ssl.pem"] = f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n"
        files[f"nodes/{name}/pve-ssl.key"] = (
            f"-----BEGIN PRIVATE KEY-----\n{_secret(name)}\n-----END PRIVATE KEY-----\n"
        )
    return files


def _configuration(
    cluster: Cluster, inventory: Inventory, wiring: Wiring, public_key: str, created: int
) -> dict[str, bytes]:
    """All files of /etc/pve."""
    nodes = list(cluster.nodes.values())
    members = [wiring.member(n, i) for i, n in enumerate(nodes)]
    files: dict[str, str] = {
        "corosync.conf": render(CLUSTER_NAME, len(nodes), members),
        "storage.cfg": inventory.storage_cfg,
        "datacenter.cfg": "keyboard: en-us\nmigration: secure,network=10.55.0.0/24\n",
        "user.cfg": "user:root@pam:1:0:::root@lab.local:::\ntoken:root@pam!ci:0:0::\nacl:1:/:root@pam!ci:PVEAuditor:\n",
        "replication.cfg": "local: 102-0\n\ttarget pve2\n\tschedule */15\n\n" if len(nodes) > 1 else "",
        **keys_and_certificates(list(cluster.nodes), public_key),
        "firewall/cluster.fw": "[OPTIONS]\n\nenable: 0\n",
    }
    if cluster.version.scheduler:
        files["jobs.cfg"] = JOBS_CFG
    files["vzdump.cron"] = (
        "# cluster wide vzdump cron schedule\n# Automatically generated file - do not edit\n\n"
        'PATH="/usr/sbin:/usr/bin:/sbin:/bin"\n\n'
        + ("" if cluster.version.scheduler else "0 2 * * *           root vzdump --all 1 --storage nas --quiet 1\n")
    )
    for number, node in enumerate(nodes):
        files[f"nodes/{node.name}/lrm_status"] = json.dumps(
            {
                "mode": "active",
                "results": {},
                "state": "wait_for_agent_lock",
                "timestamp": int(cluster.clock.wall),
            },
            separators=(",", ":"),
        )
        for vmid, plan in inventory.of(number):
            directory = "qemu-server" if plan.kind == "qemu" else "lxc"
            files[f"nodes/{node.name}/{directory}/{vmid}.conf"] = config_text(vmid, plan, created)
    return {path: text.encode() for path, text in files.items()}


@functools.lru_cache(32)
def _database(files: tuple[tuple[str, bytes], ...], names: tuple[str, ...], mtime: int) -> bytes:
    """A config.db with these files of /etc/pve and the directories that pmxcfs makes; most labs begin with the same."""
    with tempfile.TemporaryDirectory(prefix="pve-lab-") as directory:
        path = Path(directory, "config.db")
        make_database(path, dict(files), list(names), mtime)
        return path.read_bytes()


def make_database(file: Path, files: dict[str, bytes], names: list[str], mtime: int) -> None:
    """A config.db with these files of /etc/pve and the directories that pmxcfs makes."""
    database = Database(file)
    database.open()
    directories = [
        "priv",
        "priv/lock",
        "priv/acme",
        "nodes",
        "firewall",
        "ha",
        "mapping",
        "sdn",
        "virtual-guest",
    ]
    for name in names:
        directories += [
            f"nodes/{name}",
            *(f"nodes/{name}/{d}" for d in ("lxc", "qemu-server", "openvz", "priv")),
        ]
    for path in files:
        parents = [p for p in Path(path).parents if p != Path()]
        directories += [str(p) for p in reversed(parents) if str(p) not in directories]
    for number, directory in enumerate(directories):
        database.mkdir(directory, writer=0, mtime=mtime + number)
    for number, (path, data) in enumerate(files.items()):
        database.write(path, data, writer=1, mtime=mtime + 60 + number)
    database.close()


def system_files(node: Node, login_key: str) -> None:
    """What stands on every node's disk, however it is wired."""
    files = node.files
    for directory in (
        "/dev",
        "/tmp",
        "/root/.ssh",
        "/run/qemu-server",
        "/run/systemd/system",
        "/etc/corosync/uidgid.d",
        "/var/lib/corosync",
        "/var/lib/vz/images",
        "/var/lib/vz/private",
        "/var/lib/vz/dump",
        "/var/lib/vz/template/iso",
        "/var/log/pve/tasks",
        "/etc/cron.d",
        "/etc/systemd/system/multi-user.target.wants",
        "/etc/network/interfaces.d",
        "/mnt/pve/nas/images",
        "/mnt/pve/nas/template/iso",
        "/tank/guests",
        "/proc",
        "/sys",
        "/var/lib/pve-manager",
    ):
        files.make_directories(directory)
    files.put("/etc/hostname", f"{node.name}\n")
    files.put("/etc/nsswitch.conf", "passwd:         files systemd\nhosts:          files dns\n")
    files.put("/etc/resolv.conf", "search lab.local\nnameserver 10.55.0.1\n")
    version = node.version
    release = f"{version.debian} ({version.codename})"
    files.put(
        "/etc/os-release",
        f'PRETTY_NAME="Debian GNU/Linux {release}"\nNAME="Debian GNU/Linux"\n'
        f'VERSION_ID="{version.debian}"\nVERSION="{release}"\n'
        f'VERSION_CODENAME={version.codename}\nID=debian\nHOME_URL="https://www.debian.org/"\n'
        'SUPPORT_URL="https://www.debian.org/support"\nBUG_REPORT_URL="https://bugs.debian.org/"\n',
    )
    files.put_link("/etc/pve/priv/authorized_keys", "/root/.ssh/authorized_keys")
    files.put("/root/.ssh/id_rsa.pub", f"ssh-rsa {login_key.split()[1][:20]} root@{node.name}\n")
    files.put("/etc/corosync/authkey", AUTHKEY, 0o400)
    files.put("/etc/cron.d/zfsutils-linux", "PATH=/usr/bin:/bin:/usr/sbin:/sbin\n")
    files.put_link(CRON_TARGET, CRON_LINK)
    files.put("/run/qemu-server/host-hw-capabilities.json", '{"amd-sev":{"cbitpos":0}}\n')


def _mounts(node: Node) -> None:
    node.storages.mounts = [
        Mount("/", "/dev/mapper/pve-root", "ext4", "rw,relatime,errors=remount-ro", 98497780, 16893060),
        Mount("/proc", "proc", "proc", "rw,nosuid,nodev,noexec,relatime"),
        Mount("/sys", "sysfs", "sysfs", "rw,nosuid,nodev,noexec,relatime"),
        Mount("/dev", "udev", "devtmpfs", "rw,nosuid,relatime,size=8128436k,mode=755", 8128436, 0),
        Mount("/run", "tmpfs", "tmpfs", "rw,nosuid,nodev,noexec,relatime,size=1632744k,mode=755", 1632744, 1204),
        Mount("/tank", "tank", "zfs", "rw,xattr,noacl,casesensitive", 940572672, 128),
        Mount("/tank/guests", "tank/guests", "zfs", "rw,xattr,noacl,casesensitive", 940572672, 96),
        Mount(
            "/mnt/pve/nas",
            "10.55.0.9:/export/pve",
            "nfs4",
            "rw,relatime,vers=4.2,rsize=1048576,wsize=1048576,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,"
            f"clientaddr={node.address},local_lock=none,addr=10.55.0.9",
            4198400000,
            1876500480,
        ),
    ]


def build(
    number: int,
    directory: Path,
    epoch: float,
    public_key: str,
    version: Version = PVE8,
    inventory: Inventory = RICH,
    wiring: Wiring = MIXED,
) -> Cluster:
    """A healthy, quorate cluster of `number` nodes; scenarios shape it from there."""
    cluster = Cluster([f"pve{i + 1}" for i in range(number)], directory, epoch, version)
    created = int(epoch) // 86400 * 86400 - 86400 * 200  # by the day: a reset gives the same files again
    for index, node in enumerate(cluster.nodes.values()):
        wiring.wire(node, index)
    files = _configuration(cluster, inventory, wiring, public_key, created)
    template = _database(tuple(files.items()), tuple(cluster.nodes), int(epoch) - 3600)
    for node in cluster.nodes.values():
        system_files(node, public_key)
        node.files.put("/etc/hosts", wiring.hosts(node))
        node.files.put("/etc/network/interfaces", wiring.interfaces(node))
        _mounts(node)
        (node.files.database_directory / "config.db").write_bytes(template)
        node.files.put("/etc/corosync/corosync.conf", files["corosync.conf"])
        node.files.read_only = node.storages.read_only
        node.files.space = node.storages.space
        node.processes.spawn("systemd", ("/sbin/init",), pid=1, age=5245)
    for node in cluster.nodes.values():
        for unit in node.units.table.values():
            if unit.name not in ("pvesr.service", "pve-guests.service"):
                node.units.start_one(unit)
    for index, node in enumerate(cluster.nodes.values()):
        node.journal.backdate(SERVICES_AGE)
        _guests(node, inventory, index)
    cluster.clock.advance(20.0)
    for node in cluster.nodes.values():
        node.pmxcfs.busy_until = 0.0
    return cluster


def _guests(node: Node, inventory: Inventory, index: int) -> None:
    base = "data"
    node.storages.logical_volumes.extend((f"pve/{base}", "pve/root", "pve/swap"))
    node.storages.datasets.extend(("tank", "tank/guests"))
    for vmid, plan in inventory.of(index):
        config = node.guests.config(vmid)
        if config is None:
            raise KeyError(vmid)
        for volume in dict.fromkeys(config.volumes):
            if volume.startswith("nas:"):
                for other in node.cluster.nodes.values():
                    other.storages.add_volume(volume)
            else:
                node.storages.add_volume(volume)
        if plan.running:
            node.guests.spawn(config, age=5100 - vmid % 100)
            node.tasks.record("qmstart" if plan.kind == "qemu" else "vzstart", str(vmid))
    guests = node.units.get("pve-guests")
    guests.active, guests.sub, guests.condition_result = "active", "exited", True
    node.tasks.record("startall", "")
