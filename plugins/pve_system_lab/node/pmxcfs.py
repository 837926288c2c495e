"""A stand-in for pmxcfs: /etc/pve from config.db, writable with corosync's quorum or in local mode.

Order of its start and its messages: pve-cluster src/pmxcfs/pmxcfs.c, recorded on PVE 8.3.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pyfuse3
import trio
from pve_lab.formats import corosync_conf, texts
from pve_lab.model.database import Database

from pve_system_lab.node.corosync import Busy, CorosyncError, Group, Quorum
from pve_system_lab.node.process import SOCKET, journal, show_as
from pve_system_lab.node.replica import Change, Replica, apply

STATE = Path("/var/lib/pve-cluster")
LOCK = STATE / ".pmxcfs.lockfile"
CONFIG = Path("/etc/corosync/corosync.conf")
MOUNT = "/etc/pve"
PID_FILE = Path("/run/pve-cluster.pid")
LOCK_TRIES = 10
RETRY = 6
"""Seconds between two attempts to reach corosync."""
RESTART_PAUSE = 1
"""Seconds that the process outlives its mount ("do not restart too fast")."""
SEND_AGAIN = 0.1
"""Seconds after which a message is sent again that corosync did not take (dfsm.c, dfsm_send_message_full)."""
BUSY_FOR = 10
"""Seconds that a change is tried while the group forms."""


class Refusal(Exception):
    """pmxcfs does not start; the text is its message."""


class Pmxcfs:
    """The daemon: its database, its quorum, its group."""

    def __init__(self, name: str, address: str, *, local: bool) -> None:
        self.name, self._address = name, address
        self.group_id = grp.getgrnam("www-data").gr_gid
        missing = not (STATE / "config.db").exists()
        self.database = Database(STATE / "config.db")
        try:
            self.database.open()
        except sqlite3.DatabaseError as error:
            text = f"memdb_open failed - unable to open database '{STATE}/config.db'"
            raise Refusal(text) from error
        if missing and not local and CONFIG.exists():
            self.database.write("corosync.conf", CONFIG.read_bytes(), writer=0, mtime=int(time.time()))
        self.clustered = self.conf is not None and not local
        self._quorate = not self.clustered
        self._version = 0
        self._replica: Replica | None = None
        self._addresses = {name: address}
        self._values: dict[str, object] = {}
        self._ever_connected = False
        if self.clustered:
            self.write_corosync_conf()

    @property
    def conf(self) -> corosync_conf.CorosyncConf | None:
        """corosync.conf of the database."""
        data = self.database.data("corosync.conf")
        return None if data is None else corosync_conf.parse(data.decode(errors="replace"))

    @property
    def quorate(self) -> bool:
        """Whether changes are allowed."""
        return self._quorate

    def write_corosync_conf(self) -> None:
        """In cluster mode the database's corosync.conf is written to /etc/corosync (dcdb_sync_corosync_conf)."""
        wanted, conf = self.database.data("corosync.conf"), self.conf
        present = CONFIG.read_bytes() if CONFIG.exists() else None
        if wanted is None or conf is None or present == wanted:
            return
        if present and corosync_conf.parse(present.decode(errors="replace")).config_version > conf.config_version:
            journal("pmxcfs", "[dcdb] crit: local corosync.conf is newer", 2)
            return
        new = CONFIG.with_suffix(".conf.new")
        new.write_bytes(wanted)
        new.replace(CONFIG)
        if self._ever_connected:  # dcdb.c, dcdb_sync_corosync_conf: corosync is told of it, and nobody waits for that
            subprocess.run(["sh", "-c", "corosync-cfgtool -R >/dev/null 2>&1 &"], check=False)
        journal("pmxcfs", f"[dcdb] notice: wrote new corosync config '{CONFIG}' (version = {conf.config_version})", 5)

    # -- what /etc/pve shows ------------------------------------------------------------------

    @property
    def online(self) -> set[str]:
        """The members in the group with this one."""
        replica = self._replica
        return {self.name} | ({replica.names[m] for m in replica.members if m in replica.names} if replica else set())

    def generated(self, name: str) -> str:
        """.members, .vmlist, .version, .clusterlog."""
        if name == ".vmlist":
            return texts.vmlist(self.database.guests())
        if name == ".members":
            conf = self.conf
            if not self.clustered or not self._ever_connected or conf is None:
                return texts.no_members(self.name)
            return texts.members(self.name, self._version, conf, self.online, self._addresses, quorate=self._quorate)
        return '{\n"starttime": 0,\n"clusterlog": 0\n}\n' if name == ".version" else '{\n"data": [\n]\n}\n'

    # -- changes ------------------------------------------------------------------------------

    async def change(self, change: Change) -> int:
        """Make a change on all members: 0, or an errno."""
        if not self.clustered:
            result = apply(self.database, change, 0)
        else:
            result = await self._change_in_group(change)
        if result == 0 and "corosync.conf" in (change.path, change.to) and self.clustered:
            self.write_corosync_conf()
        return result

    async def _change_in_group(self, change: Change) -> int:
        result = errno.EBUSY
        for _ in range(BUSY_FOR * 10):
            if not self._quorate:
                return errno.EACCES
            if self._replica is not None and self._replica.synced:
                try:
                    result = await self._sent(self._replica, change)
                except CorosyncError:
                    result = errno.EBUSY
                if result != errno.EBUSY:
                    return result
            await trio.sleep(0.1)
        return result

    @staticmethod
    async def _sent(replica: Replica, change: Change) -> int:
        delivered = trio.Event()
        results: list[int] = []

        def done(number: int) -> None:
            results.append(number)
            delivered.set()

        replica.submit(uuid.uuid4().hex, change, done)
        await delivered.wait()
        return results[0]

    # -- corosync -----------------------------------------------------------------------------

    def _quorum_changed(self, quorate: bool) -> None:
        if quorate != self._quorate:
            self._version += 1
            journal("pmxcfs", f"[status] notice: node {'has' if quorate else 'lost'} quorum", 5)
        self._quorate = quorate

    def _group_changed(self, members: Sequence[int]) -> None:
        self._version += 1
        if self._replica is not None:
            self._replica.configured(members)

    def _delivered(self, sender: int, message: bytes) -> None:
        if self._replica is not None:
            self._replica.delivered(sender, message)
            self._addresses.update(self._replica.addresses)
            self._values.update(self._replica.values)
            if self.clustered:
                self.write_corosync_conf()

    async def follow_corosync(self) -> None:
        """Connect, follow, and try again every 6 s when it is not there."""
        while True:
            with contextlib.suppress(CorosyncError):
                await self._connected()
            if self._replica is not None:
                journal("pmxcfs", "[quorum] crit: quorum_dispatch failed: 2", 2)
                journal("pmxcfs", "[confdb] crit: cmap_dispatch failed: 2", 2)
                self._replica.abandon(errno.EACCES)
                self._version += 1
            self._replica = None
            self._quorum_changed(False)
            for service in ("[quorum] crit: quorum", "[confdb] crit: cmap", "[dcdb] crit: cpg"):
                journal("pmxcfs", f"{service}_initialize failed: 2", 2)
            await trio.sleep(RETRY)

    async def _connected(self) -> None:
        quorum = Quorum(self._quorum_changed)
        try:
            group = Group("pve_dcdb_v1", self._delivered, self._group_changed)
            try:
                self._replica = Replica(self.database, group.nodeid, self.name, self._address, group.send)
                self._replica.values = {k: v for k, v in self._values.items() if isinstance(v, dict)}
                await _until_accepted(group.join)
                self._ever_connected = True
                self._version += 1
                async with trio.open_nursery() as nursery:
                    for service in (quorum, group):
                        nursery.start_soon(_watch, service, nursery.cancel_scope)
                    nursery.start_soon(_send_on, group, nursery.cancel_scope)
            finally:
                group.close()
        finally:
            quorum.close()

    # -- questions of the tools ---------------------------------------------------------------

    async def answer(self, stream: trio.SocketStream) -> None:
        """One request: a value to publish, or nothing; the answer is the status."""
        async with stream:
            request = b""
            while not request.endswith(b"\n"):
                part = await stream.receive_some()
                if not part:
                    return
                request += part
            value = json.loads(request).get("publish")
            if value is not None:
                self._values[self.name] = value
                if self._replica is not None:
                    with contextlib.suppress(CorosyncError):
                        self._replica.publish(value)
            status = {
                "name": self.name,
                "address": self._address,
                "quorate": self._quorate,
                "has_members": self.clustered and self._ever_connected and self.conf is not None,
                "online": sorted(self.online),
                "addresses": self._addresses,
                "values": self._values,
            }
            await stream.send_all(json.dumps(status).encode())


