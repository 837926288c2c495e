"""Guests of one node: their configs stand in the database, the running ones are processes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pve_lab.formats.guest_config import GuestConfig
from pve_lab.formats.texts import NO_QUORUM
from pve_lab.model.devices import Devices
from pve_lab.model.host import Host
from pve_lab.model.pmxcfs import Pmxcfs
from pve_lab.model.processes import Process
from pve_lab.model.storage import Storages
from pve_lab.model.tasks import Tasks

DAEMONIZING = 1.0
"""Seconds for which a VM that starts is two processes: `kvm -daemonize` waits for the one that it leaves behind."""


class Guests:
    """The guests of one node."""

    def __init__(self, host: Host, pmxcfs: Pmxcfs, storages: Storages, tasks: Tasks) -> None:
        self.host = host
        self.pmxcfs = pmxcfs
        self.storages = storages
        self.tasks = tasks
        self.running: dict[int, Process] = {}
        self.qmp_status: dict[int, str] = {}
        self.devices = Devices(storages)
        self._configs: tuple[int, list[GuestConfig]] = -1, []
        """Those of the database, and which generation of it."""
        self._by_vmid: dict[int, GuestConfig] = {}

    # -- configs -----------------------------------------------------------------------------

    def config(self, vmid: int) -> GuestConfig | None:
        """The config of a guest of any node, as this node's database has it."""
        self.configs()
        return self._by_vmid.get(vmid)

    def configs(self) -> Sequence[GuestConfig]:
        """All guests of the database, by vmid; made once for each of its generations."""
        database = self.pmxcfs.database
        if self._configs[0] != database.generation:
            self._configs = database.generation, self._made_configs()
            self._by_vmid = {c.vmid: c for c in reversed(self._configs[1])}
        return self._configs[1]

    def _made_configs(self) -> list[GuestConfig]:
        """What was read of a config is kept while its text is the same."""
        database, before = self.pmxcfs.database, self._by_vmid
        found = []
        for vmid, owner, kind, _version in self.pmxcfs.guests():
            directory = "qemu-server" if kind == "qemu" else "lxc"
            one = GuestConfig(vmid, kind, owner, database.text(f"nodes/{owner}/{directory}/{vmid}.conf"))
            found.append(before[vmid] if before.get(vmid) == one else one)
        return found

    def own(self, kind: str | None = None) -> list[GuestConfig]:
        """The guests whose config this node owns."""
        return [c for c in self.configs() if c.owner == self.host.hostname and kind in (None, c.kind)]

    def set_lock(self, vmid: int, lock: str) -> None:
        """Write or remove `lock:` in a guest's config, as workers do; needs quorum."""
        config = self.config(vmid)
        if config is None:
            return
        text = re.sub(r"(?m)^lock: .*\n", "", config.text)
        if lock:
            head, bracket, tail = text.partition("\n[")
            text = f"{head.rstrip()}\nlock: {lock}\n{bracket}{tail}"
        self.pmxcfs.write(config.path, text.encode())

    # -- life --------------------------------------------------------------------------------

    def spawn(
        self,
        config: GuestConfig,
        *,
        age: float = 0.0,
        incoming: bool = False,
        held: Collection[str] | None = None,
    ) -> Process:
        """Start the guest's process; it opens the disks that are there, or those of `held`."""
        vmid = config.vmid
        self.devices.open_all(config, held)
        if config.kind == "lxc":
            argv: tuple[str, ...] = ("/usr/bin/lxc-start", "-F", "-n", str(vmid))
            process = self.host.processes.spawn("lxc-start", argv, vmid=vmid, age=age)
        else:
            argv = (
                *f"/usr/bin/kvm -id {vmid} -name {config.name},debug-threads=on -no-shutdown".split(),
                *f"-chardev socket,id=qmp,path=/var/run/qemu-server/{vmid}.qmp,server=on,wait=off".split(),
                *f"-mon chardev=qmp,mode=control -pidfile /var/run/qemu-server/{vmid}.pid -daemonize".split(),
                *f"-smp 2,sockets=1,cores=2,maxcpus=2 -nodefaults -m {config.memory}".split(),
                *f"-netdev type=tap,id=net0,ifname=tap{vmid}i0,script=/var/lib/qemu-server/pve-bridge".split(),
                *self.devices.arguments(vmid, as_blockdev=self.host.version.blockdev),
            )
            if incoming:
                argv = (*argv, "-incoming", "tcp:10.55.0.12:60000", "-S")
            if not age:
                self._daemonize(argv)
            process = self.host.processes.spawn("kvm", argv, vmid=vmid, age=age)
            self.host.files.put(f"/run/qemu-server/{vmid}.pid", f"{process.pid}\n", 0o600)
            for end in ("qmp", "vnc"):
                self.host.files.put(f"/run/qemu-server/{vmid}.{end}", b"", 0o750)
                self.host.files.sockets.add(f"/run/qemu-server/{vmid}.{end}")
        self.running[vmid] = process
        return process

    def _daemonize(self, argv: tuple[str, ...]) -> None:
        boot, pid = self.host.boot_id, self.host.processes.spawn("kvm", argv).pid

        def ready() -> None:
            if self.host.boot_id == boot:
                self.host.processes.end(pid)

        self.host.clock.after(DAEMONIZING, ready)

    def end(self, vmid: int) -> None:
        """End the guest's process."""
        process = self.running.pop(vmid, None)
        self.devices.held.pop(vmid, None)
        self.qmp_status.pop(vmid, None)
        if process is not None:
            self.host.processes.end(process.pid)
        for end in ("pid", "qmp", "vnc"):
            self.host.files.discard(f"/run/qemu-server/{vmid}.{end}")

    def start(self, vmid: int) -> tuple[int, str]:
        """`qm start` and `pct start`: exit status and stderr (recorded on PVE 8.3)."""
        config = self.config(vmid)
        if config is None or config.owner != self.host.hostname:
            return self.missing(vmid)
        word = "VM" if config.kind == "qemu" else "CT"
        if vmid in self.running:
            return 255, f"{word} {vmid} already running\n"
        if not self.pmxcfs.quorate:
            return 2, NO_QUORUM
        if config.lock:
            return 255, f"{word} is locked ({config.lock})\n"
        for volume in config.volumes:
            if not self.storages.volume_exists(volume) and "unused" not in volume:
                return 255, f"volume '{volume}' does not exist\n"
        self.spawn(config)
        self.tasks.record("qmstart" if config.kind == "qemu" else "vzstart", str(vmid))
        return 0, ""

    def stop(self, vmid: int, verb: str = "stop") -> tuple[int, str]:
        """`qm stop` and `qm shutdown`: work without quorum (recorded on PVE 8.3)."""
        config = self.config(vmid)
        if config is None or config.owner != self.host.hostname:
            return self.missing(vmid)
        if vmid in self.running:
            self.end(vmid)
        self.tasks.record(f"{'qm' if config.kind == 'qemu' else 'vz'}{verb}", str(vmid))
        return 0, ""

    def missing(self, vmid: int, kind: str = "qemu") -> tuple[int, str]:
        """What the tools say about a guest that this node does not own."""
        directory = "qemu-server" if kind == "qemu" else "lxc"
        return 2, f"Configuration file 'nodes/{self.host.hostname}/{directory}/{vmid}.conf' does not exist\n"

    def start_all(self) -> None:
        """Start what is marked onboot, and HA does not manage, as startall does once it has quorum."""
        managed = re.findall(r"(?m)^(?:vm|ct): *(\d+)", (self.pmxcfs.database.data("ha/resources.cfg") or b"").decode())
        for config in self.own():
            if (
                str(config.vmid) not in managed
                and config.values.get("onboot") == "1"
                and config.vmid not in self.running
            ):
                self.start(config.vmid)
