"""What comes of it when nodes with databases of their own find each other again: the newest one wins."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pve_runbook.parsers.guests import GuestConfig
from pve_runbook.procedure.config_db_diff import Database

SHOWN = 8


class Meeting(Struct, frozen=True):
    """``databases``: node name → the database it brings; ``hostnames``: node name → its own name."""

    databases: Mapping[str, Database]
    hostnames: Mapping[str, str]

    @property
    def newest(self) -> str:
        """Whose database wins: the highest (version, mtime) (pve-cluster, dcdb.c); "" where nobody meets."""
        trees = {name: database.tree for name, database in self.databases.items()}
        return max(trees, key=lambda name: (trees[name].version, trees[name].mtime, name), default="")

    def lost_guests(self) -> list[str]:
        """The guests whose config, as their own node has it, is not what the newest database has, in words."""
        winner = self.databases[self.newest].tree.guests if self.databases else {}
        return [
            f"{vmid} of {name}"
            for name, database in self.databases.items()
            for vmid, guest in database.tree.guests.items()
            if guest.node == self.hostnames[name] and _who_and_what(winner.get(vmid)) != _who_and_what(guest)
        ]

    def differences(self) -> list[str]:
        """What the newest database overwrites on each of the other nodes, in words."""
        lines = []
        for name, database in self.databases.items():
            paths = database.differs(self.databases[self.newest])
            if paths:
                more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
                lines.append(f"on {name}: {', '.join(paths[:SHOWN])}{more}")
        return lines


def _who_and_what(guest: GuestConfig | None) -> tuple[str, str] | None:
    return None if guest is None else (guest.node, guest.sha256)
