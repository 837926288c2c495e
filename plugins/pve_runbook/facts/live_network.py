"""The network as it lives on a node: devices, bridge ports and addresses, before and after.

A file of the network can be as it was while `ifreload` has changed what is live, and a bridge that lost its ports takes
every guest off the network without touching one process.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from pve_runbook.facts.network import guest_of_port
from pve_runbook.parsers.iproute import Device

Live = Mapping[str, tuple[str, ...]]
"""Device → what it is, in words."""
_ENDS = re.compile(r"(tap|tun|veth|fwbr|fwpr|fwln)\w+")
"""Ends of what guests and containers use: they come and go with these."""


def live_network(devices: Iterable[Device]) -> Live:
    """What of the devices nothing but a person, or `ifreload`, changes: neither carrier nor counters, neither what a
    router hands out nor an address that the kernel made of a card's number. Of a guest's port only the bridge."""
    return {d.name: _words(d) for d in devices if d.name != "lo"}


def _words(device: Device) -> tuple[str, ...]:
    port = (f"port of {device.master}",) if device.master else ()
    if _ENDS.fullmatch(device.name):
        return port
    addresses = (f"{a.address}/{a.prefix}" for a in device.addresses if a.scope == "global" and a.lasts)
    return ("up" if device.is_up else "down", f"mtu {device.mtu}", *port, *sorted(addresses))


def changes(before: Live, now: Live, running: Collection[int]) -> list[str]:
    """What changed, a clause a device. ``running``: the guests that run since before; ports of others do not count."""
    found = []
    for name, was in before.items():
        guest = guest_of_port(name)
        if guest not in running if guest is not None else name not in now and _ENDS.fullmatch(name):
            continue
        if name not in now:
            found.append(f"{name} is gone ({', '.join(was)})")
        elif now[name] != was:
            found.append(f"{name}: {_difference(was, now[name])}")
    found += [f"{name} is new ({', '.join(is_)})" for name, is_ in now.items() if _is_new(name, before)]
    return found


def _is_new(name: str, before: Live) -> bool:
    return name not in before and _ENDS.fullmatch(name) is None


def _difference(was: tuple[str, ...], is_: tuple[str, ...]) -> str:
    lost, new = (", ".join(w for w in one if w not in other) for one, other in ((was, is_), (is_, was)))
    if lost and new:
        return f"was {lost}, is {new}"
    return f"is no more {lost}" if lost else f"has {new}"
