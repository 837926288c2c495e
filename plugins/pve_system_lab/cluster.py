"""The lab as a whole: up, reset, down; found again by its folder."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from pve_system_lab import content, network, past, standins
from pve_system_lab.container import Container, hierarchies, remove_groups
from pve_system_lab.content import Keys
from pve_system_lab.errors import SystemLabError, on_path, until
from pve_system_lab.inventory import Node
from pve_system_lab.root import CACHE, MIRROR, NODES, ensure

DIRECTORY = Path(os.environ.get("PVE_RUNBOOK_SYSLAB_DIR", "/var/lib/pve-runbook-syslab"))
TOOLS = (
    *("debootstrap", "systemd-nspawn", "nft", "ip", "tc", "nsenter", "ssh-keygen"),
    *("mount", "umount", "losetup", "mkfs.ext4"),
)
MOST_NODES = 9
NEEDS_ROOT = "a system lab needs root"
END = 30
"""Seconds until a process of this machine must have ended."""
READY = 180
"""Seconds until the cluster must be whole and all guests run."""
_FLAP = b"pve_system_lab.flap"
_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_ENOUGH_INSTANCES = 2048
"""Each systemd takes dozens of the 128 that are the default for all of root's."""


def missing() -> str | None:
    """Why this machine cannot have a system lab; None if it can."""
    if os.geteuid() != 0:
        return NEEDS_ROOT
    absent = on_path(TOOLS)
    if absent:
        packages = "debootstrap systemd-container nftables iproute2 e2fsprogs"
        return f"a system lab needs {', '.join(absent)} (Debian: {packages})"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not Path(device).exists():
            return f"a system lab needs {device}"
    try:
        hierarchies()
    except SystemLabError as error:
        return str(error)
    return None


