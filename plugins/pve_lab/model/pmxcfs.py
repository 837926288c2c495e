"""pmxcfs: the process that serves /etc/pve from the configuration database.

Behaviour from pve-cluster's src/pmxcfs (pmxcfs.c, quorum.c, dcdb.c, cfs-plug-memdb.c), times as recorded on PVE 8.3.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from pve_lab.formats import corosync_conf
from pve_lab.model.corosync import CONFIG, Corosync
from pve_lab.model.file_answers import no_such_file, os_error
from pve_lab.model.host import Host
from pve_lab.model.pmxcfs_view import PmxcfsView, stamps_of

TERMINATION = 1.5
"""Seconds that process and mount outlive a TERM."""
BUSY = 6.0
"""Seconds that writes answer EBUSY after quorum returned."""
LAG = 1.0
"""Seconds until pmxcfs notices that corosync died."""
RETRY = 6.0
"""Seconds between two attempts to reach corosync."""
LOCK_WAIT = 10.0
"""Seconds that a second pmxcfs waits for the lock of the first."""
LOCK_TEXT = (
    "[main] notice: unable to acquire pmxcfs lock - trying again\n"
    "[main] crit: unable to acquire pmxcfs lock: Resource temporarily unavailable\n"
    "[main] notice: exit proxmox configuration filesystem (-1)\n"
)


class PmxcfsSurroundings(Protocol):
    """What a pmxcfs reaches, and tells, beyond its own node's corosync."""

    def pmxcfs_of_all(self) -> Iterable[Pmxcfs]:
        """The pmxcfs of every node of the cluster, the own one too."""

    def synchronise(self) -> None:
        """It joins the group of its corosync's membership: the members' databases become equal."""

    def quorum_lost(self) -> None:
        """/etc/pve is read-only from now on."""

    def quorum_returned(self) -> None:
        """Locks in /etc/pve can be renewed again."""

    def quorum_granted(self) -> None:
        """What waited for /etc/pve to be writable may go on."""

    def configuration_changed(self) -> None:
        """The guests or HA files of the database may be others than before."""


