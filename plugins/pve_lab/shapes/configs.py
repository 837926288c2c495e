"""Shapes with lines in guests' configs and in storage.cfg as people have them."""

from __future__ import annotations

from collections.abc import Callable

from pve_lab.model.cluster import Cluster
from pve_lab.shapes import broken, nodes_of

Shape = Callable[[Cluster], None]


def with_line(vmid: int, line: str) -> Shape:
    """Broken, with one more line in the config of a guest of the first node."""

    def shape(cluster: Cluster) -> None:
        node = nodes_of(cluster)[0]
        guest = node.guests.config(vmid)
        if guest is not None:
            head, snapshots = guest.text.partition("\n[")[::2]
            more = f"\n[{snapshots}" if snapshots else ""
            node.pmxcfs.write(guest.path, f"{head.rstrip()}\n{line}\n{more}".encode())
        broken(cluster)

    return shape


def with_storage(text: str, then: Shape = broken) -> Shape:
    """With one more section in storage.cfg."""

    def shape(cluster: Cluster) -> None:
        node = nodes_of(cluster)[0]
        node.pmxcfs.write("storage.cfg", (node.pmxcfs.database.text("storage.cfg") + text).encode())
        then(cluster)

    return shape


def content_dirs(cluster: Cluster) -> None:
    """A directory storage that keeps its images in a folder of its own name (content-dirs)."""
    for node in nodes_of(cluster):
        node.files.make_directories("/mnt/ssd/vms/103")
    nodes_of(cluster)[0].files.put("/mnt/ssd/vms/103/vm-103-disk-9.qcow2", b"\0" * 64)
    section = "dir: ssd\n\tpath /mnt/ssd\n\tcontent images\n\tcontent-dirs images=vms\n\n"
    with_storage(section, with_line(103, "scsi9: ssd:103/vm-103-disk-9.qcow2,size=1G"))(cluster)
