"""The lab's guests as their owners have them, and what became of them."""

from __future__ import annotations

import hashlib

from pve_lab.control import GuestTruth, LabControl, NodeTruth


def owned(state: dict[str, NodeTruth]) -> dict[int, list[GuestTruth]]:
    """Every guest with the entries of those who own it."""
    found: dict[int, list[GuestTruth]] = {}
    for name, node in state.items():
        for vmid, guest in node.guests.items():
            if guest.owner == name:
                found.setdefault(vmid, []).append(guest)
    return found


def changed(control: LabControl, before: dict[str, NodeTruth], *rebooted: str) -> dict[int, str]:
    """Guests that lost their owner, config or, unless their node was reset, their process: VMID → what was seen.

    A stopped one may have been started. One with two owners, as after a copied database, keeps both.
    """
    found = {}
    now = owned(control.state())
    for vmid, entries in owned(before).items():
        is_ = now.get(vmid, [])
        if [g.owner for g in is_] != [g.owner for g in entries]:
            found[vmid] = f"{[g.owner for g in entries]} -> {is_}"
            continue
        for was, guest in zip(entries, is_, strict=True):
            if _config(control, guest, was) != was.sha256:
                found[vmid] = f"{was.owner}: config {was.sha256} -> {guest}"
            elif was.running and was.owner not in rebooted and (guest.pid, guest.start) != (was.pid, was.start):
                found[vmid] = f"{was.owner}: process {was.pid} -> {guest.pid}"
    return found


def _config(control: LabControl, guest: GuestTruth, was: GuestTruth) -> str:
    """SHA-256 of a config, without the lock of a backup that the schedulers began after the thaw."""
    if guest.sha256 == was.sha256:
        return guest.sha256
    folder = {"qemu": "qemu-server"}.get(guest.kind, guest.kind)
    text = control.run(guest.owner, f"cat /etc/pve/nodes/{guest.owner}/{folder}/{guest.vmid}.conf").stdout
    return hashlib.sha256(text.replace("lock: backup\n", "").encode()).hexdigest()
