"""The configuration files without what may be secret: only what is known to be harmless, and needed, stays.

An allow-list: a file, a key, an option or a value of a form that is not named here is left out. Keys from pve-docs
(qm.conf, pct.conf, storage.cfg, vzdump) and corosync.conf(5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SAFE = re.compile(r"[A-Za-z0-9_.,:;=/+*%\[\] -]*")
_PATH = re.compile(r"[A-Za-z0-9_./+-]+")
_GUEST = re.compile(r"nodes/[^/]+/(?:qemu-server|lxc)/[1-9][0-9]*\.conf")
_STATUS = re.compile(r"nodes/[^/]+/lrm_status")
_VOLUME = re.compile(r"(?:[A-Za-z][\w.-]*:[\w./+-]+|none|cdrom|/[\w./+-]+)")
_DISK_KEY = re.compile(r"(?:ide|sata|scsi|virtio|efidisk|tpmstate|mp|unused)\d+|rootfs|vmstate")
_NET_KEY = re.compile(r"net\d+")
_HEADER = re.compile(r"[A-Za-z][\w-]*:\s*[\w:.-]+\s*")
_SNAPSHOT = re.compile(r"\[[\w:.-]+\]\s*")
_CRON = re.compile(r"(?P<when>(?:[\d*/,-]+\s+){5})root\s+vzdump(?P<rest>\s.*)?")

LEFT_OUT = "(left out)"
"""Stands for a line of no form that is known: who reads the file passes it over, or stops at it, as with the line."""
GONE = "\0"
_NO_NUMBER = re.compile(r"\s*(?P<number>\d+)\s")

_GUEST_KEYS = _words(
    "name hostname memory swap cores cpulimit sockets ostype boot bootdisk onboot startup template lock "
    "arch unprivileged parent snaptime protection scsihw machine bios kvm vmstatestorage runningmachine "
    "numa balloon agent acpi"
)
_DISK_OPTIONS = _words(
    "size media format cache discard iothread ssd backup replicate aio snapshot ro shared efitype pre- "
    "enrolled-keys version mp quota acl"
)
_NET_OPTIONS = _words(
    "virtio e1000 e1000e rtl8139 vmxnet3 bridge firewall tag trunks rate queues mtu link_down name hwaddr "
    "ip gw ip6 gw6 type"
)
_STORAGE = _words(
    "path content nodes disable shared thinpool vgname pool mountpoint server export portal target share "
    "subdir krbd blocksize sparse is_mountpoint mkdir preallocation prune-backups maxfiles fs-name "
    "datastore monhost format content-dirs volume"
)
_JOBS = _words(
    "schedule all enabled mode compress storage node vmid prune-backups target disable rate guest type "
    "exclude repeat-missed"
)
_HA = _words("state group max_relocate max_restart nodes restricted nofailback resources affinity strict disable")
_DATACENTER = _words("keyboard migration ha crs console bwlimit")
_CRON_OPTIONS = _words("--all --storage --mode --compress --quiet --node --exclude --maxfiles")
_COROSYNC = _words(
    "cluster_name config_version token token_coefficient consensus join max_messages ip_version link_mode "
    "secauth transport version crypto_cipher crypto_hash linknumber bindnetaddr mcastport knet_transport "
    "knet_link_priority knet_ping_interval knet_ping_timeout knet_pong_count provider expected_votes "
    "two_node wait_for_all last_man_standing auto_tie_breaker model votes algorithm host tls name nodeid "
    "quorum_votes debug to_syslog"
)


def is_path(path: str) -> bool:
    """Whether a path of the database is one that may be told."""
    return _PATH.fullmatch(path) is not None and not path.startswith("priv/") and "/priv/" not in path


def scrub(path: str, text: str) -> str:
    """What may be told of a file of /etc/pve; nothing of a file that is not known."""
    if path == "corosync.conf":
        return corosync(text)
    if _GUEST.fullmatch(path):
        return _guest(text)
    if _STATUS.fullmatch(path):
        return _json(text, _lrm)
    known = _FILES.get(path)
    return known(text) if known is not None else ""


def _is_safe(value: str) -> bool:
    return _SAFE.fullmatch(value) is not None


def corosync(text: str) -> str:
    """corosync.conf, with its structure."""

    def told(line: str) -> str:
        word = line.strip()
        if not word or word == "}" or re.fullmatch(r"[a-z_.]+\s*\{", word):
            return line
        key, colon, value = word.partition(":")
        if not colon and not word.startswith("#"):
            return LEFT_OUT
        if key.strip() not in _COROSYNC and re.fullmatch(r"ring\d+_addr", key.strip()) is None:
            return GONE
        number = _NO_NUMBER.match(value)
        return line if _is_safe(value) else f"{key}: {number['number']} {LEFT_OUT}" if number else GONE

    return _lines(text, told)


def _lines(text: str, told: Callable[[str], str]) -> str:
    """Every line as it may be told; GONE stands for none."""
    lines = map(told, text.split("\n")[: text.count("\n")])
    return "".join(f"{line}\n" for line in lines if line != GONE)


def _sections(keys: Collection[str]) -> Callable[[str], str]:
    """A reader of ``type: id`` blocks with indented options."""

    def read(text: str) -> str:
        def told(line: str) -> str:
            if line.startswith((" ", "\t")):
                key, _, value = line.strip().partition(" ")
                return line if key in keys and _is_safe(value) else GONE
            if not line.strip() or _HEADER.fullmatch(line):
                return line
            return GONE if line.startswith("#") else LEFT_OUT

        return _lines(text if text.endswith("\n") else f"{text}\n", told)

    return read


def _values(keys: Collection[str]) -> Callable[[str], str]:
    """A reader of ``key: value`` lines."""

    def told(line: str) -> str:
        key, colon, value = line.partition(":")
        return line if colon and key in keys and _is_safe(value) else GONE

    return lambda text: _lines(text if text.endswith("\n") else f"{text}\n", told)


def _guest(text: str) -> str:
    found = []
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if _SNAPSHOT.fullmatch(line):
            found.append(f"\n{line}")
        elif not colon:
            if line.strip() and not line.startswith(("#", "lxc.")):
                found.append(LEFT_OUT)
        elif _DISK_KEY.fullmatch(key):
            found.append(f"{key}: {_disk(value.strip())}")
        elif _NET_KEY.fullmatch(key):
            found.append(f"{key}: {_options(value.strip().split(','), _NET_OPTIONS)}")
        elif key in _GUEST_KEYS and _is_safe(value):
            found.append(line)
    return "".join(f"{line}\n" for line in found)


def _disk(value: str) -> str:
    first, *options = value.split(",")
    named, equals, volume = first.rpartition("=")
    if named not in ("", "file", "volume") or not _VOLUME.fullmatch(volume):
        return "none"
    return ",".join(filter(None, (f"{named}{equals}{volume}", _options(options, _DISK_OPTIONS))))


def _options(options: Collection[str], keys: Collection[str]) -> str:
    return ",".join(o for o in options if o.partition("=")[0] in keys and _is_safe(o))


def _cron(text: str) -> str:
    found = ""
    for line in text.splitlines():
        match = _CRON.fullmatch(line.strip())
        if match is None:
            continue
        words, kept = (match["rest"] or "").split(), []
        while words:
            word = words.pop(0)
            option, equals, value = word.partition("=")
            if option.startswith("-"):
                if not equals and words and not words[0].startswith("-"):
                    value = words.pop(0)
                kept += [option, value] if option in _CRON_OPTIONS and _is_safe(value) else []
            elif word.isdecimal():
                kept.append(word)
        found += f"{' '.join(match['when'].split())} root vzdump {' '.join(filter(None, kept))}\n"
    return found


def _json(text: str, read: Callable[[dict[str, Any]], object]) -> str:
    try:
        loaded = json.loads(text)
    except ValueError:
        return ""
    return json.dumps(read(loaded), separators=(",", ":"), sort_keys=True) if isinstance(loaded, dict) else ""


def _plain(source: object, keys: Collection[str]) -> dict[str, Any]:
    """The words and numbers under these keys."""
    items = source.items() if isinstance(source, dict) else ()
    return {k: v for k, v in items if k in keys and (isinstance(v, int) or (isinstance(v, str) and _is_safe(v)))}


def _lrm(status: dict[str, Any]) -> object:
    return _plain(status, ("mode", "state", "timestamp")) | {"results": {}}


def _manager(status: dict[str, Any]) -> object:
    nodes = status.get("node_status")
    services = status.get("service_status")
    return _plain(status, ("master_node", "timestamp")) | {
        "node_status": _plain(nodes, nodes.keys() if isinstance(nodes, dict) else ()),
        "service_status": {
            sid: _plain(service, ("node", "state"))
            for sid, service in (services.items() if isinstance(services, dict) else ())
            if _is_safe(sid)
        },
    }


_FILES: dict[str, Callable[[str], str]] = {
    "storage.cfg": _sections(_STORAGE),
    "jobs.cfg": _sections(_JOBS),
    "replication.cfg": _sections(_JOBS),
    "ha/resources.cfg": _sections(_HA),
    "ha/groups.cfg": _sections(_HA),
    "ha/rules.cfg": _sections(_HA),
    "ha/manager_status": lambda text: _json(text, _manager),
    "datacenter.cfg": _values(_DATACENTER),
    "vzdump.cron": _cron,
}
