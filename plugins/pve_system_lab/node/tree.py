"""/etc/pve as a FUSE file system over the database: modes follow quorum, some files are generated.

Modes and refusals from pve-cluster (cfs-plug-memdb.c, cfs-plug-link.c, pmxcfs.c), seen on PVE 8.3.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import Protocol

import pyfuse3
from pve_lab.model.database import DIRECTORY, FILE, Database, Row

from pve_system_lab.node.replica import Change

_GENERATED = 1 << 40
_SPECIAL = (".members", ".vmlist", ".version", ".clusterlog")
_SIZE_LIMIT = 1024 * 1024
"""Bytes that a file may have (pve-pmxcfs(8))."""


class Keeper(Protocol):
    """Who owns the database and decides about changes."""

    name: str
    database: Database
    group_id: int

    @property
    def quorate(self) -> bool:
        """Whether changes are allowed."""

    def generated(self, name: str) -> str:
        """The text of a generated file."""

    async def change(self, change: Change) -> int:
        """Make a change on all members: 0, or an errno."""


class Tree(pyfuse3.Operations):
    """The operations of the file system; inodes are the database's, the root is 1."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__()
        self._keeper = keeper
        own = f"nodes/{keeper.name}"
        self._links = {
            "local": own,
            "qemu-server": f"{own}/qemu-server",
            "lxc": f"{own}/lxc",
            "openvz": f"{own}/openvz",
        }
        self._extra = [*self._links, *_SPECIAL]
        self._texts: dict[int, bytes] = {}
        self._next = _GENERATED * 2

    # -- names --------------------------------------------------------------------------------

    def _path(self, inode: int) -> str:
        if inode == pyfuse3.ROOT_INODE:
            return ""
        row = self._keeper.database.rows.get(inode)
        if row is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        parent = self._path(row.parent or pyfuse3.ROOT_INODE)
        return f"{parent}/{row.name}" if parent else row.name

    def _child(self, parent: int, name: bytes) -> str:
        path = self._path(parent)
        text = os.fsdecode(name)
        return f"{path}/{text}" if path else text

    def _inode(self, path: str) -> int:
        if path in self._extra:
            return _GENERATED + self._extra.index(path)
        inode = self._keeper.database.paths.get(path)
        if inode is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return inode

    # -- attributes ---------------------------------------------------------------------------

    def _entry(self, inode: int, mode: int, size: int, mtime: float) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.st_mode, entry.st_size = inode, mode, size
        entry.st_nlink = 2 if stat.S_ISDIR(mode) else 1
        entry.st_uid, entry.st_gid = 0, self._keeper.group_id
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = int(mtime * 1e9)
        entry.st_blksize, entry.st_blocks = 4096, (size + 511) // 512
        entry.entry_timeout = entry.attr_timeout = 0
        return entry

    def _attributes(self, inode: int) -> pyfuse3.EntryAttributes:
        mask = 0o777 if self._keeper.quorate else 0o555
        if inode == pyfuse3.ROOT_INODE:
            return self._entry(inode, stat.S_IFDIR | 0o755, 0, 0)
        if inode >= _GENERATED:
            name = self._extra[inode - _GENERATED]
            if name in self._links:
                return self._entry(inode, stat.S_IFLNK | 0o755 & mask, 0, 0)
            size = len(self._keeper.generated(name).encode())
            return self._entry(inode, stat.S_IFREG | 0o440, size, 0)
        path = self._path(inode)
        row: Row = self._keeper.database.rows[inode]
        private = "priv" in path.split("/")
        if row.type == DIRECTORY:
            return self._entry(inode, stat.S_IFDIR | (0o700 if private else 0o755) & mask, 0, row.mtime)
        return self._entry(inode, stat.S_IFREG | (0o600 if private else 0o640) & mask, len(row.data or b""), row.mtime)

    async def getattr(self, inode: int, ctx: object = None) -> pyfuse3.EntryAttributes:
        return self._attributes(inode)

    async def lookup(self, parent_inode: int, name: bytes, ctx: object = None) -> pyfuse3.EntryAttributes:
        if name == b".":
            return self._attributes(parent_inode)
        return self._attributes(self._inode(self._child(parent_inode, name)))

    async def setattr(
        self, inode: int, attr: pyfuse3.EntryAttributes, fields: pyfuse3.SetattrFields, fh: object, ctx: object
    ) -> pyfuse3.EntryAttributes:
        if inode != pyfuse3.ROOT_INODE and inode < _GENERATED:
            path = self._path(inode)
            present = self._attributes(inode)
            if fields.update_mode and stat.S_IMODE(attr.st_mode) not in (0o600, 0o640, 0o700, 0o750, 0o755):
                raise pyfuse3.FUSEError(errno.EPERM)
            if fields.update_uid and attr.st_uid != present.st_uid:
                raise pyfuse3.FUSEError(errno.EPERM)
            if fields.update_gid and attr.st_gid not in (0, present.st_gid):
                raise pyfuse3.FUSEError(errno.EPERM)
            if fields.update_size:
                await self._change(Change("truncate", path, int(time.time()), offset=attr.st_size))
            elif fields.update_mtime:
                await self._change(Change("touch", path, int(attr.st_mtime_ns / 1e9)))
        return self._attributes(inode)

    async def readlink(self, inode: int, ctx: object) -> bytes:
        return self._links[self._extra[inode - _GENERATED]].encode()

    async def statfs(self, ctx: object) -> pyfuse3.StatvfsData:
        data = pyfuse3.StatvfsData()
        used = sum(len(r.data or b"") for r in self._keeper.database.rows.values()) // 4096 + 10
        data.f_bsize = data.f_frsize = 4096
        data.f_blocks, data.f_bfree = 32768, 32768 - used
        data.f_bavail = data.f_bfree
        data.f_files = data.f_ffree = data.f_favail = 262144
        data.f_namemax = 255
        return data

    # -- directories --------------------------------------------------------------------------

    async def opendir(self, inode: int, ctx: object) -> int:
        return inode

    async def readdir(self, fh: int, start_id: int, token: object) -> None:
        rows = self._keeper.database.rows.values()
        parent = 0 if fh == pyfuse3.ROOT_INODE else fh
        found = {r.name: r.inode for r in rows if r.inode and r.parent == parent}
        if not parent:
            found.update({name: _GENERATED + i for i, name in enumerate(self._extra)})
        for position, name in enumerate(sorted(found)):
            entry = self._attributes(found[name])
            if position >= start_id and not pyfuse3.readdir_reply(token, os.fsencode(name), entry, position + 1):
                return

    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: object) -> pyfuse3.EntryAttributes:
        path = self._child(parent_inode, name)
        await self._change(Change("mkdir", path, int(time.time())))
        return self._attributes(self._inode(path))

    async def rmdir(self, parent_inode: int, name: bytes, ctx: object) -> None:
        await self._change(Change("remove", self._child(parent_inode, name), int(time.time())))

    async def unlink(self, parent_inode: int, name: bytes, ctx: object) -> None:
        await self._change(Change("remove", self._child(parent_inode, name), int(time.time())))

    async def rename(
        self, parent_inode_old: int, name_old: bytes, parent_inode_new: int, name_new: bytes, flags: int, ctx: object
    ) -> None:
        old, new = self._child(parent_inode_old, name_old), self._child(parent_inode_new, name_new)
        await self._change(Change("rename", old, int(time.time()), to=new))

    # -- files --------------------------------------------------------------------------------

    async def open(self, inode: int, flags: int, ctx: object) -> pyfuse3.FileInfo:
        if inode < _GENERATED:
            self._path(inode)
            if flags & os.O_ACCMODE != os.O_RDONLY and not self._keeper.quorate:
                raise pyfuse3.FUSEError(errno.EACCES)
            return pyfuse3.FileInfo(fh=inode, direct_io=True)
        self._next += 1
        self._texts[self._next] = self._keeper.generated(self._extra[inode - _GENERATED]).encode()
        return pyfuse3.FileInfo(fh=self._next, direct_io=True)

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: object
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        path = self._child(parent_inode, name)
        await self._change(Change("create", path, int(time.time())))
        inode = self._inode(path)
        return pyfuse3.FileInfo(fh=inode, direct_io=True), self._attributes(inode)

    async def mknod(self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: object) -> pyfuse3.EntryAttributes:
        if not stat.S_ISREG(mode):
            raise pyfuse3.FUSEError(errno.EPERM)
        path = self._child(parent_inode, name)
        await self._change(Change("create", path, int(time.time())))
        return self._attributes(self._inode(path))

    async def read(self, fh: int, off: int, size: int) -> bytes:
        text = self._texts.get(fh)
        if text is None:
            row = self._keeper.database.rows.get(fh)
            if row is None or row.type != FILE:
                raise pyfuse3.FUSEError(errno.ENOENT)
            text = row.data or b""
        return text[off : off + size]

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        if off + len(buf) > _SIZE_LIMIT:
            raise pyfuse3.FUSEError(errno.EFBIG)
        await self._change(Change("write", self._path(fh), int(time.time()), bytes(buf), off))
        return len(buf)

    async def release(self, fh: int) -> None:
        self._texts.pop(fh, None)

    async def flush(self, fh: int) -> None:
        """Every write is applied at once."""

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Every write is applied at once."""

    async def _change(self, change: Change) -> None:
        for path in (change.path, change.to):
            if path in self._extra:
                raise pyfuse3.FUSEError(errno.EACCES)
        number = await self._keeper.change(change)
        if number:
            raise pyfuse3.FUSEError(number)