async def _until_accepted(attempt: Callable[[], None]) -> None:
    while True:
        try:
            attempt()
            return
        except Busy:
            await trio.sleep(0.1)


async def _watch(service: Quorum | Group, scope: trio.CancelScope) -> None:
    """Dispatch the news of a service, until corosync is gone: then nothing of the scope goes on."""
    fd = service.fd
    while True:
        await trio.lowlevel.wait_readable(fd)
        try:
            service.dispatch()
        except CorosyncError:
            scope.cancel()
            return


async def _send_on(group: Group, scope: trio.CancelScope) -> None:
    """Send what corosync did not take at first, until it is gone."""
    while True:
        await trio.sleep(SEND_AGAIN)
        try:
            group.send_on()
        except CorosyncError:
            scope.cancel()
            return


def _say(message: str, level: str = "notice") -> None:
    print(f"[main] {level}: {message}", file=sys.stderr, flush=True)
    journal("pmxcfs", f"[main] {level}: {message}", 2 if level == "crit" else 5)


def _own_address(name: str) -> str:
    try:
        found = {str(i[4][0]) for i in socket.getaddrinfo(name, None, socket.AF_INET)}
    except OSError:
        found = set()
    for address in sorted(found):
        if not address.startswith("127."):
            return address
    raise Refusal(
        f"Unable to resolve node name '{name}' to a non-loopback IP address - missing entry in '/etc/hosts' or DNS?"
    )