class SystemLab:
    """A lab in a folder."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.directory = directory
        self._file = directory / "lab.json"
        self._instances = directory / "max_user_instances"
        if not self._file.exists():
            raise SystemLabError(f"no system lab is up in {directory}; python -m pve_system_lab up")
        self._known = json.loads(self._file.read_text())
        self.pve: int = self._known["pve"]
        """The release of PVE that its nodes stand for."""
        self.nodes = [Node(number) for number in range(1, self._known["nodes"] + 1)]
        lower = [directory / "standins", Path(self._known["root"])]
        self.nas = directory / "nas"
        """What the nas of all nodes holds."""
        self.containers = {n.name: Container(n, directory / "nodes" / n.name, lower, self.nas) for n in self.nodes}
        self.keys = Keys(directory / "ssh")

    def container(self, name: str) -> Container:
        """The node of that name. Raises SystemLabError."""
        if name not in self.containers:
            raise SystemLabError(f"there is no node {name!r}; there are: {', '.join(self.containers)}")
        return self.containers[name]

    # -- life ---------------------------------------------------------------------------------

    @classmethod
    def up(
        cls, nodes: int = 3, directory: Path = DIRECTORY, cache: Path = CACHE, mirror: str = MIRROR, pve: int = 8
    ) -> SystemLab:
        """Make the lab: a quorate cluster with all its guests. Raises SystemLabError."""
        why_not = missing()
        if why_not is not None:
            raise SystemLabError(why_not)
        if (directory / "lab.json").exists():
            raise SystemLabError(f"a system lab is up in {directory} already; python -m pve_system_lab down")
        root = ensure(cache, mirror, NODES[pve])
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        (directory / "lab.json").write_text(json.dumps({"nodes": nodes, "root": str(root), "pve": pve}))
        lab = cls(directory)
        try:
            lab._make()
        except BaseException:
            lab.down()
            raise
        return lab

    def _make(self) -> None:
        if int(_INSTANCES.read_text()) < _ENOUGH_INSTANCES:
            self._instances.write_text(_INSTANCES.read_text())
            _INSTANCES.write_text(str(_ENOUGH_INSTANCES))
        standins.write(self.directory / "standins", self.pve)
        self.keys.make(self.nodes)
        self.ssh_config.write_text(
            "".join(
                f"Host {node.name}\n  HostName {node.address}\n  User root\n  IdentityFile {self.keys.private}\n"
                f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.keys.known_hosts}\n  HostKeyAlias {node.name}\n\n"
                for node in self.nodes
            )
        )
        network.lay(list(self.containers.values()))
        self._fresh()

    def reset(self) -> None:
        """The cluster that `up` made, again: quorate, all guests run."""
        self._stop()
        network.mend(list(self.containers.values()))
        self._fresh()

    def _fresh(self) -> None:
        self.template.unlink(missing_ok=True)
        content.template(self.template, self.nodes, self.keys.public)
        self.authkey.write_bytes(os.urandom(256))
        database, authkey = self.template.read_bytes(), self.authkey.read_bytes()
        shutil.rmtree(self.nas, ignore_errors=True)
        (self.nas / "images").mkdir(parents=True)
        for container in self.containers.values():
            container.clear()
            content.write(container.upper, container.node, self.nodes, self.keys, database, authkey)
            local = container.upper / "var/lib/vz"
            content.volumes(container.node, {"local": local, "disks": container.disks.place, "nas": self.nas})
        with ThreadPoolExecutor() as pool:
            list(pool.map(Container.boot, self.containers.values()))
        self.wait_quorate()
        self.is_earlier(past.SETTLED)

    def _stop(self) -> None:
        self.end_flapping()
        with ThreadPoolExecutor() as pool:
            list(pool.map(Container.power_off, self.containers.values()))
        for container in self.containers.values():
            container.unmount()

    def down(self) -> None:
        """End it; nothing is left but the cached root."""
        self._stop()
        network.take_away(list(self.containers.values()))
        remove_groups()
        if self._instances.exists():
            _INSTANCES.write_text(self._instances.read_text())
        shutil.rmtree(self.directory)

    @property
    def template(self) -> Path:
        """The database that all nodes begin with."""
        return self.directory / "config.db"

    @property
    def authkey(self) -> Path:
        """Corosync's key of all nodes."""
        return self.directory / "authkey"

    # -- what to type -------------------------------------------------------------------------

    @property
    def ssh_config(self) -> Path:
        """For ssh -F and --ssh-config."""
        return self.directory / "ssh_config"

    @property
    def options(self) -> str:
        """The options for pytest."""
        return f"--hosts={','.join(self.containers)} --ssh-config={self.ssh_config}"

    # -- waiting ------------------------------------------------------------------------------

    def each(self) -> Iterator[Container]:
        """All nodes, in order."""
        yield from self.containers.values()

    def every(self, holds: Callable[[Container], bool], seconds: float, what: str) -> None:
        """Wait until that holds on every node; raises SystemLabError with the name of one where it does not."""
        for container in self.each():
            until(functools.partial(holds, container), seconds, f"{container.node.name}: {what}")

    def wait_quorate(self) -> None:
        """Until every node has quorum and its guests were started."""
        self.every(lambda c: pve_mode(c) == "755", READY, "it gets no quorum")
        self.every(_started, READY, "its guests do not start")
        for container in self.each():
            _start_the_rest(container)
        wanted = sum(plan.running for node in self.nodes for _, plan in content.guests(node))
        self.every(lambda c: _running_as_told(c) == wanted, READY, "it does not hear of all guests")

    def wait_read_only(self) -> None:
        """Until every node has noticed that it has no quorum."""
        self.every(lambda c: pve_mode(c) == "555", READY, "it keeps its quorum")

    def is_earlier(self, seconds: int) -> None:
        """All that the nodes' journals say was so many seconds earlier: in the place of waiting."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(past.move, self.containers.values(), repeat(seconds)))

    # -- flapping -----------------------------------------------------------------------------

    @property
    def flapper(self) -> Path:
        """Holds the pid of the process that makes the link come and go."""
        return self.directory / "flapper.pid"

    def flapping(self) -> int | None:
        """That process; None when there is none, or it has not begun yet."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.flapper.read_text())
            if _FLAP in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def end_flapping(self) -> None:
        """Whoever makes the link come and go is ended, and has laid its hands off the network."""
        pid = self.flapping()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
            until(lambda: self.flapping() is None, END, "the link still comes and goes")
        self.flapper.unlink(missing_ok=True)


def pve_mode(container: Container) -> str:
    """The mode of /etc/pve/local: 755, 555, or empty without /etc/pve."""
    return container.says("stat", "-c", "%a", "/etc/pve/local").strip()


def _started(container: Container) -> bool:
    states = container.says("systemctl", "is-active", "pve-guests", "pvescheduler")
    return states.split() == ["active", "active"]


def _start_the_rest(container: Container) -> None:
    """Those that run and are not started with the node."""
    for vmid, plan in content.guests(container.node):
        if plan.running and not plan.onboot:
            container.run("qm", "start", str(vmid))


def _running_as_told(container: Container) -> int:
    """How many guests of all nodes run, as this node's web UI would show."""
    told = container.says("pvesh", "get", "/cluster/resources", "--output-format", "json")
    return told.count('"status":"running"')


@contextlib.contextmanager
def alone(directory: Path = DIRECTORY) -> Iterator[None]:
    """One command at a time changes the lab. The lock is on the folder above it: no file of it stays behind."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SystemLabError(f"another command works on the system lab in {directory}") from error
    try:
        yield
    finally:
        os.close(lock)
