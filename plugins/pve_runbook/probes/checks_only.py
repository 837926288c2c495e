"""Probes that only checks/ ask: each storage in the way that neither mounts nor imports nor logs in, and the login.

pve-storage's own `pvesm status` activates what it lists (Storage.pm, activate_storage): it is none of these.
"""

from __future__ import annotations

from pve_runbook.parsers import host, sshd, storage
from pve_runbook.probes.probe import Group, Probe

VGS = Probe(
    "vgs",
    ("vgs", "--reportformat", "json", "-o", "vg_name,vg_attr"),
    storage.parse_vgs,
    "whether the volume groups are whole and writable",
    timeout=20,
    group=Group.STORAGE,
)
ISCSI_SESSIONS = Probe(
    "iscsi_sessions",
    ("iscsiadm", "-m", "session"),
    storage.parse_iscsi_sessions,
    "which iSCSI targets the node is logged in to; asked only where a storage lies on one",
    group=Group.STORAGE,
)
SSHD = Probe(
    "sshd",
    ("sshd", "-T"),
    sshd.parse_sshd,
    "whether a login works while /etc/pve, where root's keys are, is not mounted",
    group=Group.STORAGE,
)
CEPH = Probe(
    "ceph",
    ("ceph", "--connect-timeout", "10", "-s", "-f", "json"),
    storage.parse_ceph_status,
    "how the Ceph of these nodes is; asked only where a storage lies on it",
    timeout=20,
    group=Group.STORAGE,
)
ROOT_KEYS = Probe(
    "root_keys",
    ("cat", "/root/.ssh/authorized_keys"),
    host.parse_file_lines,
    "whose keys let root in: the nodes of a cluster have each other's",
    group=Group.STORAGE,
)
AUTHORITY = Probe(
    "authority",
    ("sha256sum", "/etc/pve/pve-root-ca.pem"),
    host.parse_sha256sums,
    "whether nodes that left a cluster still have one certificate authority",
    group=Group.STORAGE,
)
WHERE_NEEDED: tuple[Probe[object], ...] = (ISCSI_SESSIONS, CEPH)
"""Asked in the second round, of nodes with such a storage."""
PROBES: tuple[Probe[object], ...] = (VGS, SSHD, ROOT_KEYS, AUTHORITY, *WHERE_NEEDED)
