"""Which guests of a node run, which come up by themselves, and which nobody starts: each in one list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from pve_runbook.parsers.guests import GuestConfig

_TOOLS = {"qemu": "qm", "lxc": "pct"}


class GuestStarts(Struct, frozen=True):
    """The guests of a node but templates, in the order of their VMIDs; what its owner stopped is in no list."""

    running: tuple[GuestConfig, ...]
    startall: tuple[GuestConfig, ...]
    """Down, and the start of all guests after the boot, which waits for quorum, starts them."""
    under_ha: tuple[GuestConfig, ...]
    """Down, though HA should keep them running: nobody else starts them."""
    missed: tuple[GuestConfig, ...]
    """Down, though marked to start at boot, and no start of all guests waits: it is over, or failed for them."""
    at_rest: tuple[GuestConfig, ...]
    """Down since the node's boot, neither marked to start at boot nor under HA: whether they ran before it is not
    known, and nobody starts them."""

    @property
    def unstarted(self) -> tuple[GuestConfig, ...]:
        """What nobody starts."""
        return (*self.under_ha, *self.at_rest)

    @property
    def meant_to_run(self) -> tuple[GuestConfig, ...]:
        """What is down, and is known to be meant to run."""
        return (*self.startall, *self.under_ha, *self.missed)


def sorted_out(
    guests: Iterable[GuestConfig],
    running: Collection[int],
    *,
    waits: bool,
    managed: Collection[int],
    kept: Collection[int],
) -> GuestStarts:
    """Sort a node's guests by what becomes of them.

    ``waits``: whether a start of all guests does; it starts what is marked, and passes over ``managed``, the guests
    under HA (pve-manager, PVE/API2/Nodes.pm; seen on PVE 8.3). ``kept``: those that HA should keep running, and does
    not.
    """
    found: dict[str, list[GuestConfig]] = {"running": [], "startall": [], "under_ha": [], "missed": [], "at_rest": []}
    for guest in sorted((g for g in guests if not g.template), key=lambda g: g.vmid):
        by_startall = guest.onboot and guest.vmid not in managed
        if guest.vmid in running:
            found["running"].append(guest)
        elif by_startall:
            found["startall" if waits else "missed"].append(guest)
        elif guest.vmid in kept:
            found["under_ha"].append(guest)
        elif waits and guest.vmid not in managed:
            found["at_rest"].append(guest)
    return GuestStarts(**{name: tuple(some) for name, some in found.items()})


def by_name(guests: Iterable[GuestConfig]) -> str:
    """As people know them: "201 (mail), 202 (ci)"."""
    return ", ".join(f"{g.vmid} ({g.name})" if g.name else str(g.vmid) for g in guests)


def start_lines(guests: Sequence[GuestConfig]) -> str:
    """What is typed on their node to start them: "qm start 201; pct start 210"."""
    return "; ".join(f"{_TOOLS[g.kind]} start {g.vmid}" for g in guests)
