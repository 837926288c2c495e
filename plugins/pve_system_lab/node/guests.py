"""Guests of a node: real QEMU processes; a container is a process of the right name.

Formats and refusals of qm and pct: recorded on PVE 8.3.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from pve_lab.formats.guest_config import GuestConfig
from pve_lab.formats.storage_cfg import Storage, parse_storage_cfg
from pve_lab.formats.texts import NO_QUORUM, GuestRow, pct_list, qm_list

from pve_system_lab.node.process import ask_pmxcfs
from pve_system_lab.node.tasks import record
from pve_system_lab.node.words import Said

RUN = Path("/run/qemu-server")
FIRMWARE = Path("/usr/share/pve-syslab/halt.rom")
STOP_WITHIN = 20
"""Seconds that a guest's end is waited for."""
_PROCESS = re.compile(r"(?:/usr/bin/kvm -id|/usr/bin/lxc-start -F -n) (\d+)\b")


def own_name() -> str:
    """The node's name."""
    return os.uname().nodename.partition(".")[0]


def quorate() -> bool:
    """What PVE itself looks at (PVE::Cluster::check_cfs_quorum)."""
    return bool(os.lstat("/etc/pve/local").st_mode & 0o200)


def configs(kind: str | None = None, *, everywhere: bool = False) -> list[GuestConfig]:
    """The guests of this node, or of all nodes, by vmid."""
    found = []
    for node in sorted(os.listdir("/etc/pve/nodes")) if everywhere else [own_name()]:
        for name, folder in (("qemu", "qemu-server"), ("lxc", "lxc")):
            for file in Path("/etc/pve/nodes", node, folder).glob("[1-9]*.conf"):
                if kind in (None, name):
                    found.append(GuestConfig(int(file.stem), name, node, file.read_text()))
    return sorted(found, key=lambda c: c.vmid)


def running() -> dict[int, int]:
    """The pids of the guests that run, by vmid."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            match = _PROCESS.match(line)
            if match:
                found[int(match[1])] = int(entry)
    return found


def _qmp(vmid: int) -> str:
    """The status that QEMU itself tells."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(3)
            connection.connect(str(RUN / f"{vmid}.qmp"))
            stream = connection.makefile("rw")
            stream.readline()
            for command in ("qmp_capabilities", "query-status"):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
        return str(answer["return"]["status"])
    except (OSError, ValueError, KeyError):
        return "running"


def _disks(config: GuestConfig) -> list[Path]:
    storages = {s.ident: s for s in parse_storage_cfg(Path("/etc/pve/storage.cfg").read_text())}
    found = []
    for volume in config.volumes:
        ident, _, name = volume.partition(":")
        storage = storages.get(ident, Storage(ident, "dir", {"path": "/nonexistent"}))
        found.append(Path(storage.path, "images", name))
    return found


