"""A node's disks: ext4 on loop devices of their own, so that they fill up and fail as disks do."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from pve_system_lab.errors import host, until

OPTIONS = "loop,noatime,errors=remount-ro"
"""As Proxmox's installer mounts a root: an error makes it read-only."""
GONE = 30
"""Seconds until a disk that nobody uses any more must have let go of its device."""
_BLOCK = b"\0" * 4096


def let_go(place: Path) -> None:
    """Unmount what is mounted there, and remove the folder: that unmounts it in every mount namespace that began
    meanwhile, too, which would keep the device (Linux, fs/namespace.c, detach_mounts)."""
    if os.path.ismount(place):
        host("umount", "-l", str(place))
    if place.exists():
        place.rmdir()


@dataclass(frozen=True)
class Disk:
    """An ext4 file system in a sparse file, mounted on this machine; `mib` is its size in MiB."""

    image: Path
    place: Path
    mib: int

    def make(self) -> None:
        """An empty one, mounted."""
        self.image.touch()
        os.truncate(self.image, self.mib * 1024 * 1024)
        host("mkfs.ext4", "-q", "-m", "0", str(self.image))
        self.place.mkdir()
        host("mount", "-o", OPTIONS, str(self.image), str(self.place))

    def unmount(self) -> None:
        """Let go of it, whatever state it is in."""
        let_go(self.place)
        if self.image.exists():
            until(lambda: not self._device(), GONE, f"{self.image} is still in use")

    def _device(self) -> str:
        return host("losetup", "--noheadings", "--output", "NAME", "--associated", str(self.image)).strip()

    @property
    def _filler(self) -> Path:
        return self.place / "filler"

    def fill(self) -> None:
        """Not a byte is left."""
        space = os.statvfs(self.place)
        with self._filler.open("wb", buffering=0) as filler:
            try:
                os.posix_fallocate(filler.fileno(), 0, max(1, space.f_bavail - 64) * space.f_frsize)
                filler.seek(0, os.SEEK_END)
                while True:
                    filler.write(_BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """What filled it is gone."""
        self._filler.unlink(missing_ok=True)

    def fail(self) -> None:
        """It meets an error, and is read-only from then on, for those too who have files of it open."""
        Path("/sys/fs/ext4", Path(self._device()).name, "trigger_fs_error").write_text("1")