class Pmxcfs(PmxcfsView):
    """The pmxcfs of one node: its life, its quorum, and changes of the configuration."""

    def __init__(self, host: Host, corosync: Corosync, surroundings: PmxcfsSurroundings) -> None:
        super().__init__(host, corosync, surroundings.pmxcfs_of_all)
        self.surroundings = surroundings
        host.files.view = self

    # -- life --------------------------------------------------------------------------------

    def start(self, argv: tuple[str, ...]) -> tuple[int, str, float]:
        """Start the daemon: exit status, what it prints on stderr, seconds it takes.

        Waits for the lock of another pmxcfs that is about to end, at most 10 s.
        """
        host = self.host
        local = "-l" in argv[1:]
        waited = 0.0
        text = ""
        if self.mounted:
            if self.ends is None or self.ends - host.clock.now > LOCK_WAIT:
                return 255, LOCK_TEXT, LOCK_WAIT
            waited = max(self.ends - host.clock.now, 0.0) + 1.0
            text = "[main] notice: unable to acquire pmxcfs lock - trying again\n"
            host.clock.advance(waited)
        address = host.resolve(host.hostname)
        if address is None or address.startswith("127."):
            return (
                255,
                text
                + (
                    f"[main] crit: Unable to resolve node name '{host.hostname}' to a non-loopback IP address - "
                    "missing entry in '/etc/hosts' or DNS?\n"
                ),
                0.1,
            )
        if host.version.resolved_line:
            text += f"[main] notice: resolved node name '{host.hostname}' to '{address}' for default node IP address\n"
        try:
            self._open_database(local)
        except sqlite3.DatabaseError:
            return (
                255,
                text + "[main] crit: memdb_open failed - unable to open database '/var/lib/pve-cluster/config.db'\n",
                0.2,
            )
        has_conf = self.database.get("corosync.conf") is not None
        if local and has_conf:
            text += "[main] notice: forcing local mode (although corosync.conf exists)\n"
        host.files.dead_mounts = max(host.files.dead_mounts - 1, 0)
        self.pid = host.processes.spawn("pmxcfs", argv).pid
        self.started = host.clock.now
        self.nodename = host.hostname
        self.clustered = has_conf and not local
        self.corosync_seen = False
        self.quorate = not self.clustered
        self.busy_until = 0.0
        self.peers_seen = {host.name}
        self.members_version = 0
        self._mount()
        if self.clustered:
            self._write_corosync_conf()
            self.surroundings.synchronise()
            self._take_quorum()
            self._try_corosync()
        self.configuration_changed()
        if self.quorate:
            self.surroundings.quorum_granted()
        return 0, text, 1.05

    def _open_database(self, local: bool) -> None:
        self._lock_file.touch()
        missing = not self.database.file.exists()
        self.database.open()
        if missing and not local and self.host.files.exists(CONFIG):
            self.database.write("corosync.conf", self.host.files.read(CONFIG), writer=0, mtime=int(self.host.wall))

    def _write_corosync_conf(self) -> bool:
        """In cluster mode the database's corosync.conf is written to /etc/corosync; whether it was."""
        wanted = self.database.data("corosync.conf")
        if wanted is None:
            return False
        files = self.host.files
        present = files.read(CONFIG) if files.exists(CONFIG) else None
        version = corosync_conf.parse(wanted.decode(errors="replace")).config_version
        if present == wanted:
            return False
        if present is not None and corosync_conf.parse(present.decode(errors="replace")).config_version > version:
            self._log("[dcdb] crit: local corosync.conf is newer", 2)
            return False
        files.put(CONFIG, wanted)
        self._log(f"[dcdb] notice: wrote new corosync config '{CONFIG}' (version = {version})", 5)
        return True

    def terminate(self, delay: float = TERMINATION) -> None:
        """TERM: the process and the mount are gone `delay` seconds later."""
        if not self.mounted:
            return
        if self.ends is None or self.ends > self.host.clock.now + delay:
            self.ends = self.host.clock.now + delay
            pid = self.pid
            self.host.clock.after(delay, lambda: self._gone(pid))

    def _gone(self, pid: int) -> None:
        if self.pid == pid and self.ends is not None and self.ends <= self.host.clock.now + 1e-6:
            self.end()

    def end(self) -> None:
        """The process is gone, /etc/pve is not mounted."""
        if not self.mounted:
            return
        pid, self.pid, self.ends = self.pid, 0, None
        self.quorate = self.clustered = False
        self.database.close()
        self.host.files.hung.discard("/etc/pve")
        self._unmount()
        self.host.processes.end(pid)
        for other in self.surroundings.pmxcfs_of_all():
            if other.in_cluster:
                other.members_changed()

    def crash(self) -> None:
        """KILL: the mount stays without a server, the database's log stays beside it (pmxcfs.c; SQLite)."""
        if not self.mounted:
            return
        logs = {f: f.read_bytes() for end in ("-wal", "-shm") if (f := self._beside(end)).exists()}
        self.end()
        for file, data in logs.items():
            file.write_bytes(data)
        self.host.files.dead_mounts += 1

    @property
    def _lock_file(self) -> Path:
        return self.database.file.with_name(".pmxcfs.lockfile")

    def _beside(self, end: str) -> Path:
        return self.database.file.with_name(self.database.file.name + end)

    # -- quorum ------------------------------------------------------------------------------

    def saw_corosync(self) -> None:
        """The cluster connection stands: .members now lists the nodes."""
        self.corosync_seen = True
        self.members_changed()

    def members_changed(self) -> None:
        """.members is another one than before."""
        self.members_version += 1

    def corosync_died(self) -> None:
        """Quorum is lost; pmxcfs notices it within a second."""
        if self.mounted and self.clustered:
            self._log("[quorum] crit: quorum_dispatch failed: 2", 2)
            self.host.clock.after(LAG, self._follow_quorum)

    def _try_corosync(self) -> None:
        """Without corosync it tries to connect every 6 s and logs each failure."""
        if not self.clustered or self.corosync.runtime is not None:
            return
        for service in ("[quorum] crit: quorum", "[confdb] crit: cmap", "[dcdb] crit: cpg", "[status] crit: cpg"):
            self._log(f"{service}_initialize failed: 2", 2)
        pid = self.pid
        self.host.clock.after(RETRY, lambda: self._try_corosync() if self.pid == pid else None)

    def _follow_quorum(self) -> None:
        if self.mounted and self.clustered and not self.corosync.quorate:
            self._lose_quorum()
            self._try_corosync()

    def _lose_quorum(self) -> None:
        if self.quorate:
            self.quorate = False
            self.members_changed()
            self._log("[status] notice: node lost quorum", 5)
            self.surroundings.quorum_lost()

    def follow_corosync(self) -> None:
        """corosync reported a change of membership or votes."""
        if not self.in_cluster:
            return
        if self.corosync.quorate:
            self._take_quorum()
        else:
            self._lose_quorum()

    def _take_quorum(self) -> None:
        if self.corosync.quorate and not self.quorate:
            was_up = self.corosync_seen
            self.quorate = True
            self.members_changed()
            self.busy_until = self.host.clock.now + BUSY if was_up else 0.0
            self._log("[status] notice: node has quorum", 5)
            self.surroundings.quorum_returned()
            self.host.clock.after(0.0, self.surroundings.quorum_granted)

    def _log(self, message: str, priority: int) -> None:
        self.host.journal.add("pve-cluster.service", "pmxcfs", self.pid, message, priority)

    # -- what the cluster tools change ---------------------------------------------------------

    def may_write(self, path: str = "") -> None:
        """Raise what a change would raise: EACCES without quorum, EBUSY while it resyncs."""
        if not self.mounted:
            raise no_such_file(f"/etc/pve/{path}")
        if not self.quorate:
            raise os_error(errno.EACCES, f"/etc/pve/{path}")
        if self.clustered and self.host.clock.now < self.busy_until:
            raise os_error(errno.EBUSY, f"/etc/pve/{path}")

    def _each(self) -> list[Pmxcfs]:
        """The databases that a change reaches: the connected members' and this one."""
        runtime = self.corosync.runtime
        if not self.in_cluster or runtime is None:
            return [self]
        return [
            p
            for p in self.surroundings.pmxcfs_of_all()
            if p.in_cluster
            and p.corosync.runtime is not None
            and p.corosync.runtime.nodeid in runtime.members
            and p.corosync.runtime.identity == runtime.identity
        ]

    @property
    def _stamp(self) -> dict[str, int]:
        runtime = self.corosync.runtime
        writer = runtime.nodeid if runtime is not None and self.clustered else 0
        return {"writer": writer, "mtime": int(self.host.wall)}

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file on all connected members."""
        self.may_write(path)
        stamp = self._stamp
        written = []
        for pmxcfs in self._each():
            pmxcfs.database.write(self.real_path(path), data, **stamp)
            if path == "corosync.conf" and pmxcfs.clustered and pmxcfs._write_corosync_conf():
                written.append(pmxcfs.corosync)
            pmxcfs.configuration_changed()
        for corosync in written:  # pmxcfs tells it: dcdb.c, corosync-cfgtool -R
            corosync.reload()

    def mkdir(self, path: str) -> None:
        """Create a directory on all connected members."""
        self.may_write(path)
        stamp = self._stamp
        for pmxcfs in self._each():
            pmxcfs.database.mkdir(self.real_path(path), **stamp)

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory on all connected members."""
        self.may_write(path)
        stamp = self._stamp
        for pmxcfs in self._each():
            pmxcfs.database.delete(self.real_path(path), **stamp)
            pmxcfs.configuration_changed()

    def rename(self, old: str, new: str) -> None:
        """Rename on all connected members."""
        self.may_write(new)
        stamp = self._stamp
        for pmxcfs in self._each():
            pmxcfs.database.rename(self.real_path(old), self.real_path(new), **stamp)
            pmxcfs.configuration_changed()

    def touch(self, path: str) -> None:
        """Set the time of a file, or create it."""
        self.write(path, self.database.data(self.real_path(path)) or b"")

    def configuration_changed(self) -> None:
        """The guests or HA files of the database may be others than before."""
        self.surroundings.configuration_changed()

    def collect(self) -> list[str]:
        """Take over what the shell itself wrote into /etc/pve by a redirection; the paths of it."""
        if not self.mounted:
            return []
        changed = []
        stamps = stamps_of(self.host.files.config)
        found = {p: self.host.files.config.read_file(p) for p, stamp in stamps.items() if self.stamps.get(p) != stamp}
        self.stamps = stamps
        for path, data in found.items():
            if self.synced.get(path) != data and not path.startswith("/."):
                self.synced[path] = data
                self.write(path[1:], data)
                changed.append(path[1:])
        return changed
