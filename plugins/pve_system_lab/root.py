"""The Debian root that all nodes share, and another: made once by debootstrap, under a name that tells its content."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pve_system_lab.errors import SystemLabError

CACHE = Path(os.environ.get("PVE_RUNBOOK_SYSLAB_CACHE", "/var/cache/pve-runbook-syslab"))
MIRROR = "http://deb.debian.org/debian"
BASE = ("systemd", "systemd-sysv", "dbus", "iproute2", "procps", "psmisc", "ca-certificates")
PACKAGES = (
    *("openssh-server", "corosync", "sqlite3", "fuse3", "bindfs", "qemu-system-x86"),
    *("python3", "python3-pyfuse3", "python3-trio", "python3-setproctitle"),
    *("nftables", "iptables", "lvm2", "wget", "ssl-cert"),
    "systemd-journal-remote",
)


@dataclass(frozen=True, slots=True)
class Debian:
    """What a root is made of: ``base`` by debootstrap, ``packages`` in it."""

    suite: str
    base: tuple[str, ...]
    packages: tuple[str, ...] = ()


NODES = {8: Debian("bookworm", BASE, PACKAGES), 9: Debian("trixie", BASE, PACKAGES)}
"""The roots of the lab's nodes, by the PVE that is made from that Debian: the same systemd, OpenSSH and corosync."""
OPENSSH_10 = Debian("trixie", ("openssh-server",))
"""The OpenSSH of PVE 9, by itself."""
TRIES = 3
"""How often a download is begun."""
_LAYOUT = "1"
"""Raised when a root of the same packages is made differently."""


def place(cache: Path = CACHE, debian: Debian = NODES[8]) -> Path:
    """Where the root lies, or will lie."""
    content = " ".join((debian.suite, _LAYOUT, *debian.base, *debian.packages))
    return cache / f"{debian.suite}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def ensure(cache: Path = CACHE, mirror: str = MIRROR, debian: Debian = NODES[8]) -> Path:
    """The root, made where it is not there yet (about a minute, 600 MB). Raises SystemLabError."""
    root = place(cache, debian)
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        work = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
        try:
            _build(work, mirror, debian)
            work.chmod(0o755)
            work.rename(root)
            return root
        except SystemLabError:
            if attempt == TRIES:
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise AssertionError("the last try either returns or raises")


def _build(work: Path, mirror: str, debian: Debian) -> None:
    _do("debootstrap", "--variant=minbase", f"--include={','.join(debian.base)}", debian.suite, str(work), mirror)
    policy = work / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "Acquire::Retries=3")
    if debian.packages:
        _do("chroot", str(work), *quiet, "install", "-y", "--no-install-recommends", *debian.packages)
    _do("chroot", str(work), *quiet, "clean")
    left_over = [*work.glob("etc/ssh/ssh_host_*"), *work.glob("var/lib/apt/lists/*_*")]
    for file in (*left_over, work / "etc/corosync/corosync.conf"):
        file.unlink(missing_ok=True)


def _do(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise SystemLabError(f"{argv[0]} ended with {done.returncode}:\n{said}")
