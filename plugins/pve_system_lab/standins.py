"""The layer over the Debian root that makes a Proxmox node of it, the same for all nodes."""

from __future__ import annotations

from pathlib import Path

from pve_system_lab import units

_HALT = b"\xfa\xf4\xeb\xfd"
"""cli; hlt; jmp to hlt."""
_IDLE = "#!/bin/sh\ntrap 'kill $!; exit 0' TERM\nsleep infinity & wait\n"
"""A daemon that does nothing, and ends well when it is told to."""
_IFRELOAD = f'#!/bin/sh\necho "$*" >>{units.RELOADS}\n'
"""ifupdown2's, which would change the network under running guests: it leaves a line, and nothing else."""
_ROM = 64 * 1024
_RESET_VECTOR = _ROM - 16


def _script(module: str, *arguments: str) -> str:
    words = " ".join(("/usr/bin/python3", "-B", "-m", f"pve_system_lab.node.{module}", *arguments))
    return f'#!/bin/sh\nPYTHONPATH={units.LIBRARY} exec {words} "$@"\n'


def _executable(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def write(layer: Path, pve: int) -> None:
    """Write the layer for nodes of that release of PVE into an empty folder."""
    programs, system = layer / "usr/bin", layer / "etc/systemd/system"
    packaged = layer / "usr/lib/systemd/system"  # not in /etc: a mask of the run time would have no effect there
    wants = system / "multi-user.target.wants"
    for folder in (
        *(programs, wants, packaged, system / "corosync.service.d", layer / "usr/share/pve-syslab"),
        *(layer / "usr/sbin", layer / units.HELPERS[1:]),
        layer / units.LIBRARY[1:],
        *(layer / f"var/lib/vz/{name}" for name in ("images", "private", "dump", "template/iso")),
        *(layer / name for name in ("etc/pve", "var/lib/pve-cluster", "var/lib/pve-manager", "var/log/pve/tasks")),
        *(layer / name for name in ("mnt/pve/nas", "etc/network/interfaces.d", "etc/cron.d", "etc/ssh/sshd_config.d")),
    ):
        folder.mkdir(parents=True, exist_ok=True)
    for name in units.TOOLS:
        _executable(programs / name, _script("tools", name))
    for name in ("pmxcfs", "pvestatd"):
        _executable(programs / name, _script(name))
    _executable(programs / "pveproxy", _script("web"))
    _executable(layer / "usr/sbin/ifreload", _IFRELOAD)
    for name in units.COMMITS:
        _executable(layer / units.HELPERS[1:] / name, _script("commit", name))
    for service in units.services(pve):
        unit = packaged / f"{service.name}.service"
        unit.write_text(service.text)
        if service.idle:
            _executable(programs / service.name, _IDLE)
        if service.install:
            (wants / unit.name).symlink_to(f"/lib/systemd/system/{unit.name}")
    (layer / "etc/cron.d/vzdump").symlink_to("/etc/pve/vzdump.cron")
    (layer / "etc/ssh/sshd_config.d/proxmox.conf").write_text("PermitRootLogin yes\n")  # as Proxmox's installer has it
    (system / "corosync.service.d/proxmox.conf").write_text(units.COROSYNC_DROP_IN)
    for name in units.MASKED:
        (system / name).symlink_to("/dev/null")
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    rom = bytearray(b"\xf4" * _ROM)
    rom[_RESET_VECTOR : _RESET_VECTOR + len(_HALT)] = _HALT
    (layer / "usr/share/pve-syslab/halt.rom").write_bytes(rom)