def start(config: GuestConfig) -> Said:
    """`qm start`, `pct start`."""
    word = "VM" if config.kind == "qemu" else "CT"
    if config.vmid in running():
        return Said("", f"{word} {config.vmid} already running\n", 255)
    if not quorate():
        return Said("", NO_QUORUM, 2)
    if config.lock:
        return Said("", f"{word} is locked ({config.lock})\n", 255)
    for disk in _disks(config):
        if not disk.exists():
            return Said("", f"volume '{disk}' does not exist\n", 255)
    program = _container(config) if config.kind == "lxc" else _machine(config)
    title, *command = program
    scope = ["systemd-run", "--scope", "--quiet", f"--slice={config.kind}", f"--unit={config.vmid}", "--collect"]
    # QEMU of Debian lacks Proxmox's option -id: the name that the process shows holds it.
    done = subprocess.run(
        [*scope, "/bin/bash", "-c", 'exec -a "$0" "$@"', title, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    with record("qmstart" if config.kind == "qemu" else "vzstart", str(config.vmid)) as task:
        if done.returncode:
            task.fail("start failed: QEMU exited with code 1")
            return Said("", f"start failed: {done.stderr}", 255)
    return Said()


def _machine(config: GuestConfig) -> list[str]:
    RUN.mkdir(exist_ok=True)
    run = f"/var/run/qemu-server/{config.vmid}"
    drives = []
    for number, disk in enumerate(_disks(config)):
        drives += ["-drive", f"file={disk},format=raw,if=none,id=disk{number}"]
        drives += ["-device", f"virtio-blk-pci,drive=disk{number}"]
    return [
        f"/usr/bin/kvm -id {config.vmid} -name {config.name},debug-threads=on -no-shutdown -daemonize",
        *("/usr/bin/kvm", "-name", f"{config.name},debug-threads=on", "-no-shutdown", "-nodefaults"),
        *("-machine", "pc,accel=tcg,hpet=off", "-display", "none", "-bios", str(FIRMWARE)),
        *("-chardev", f"socket,id=qmp,path={run}.qmp,server=on,wait=off", "-mon", "chardev=qmp,mode=control"),
        *("-m", str(config.memory), *drives, "-pidfile", f"{run}.pid", "-daemonize"),
    ]


def _container(config: GuestConfig) -> list[str]:
    return [
        f"/usr/bin/lxc-start -F -n {config.vmid}",
        *("/bin/sh", "-c", 'setsid /bin/bash -c "exec -a \\"$0\\" sleep infinity" "$0" >/dev/null 2>&1 &'),
        f"/usr/bin/lxc-start -F -n {config.vmid}",
    ]


def stop(config: GuestConfig, verb: str = "stop") -> Said:
    """`qm stop`, `qm shutdown`: work without quorum. A guest without a system never answers a shutdown: it is stopped
    all the same."""
    pid = running().get(config.vmid)
    with record(f"{'qm' if config.kind == 'qemu' else 'vz'}{verb}", str(config.vmid)):
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_WITHIN
            while config.vmid in running():
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.1)
        for end in ("pid", "qmp", "vnc"):
            (RUN / f"{config.vmid}.{end}").unlink(missing_ok=True)
    return Said()


def rows(kind: str, *, full: bool = False) -> list[GuestRow]:
    """This node's guests of a kind, as lists show them."""
    pids = running()
    found = []
    for config in configs(kind):
        pid = pids.get(config.vmid, 0)
        state = "stopped" if not pid else _qmp(config.vmid) if full and kind == "qemu" else "running"
        found.append(GuestRow(config, state, pid))
    return found


def _create(vmid: int, options: dict[str, str]) -> Said:
    if not quorate():
        return Said("", NO_QUORUM, 2)
    taken = next((c for c in configs(everywhere=True) if c.vmid == vmid), None)
    if taken is not None:
        word = "VM" if taken.kind == "qemu" else "CT"
        text = f"unable to create VM {vmid} - {word} {vmid} already exists on node '{taken.owner}'\n"
        return Said("", text, 255)
    lines = [f"{key}: {value}" for key, value in options.items()]
    lines += [f"meta: creation-qemu=9.0.2,ctime={int(time.time())}", "numa: 0", "boot: "]
    lines += [f"smbios1: uuid={uuid.uuid4()}", f"vmgenid: {uuid.uuid4()}"]
    path = f"/etc/pve/nodes/{own_name()}/qemu-server/{vmid}.conf"
    try:
        Path(f"{path}.tmp.1").write_text("\n".join(sorted(lines)) + "\n")
        os.replace(f"{path}.tmp.1", path)
    except OSError as error:
        text = f"unable to create VM {vmid} - unable to open file '{path}.tmp.1' - {error.strerror}\n"
        return Said("", text, 255)
    with record("qmcreate", str(vmid)):
        return Said()


def _destroy(config: GuestConfig) -> Said:
    if not quorate():
        return Said("", NO_QUORUM, 2)
    if config.vmid in running():
        return Said("", f"{'VM' if config.kind == 'qemu' else 'CT'} {config.vmid} is running - destroy failed\n", 255)
    with record("qmdestroy", str(config.vmid)) as task:
        try:
            os.unlink(f"/etc/pve/{config.path}")
        except OSError as error:
            task.fail(f"unlink failed: {error.strerror}")
            return Said("", f"unlink failed: {error.strerror}\n", 255)
    return Said()


def tool(kind: str, argv: Sequence[str]) -> Said:
    """qm and pct."""
    ask_pmxcfs()
    verb = argv[0] if argv else "help"
    if verb == "list":
        listed = rows(kind, full="--full" in argv)
        return Said(qm_list(listed) if kind == "qemu" else pct_list(listed))
    if len(argv) < 2 or not argv[1].isdigit():
        return Said("", "400 not enough arguments\n", 255)
    vmid = int(argv[1])
    if verb == "create" and kind == "qemu":
        return _create(vmid, dict(zip((o[2:] for o in argv[2::2]), argv[3::2], strict=True)))
    config = next((c for c in configs(kind) if c.vmid == vmid), None)
    if config is None:
        folder = "qemu-server" if kind == "qemu" else "lxc"
        return Said("", f"Configuration file 'nodes/{own_name()}/{folder}/{vmid}.conf' does not exist\n", 2)
    if verb == "status":
        return Said(f"status: {'running' if vmid in running() else 'stopped'}\n")
    if verb == "config":
        return Said("".join(f"{k}: {v}\n" for k, v in sorted(config.values.items())))
    if verb == "start":
        return start(config)
    if verb in ("stop", "shutdown"):
        return stop(config, verb)
    if verb == "destroy":
        return _destroy(config)
    return Said("", f"ERROR: unknown command '{'qm' if kind == 'qemu' else 'pct'} {verb}'\n", 255)
