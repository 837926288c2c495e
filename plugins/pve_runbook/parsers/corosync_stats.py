"""What corosync counts while it runs: its links' ups and downs, and what had to be sent again."""

from __future__ import annotations

import re
from collections import defaultdict

from msgspec import Struct

from pve_runbook.parsers.output import Output, ParseError, lines_of, stdout_of, unread

_ROW = re.compile(r"(?P<key>\S+) \((?P<type>\w+)\) = (?P<value>.*)")
_LINK = re.compile(r"stats\.knet\.node(?P<nodeid>\d+)\.link(?P<link>\d+)\.(?P<name>\w+)")
_RESENT = "stats.srp.mcast_retx"
_NOT_RUNNING, _BUSY = "Failed to initialize the cmap API", "CS_ERR_TRY_AGAIN"


class LinkCounters(Struct, frozen=True):
    """One link to one node, since corosync started here; latencies in microseconds, ``mtu`` in bytes.

    ``downs`` is 1 for a link that never failed: kronosnet counts its state before the first contact (recorded on PVE
    8.3: 2 after one loss, 5 after four). A node's link to itself has 0.
    """

    nodeid: int
    link: int
    connected: bool
    ups: int
    downs: int
    latency_ave: int
    latency_max: int
    mtu: int

    @property
    def losses(self) -> int:
        """How often it was up and went down."""
        return max(self.downs - 1, 0)


class Counters(Struct, frozen=True):
    """All links, by nodeid and link, none with a transport before kronosnet (udpu); ``resent`` is how many messages
    this node had to send again."""

    links: tuple[LinkCounters, ...]
    resent: int


def parse_counters(output: Output) -> Counters | None:
    """Read `corosync-cmapctl -m stats`; None while corosync does not run (exit status 1; recorded on PVE 8.3).

    Raises ParseError.
    """
    if output.exit_status == 1 and _NOT_RUNNING in output.stderr and _BUSY not in output.stderr:
        return None
    resent = None
    links: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for line in lines_of(stdout_of(output, "corosync-cmapctl")):
        row = _ROW.fullmatch(line)
        if row is None:
            raise unread("corosync-cmapctl", line)
        link = _LINK.fullmatch(row["key"])
        if link is None and row["key"] != _RESENT:
            continue
        if not row["value"].isdecimal():
            raise unread("corosync-cmapctl", line)
        if link is None:
            resent = int(row["value"])
        else:
            links[int(link["nodeid"]), int(link["link"])][link["name"]] = int(row["value"])
    if resent is None:
        raise ParseError("corosync-cmapctl does not count what was sent again.")
    return Counters(tuple(_link(key, found) for key, found in sorted(links.items())), resent)


def _link(key: tuple[int, int], found: dict[str, int]) -> LinkCounters:
    nodeid, link = key
    try:
        return LinkCounters(
            nodeid=nodeid,
            link=link,
            connected=found["connected"] == 1,
            ups=found["up_count"],
            downs=found["down_count"],
            latency_ave=found["latency_ave"],
            latency_max=found["latency_max"],
            mtu=found["mtu"],
        )
    except KeyError as missing:
        raise ParseError(f"corosync-cmapctl does not count {missing} of node {nodeid} link {link}.") from None
