"""One node: a systemd-nspawn container over an overlay, in a cgroup and a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pve_system_lab.disk import Disk, let_go
from pve_system_lab.errors import SystemLabError, host, until
from pve_system_lab.inventory import DISKS, EXPORT, Node
from pve_system_lab.units import LIBRARY

GROUP = "pve-runbook-syslab"
PACKAGES = Path(__file__).parents[1]
BOOT = 60
"""Seconds until a node's first process must be there."""
ROOT_MIB, DISKS_MIB = 2048, 256
_ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_SECCOMP": "0",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}
_INSIDE = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", "TERM=dumb")


def hierarchies() -> list[Path]:
    """Where cgroups live that a container touches: the unified hierarchy first. Raises SystemLabError without one.

    In an unprivileged container it is there, and read-only.
    """
    found = [p for p in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if (p / "cgroup.procs").exists()]
    if not found or not (found[0] / "cgroup.controllers").exists():
        raise SystemLabError("this machine has no unified cgroup hierarchy (/sys/fs/cgroup/unified)")
    if not os.access(found[0], os.W_OK):
        raise SystemLabError(f"a system lab makes cgroups, and {found[0]} is read-only here")
    named = Path("/sys/fs/cgroup/systemd")
    return [found[0], *([named] if (named / "cgroup.procs").exists() else [])]


class Container:
    """A node's container; its files are under `directory`, those of the nas, which is everybody's, elsewhere."""

    def __init__(self, node: Node, directory: Path, lower: Sequence[Path], nas: Path) -> None:
        self.node = node
        self.directory = directory
        self._lower = lower
        self._nas = nas
        self.disk = Disk(directory / "root.img", directory / "disk", ROOT_MIB)
        """Everything that the node writes is on it."""
        self.disks = Disk(directory / "disks.img", directory / "disks", DISKS_MIB)
        """The storage of that name."""
        self._group = hierarchies()[0] / GROUP / node.name

    @property
    def upper(self) -> Path:
        """What the node has changed or has for its own."""
        return self.disk.place / "upper"

    @property
    def root(self) -> Path:
        """The node's file system, as seen from this machine (without /etc/pve, /proc, /run)."""
        return self.directory / "root"

    @property
    def namespace(self) -> str:
        """The name of its network namespace."""
        return f"{GROUP}-{self.node.name}"

    @property
    def interface(self) -> str:
        """This machine's end of its cable."""
        return f"syslab{self.node.number}"

    # -- life ---------------------------------------------------------------------------------

    def clear(self) -> None:
        """A node without anything of its own."""
        self.unmount()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.root.mkdir(parents=True)
        for disk in (self.disk, self.disks):
            disk.make()
        for name in ("upper", "work"):
            (self.disk.place / name).mkdir(mode=0o755)

    def boot(self) -> None:
        """Power on; returns when its systemd runs."""
        if not os.path.ismount(self.root):
            lower = ":".join(map(str, self._lower))
            layers = f"lowerdir={lower},upperdir={self.upper},workdir={self.disk.place / 'work'}"
            host("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        self._group.mkdir(parents=True, exist_ok=True)
        command = [
            *("systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit", "--capability=all"),
            *("--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=read-only"),
            f"--network-namespace-path=/run/netns/{self.namespace}",
            *("--bind=/dev/fuse", "--bind=/dev/net/tun", f"--bind-ro={PACKAGES}:{LIBRARY}"),
            *(f"--bind={self.disks.place}:{DISKS}", f"--bind={self._nas}:{EXPORT}"),
            *(f"--machine={self.node.name}", f"--directory={self.root}"),
        ]
        join = f'echo $$ > "{self._group}/cgroup.procs" && exec setsid --fork "$@"'
        with (self.directory / "console").open("ab") as console:
            subprocess.run(
                ["sh", "-c", join, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, **_ENVIRONMENT},
                check=True,
            )
        until(lambda: self._init() is not None, BOOT, f"{self.node.name} does not boot, see {console.name}")

    def power_off(self) -> None:
        """Cut the power: every process is killed at once."""
        if self._group.exists():
            (self._group / "cgroup.kill").write_text("1")
            until(lambda: not self.pids(), BOOT, f"{self.node.name} does not end")
        for hierarchy in hierarchies():
            _remove_group(hierarchy / GROUP / self.node.name)

    def power_cycle(self) -> None:
        """Cut the power and boot again with what is on its disk."""
        self.power_off()
        self.boot()

    def unmount(self) -> None:
        """Let go of its file systems."""
        let_go(self.root)
        for disk in (self.disk, self.disks):
            disk.unmount()

    def freeze(self, *, frozen: bool) -> None:
        """Stop all its processes where they stand, or let them go on."""
        (self._group / "cgroup.freeze").write_text("1" if frozen else "0")

    # -- from outside -------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """All its processes, by this machine's numbers."""
        found = []
        for folder, _, _ in os.walk(self._group):  # unlike a glob it goes on when a unit's group vanishes under it
            with contextlib.suppress(OSError):
                found += [int(line) for line in Path(folder, "cgroup.procs").read_text().split()]
        return found

    def named(self, name: str) -> list[int]:
        """Those of its processes that have that name, by this machine's numbers."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text() == f"{name}\n":
                    found.append(pid)
        return found

    def _init(self) -> int | None:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
                if len(inner) > 2 and inner[-1] == "1" and "systemd" in os.readlink(f"/proc/{pid}/exe"):
                    return pid
        return None

    def run(self, *argv: str, timeout: float = 120, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a command on the node as root, past SSH. Raises SystemLabError when the node is off."""
        pid = self._init()
        if pid is None:
            raise SystemLabError(f"{self.node.name} is off")
        enter = ("nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "--", *_INSIDE)
        done = subprocess.run([*enter, *argv], input=stdin, capture_output=True, timeout=timeout, check=False)
        said = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, *said)

    def says(self, *argv: str) -> str:
        """What a command on the node prints; empty when it fails."""
        done = self.run(*argv)
        return done.stdout if done.returncode == 0 else ""


def _remove_group(group: Path) -> None:
    if group.exists():
        for folder in sorted((p for p in group.glob("**") if p.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()


def remove_groups() -> None:
    """Take the lab's own cgroups away, once all nodes are off."""
    for hierarchy in hierarchies():
        _remove_group(hierarchy / GROUP)