def _take_lock() -> None:
    STATE.mkdir(mode=0o755, exist_ok=True)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    os.set_inheritable(lock, True)
    for left in range(LOCK_TRIES, -1, -1):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if not left:
                raise Refusal(f"unable to acquire pmxcfs lock: {error.strerror}") from error
            if left == LOCK_TRIES:
                _say("unable to acquire pmxcfs lock - trying again")
            time.sleep(1)


async def _serve(pmxcfs: Pmxcfs) -> None:
    Path(SOCKET).unlink(missing_ok=True)
    listener = trio.socket.socket(socket.AF_UNIX)
    await listener.bind(SOCKET)
    listener.listen(64)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pyfuse3.main)
        nursery.start_soon(trio.serve_listeners, pmxcfs.answer, [trio.SocketListener(listener)])
        if pmxcfs.clustered:
            nursery.start_soon(pmxcfs.follow_corosync)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for _ in signals:
                break
        nursery.cancel_scope.cancel()
    Path(SOCKET).unlink(missing_ok=True)


def _start(*, local: bool) -> Pmxcfs:
    name = os.uname().nodename.partition(".")[0]
    address = _own_address(name)
    _say(f"resolved node name '{name}' to '{address}' for default node IP address")
    _take_lock()
    pmxcfs = Pmxcfs(name, address, local=local)
    if local and pmxcfs.conf is not None:
        _say("forcing local mode (although corosync.conf exists)")
    return pmxcfs


def _daemon(arguments: Sequence[str], ready: int) -> int:
    """The daemon's life; a byte into `ready` says that /etc/pve is mounted."""
    from pve_system_lab.node.tree import Tree

    try:
        pmxcfs = _start(local="-l" in arguments)
    except Refusal as error:
        _say(str(error), "crit")
        _say("exit proxmox configuration filesystem (-1)")
        return 255
    subprocess.run(["umount", "-f", MOUNT], capture_output=True, check=False)
    Path(MOUNT).mkdir(mode=0o755, exist_ok=True)
    pyfuse3.init(Tree(pmxcfs), MOUNT, {"fsname=/dev/fuse", "default_permissions", "allow_other"})
    PID_FILE.write_text(f"{os.getpid()}\n")
    os.setsid()
    show_as("pmxcfs" if arguments else "/usr/bin/pmxcfs", *arguments)
    os.write(ready, b".")
    os.close(ready)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    try:
        trio.run(_serve, pmxcfs)
    except Exception:
        for line in traceback.format_exc().splitlines():
            journal("pmxcfs", line, 2)
        raise
    journal("pmxcfs", "[main] notice: teardown filesystem", 5)
    pyfuse3.close(unmount=True)
    time.sleep(RESTART_PAUSE)
    pmxcfs.database.close()
    PID_FILE.unlink(missing_ok=True)
    journal("pmxcfs", "[main] notice: exit proxmox configuration filesystem (0)", 5)
    return 0


def main() -> int:
    """pmxcfs [-l]: return once /etc/pve is mounted and served by a process of its own, or 255."""
    os.umask(0o027)
    # SQLite's locks do not go over to a child: the database is opened behind the fork.
    heard, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        return _daemon(sys.argv[1:], ready)
    os.close(ready)
    if os.read(heard, 1):
        return 0
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
