"""Probes about the volumes of guests, beside the listings that every node is asked for: devices, and the keys of Ceph.

All are asked in the second round, of nodes on which guests run, or that have a storage of the kind.
"""

from __future__ import annotations

from pve_runbook.parsers import host
from pve_runbook.parsers.devices import of_node
from pve_runbook.probes.probe import Probe

DEV_LINKS = Probe(
    "dev_links",
    ("find", "/dev", "-type", "l", "-printf", "%y\\t%P\\t%l\\n"),
    of_node.parse_dev_links,
    "which device a volume is",
)
LOOP_DEVICES = Probe(
    "loop_devices",
    ("losetup", "-l", "-n", "-O", "NAME,BACK-FILE"),
    of_node.parse_loop_devices,
    "which file a container's mount comes from",
)
CEPH_FILES = Probe(
    "ceph_files",
    ("ls", "-A", "/etc/pve/priv/ceph"),
    host.parse_ls,
    "with which key a pool of Ceph is reached, by the names of the files alone",
)
PROBES: tuple[Probe[object], ...] = (DEV_LINKS, LOOP_DEVICES, CEPH_FILES)
