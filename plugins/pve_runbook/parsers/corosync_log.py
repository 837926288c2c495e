"""What corosync wrote into the journal about its links, its token and its membership; and what it, pmxcfs and the
kernel wrote of the reason.

Texts: recorded on PVE 8.3 (corosync 3.1.7) for links, token, membership, quorum and start; from corosync's sources
(exec/main.c, exec/totemsrp.c, exec/cfg.c) and kronosnet's (libknet) for the rest.
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from pve_runbook.parsers.json_objects import parse_object
from pve_runbook.parsers.output import Output, ParseError, lines_of, stdout_of, unknown, unread

MOST_LINES = 50_000
"""How many matching lines are asked for, the newest: about 5 MB, a flap every 38 s (recorded) for two days."""


class Kind(StrEnum):
    """What a line of corosync says."""

    STARTED = "started"
    STOPPED = "stopped"
    LINK_DOWN = "link down"
    LINK_UP = "link up"
    MEMBERSHIP = "membership"
    """A new membership, whoever joined or left."""
    LOST = "lost"
    """Members that left without saying so; the line follows that of the membership."""
    SHUT_DOWN = "shut down"
    """A member that says that it leaves."""
    TOKEN_LATE = "token late"
    """Three quarters of the token timeout are over (totem.token_warning)."""
    TOKEN_LOST = "token lost"
    QUORUM_LOST = "quorum lost"
    QUORUM_GAINED = "quorum gained"
    STALL = "stall"
    """The node did not let corosync run: processor or disk, not the network."""
    PACKET_SIZE = "packet size"
    """A peer does not acknowledge packets of the size that this node's interface allows."""


# Both the node's journalctl (PCRE) and re read these; what the one lets through the other knows.
_TEXTS = {
    Kind.LINK_DOWN: r"link: host: (?P<down>[0-9]+) link: (?P<down_link>[0-9]+) is down",
    Kind.LINK_UP: r"(?:rx|link): host: (?P<up>[0-9]+) link: (?P<up_link>[0-9]+) is up",
    Kind.MEMBERSHIP: r"A new membership \([^)]*\) was formed\. Members(?: joined:(?P<joined>(?: [0-9]+)+))?"
    r"(?: left:(?P<left>(?: [0-9]+)+))?",
    Kind.LOST: r"Failed to receive the leave message\. failed:(?P<lost>(?: [0-9]+)+)",
    Kind.SHUT_DOWN: r"Node (?P<shut>[0-9]+) was shut down by sysadmin",
    Kind.TOKEN_LATE: r"Token has not been received in (?P<late>[0-9]+) ms",
    Kind.TOKEN_LOST: r"A processor failed, forming new configuration(?P<expired>)",
    Kind.QUORUM_LOST: r"This node is within the non-primary component(?P<inquorate>)",
    Kind.QUORUM_GAINED: r"This node is within the primary component(?P<quorate>)",
    Kind.STALL: r"main process was not scheduled (?:\(@[0-9]+\) )?for (?P<stall>[0-9]+(?:\.[0-9]+)?) ms",
    Kind.PACKET_SIZE: r"possible MTU misconfiguration detected.*for host (?P<size>[0-9]+) link (?P<size_link>[0-9]+)",
    Kind.STARTED: r"Corosync Cluster Engine .*starting up(?P<started>)",
    Kind.STOPPED: r"Corosync Cluster Engine exiting(?P<stopped>)",
}
PATTERN = "|".join(_TEXTS.values()).replace("?P<", "?<")
"""For ``journalctl --grep`` (systemd from 237; PVE 7 has 247). Retransmissions are left out: a bad link logs them by
the hundred thousand, and corosync counts them itself."""

_TEXT = re.compile("|".join(_TEXTS.values()))
_KIND_OF_GROUP = {
    "down_link": Kind.LINK_DOWN,
    "up_link": Kind.LINK_UP,
    "joined": Kind.MEMBERSHIP,
    "left": Kind.MEMBERSHIP,
    "lost": Kind.LOST,
    "shut": Kind.SHUT_DOWN,
    "late": Kind.TOKEN_LATE,
    "expired": Kind.TOKEN_LOST,
    "inquorate": Kind.QUORUM_LOST,
    "quorate": Kind.QUORUM_GAINED,
    "stall": Kind.STALL,
    "size_link": Kind.PACKET_SIZE,
    "started": Kind.STARTED,
    "stopped": Kind.STOPPED,
}
_LINE = re.compile(r"(?P<time>[0-9]+\.[0-9]+) [^ ]+: +(?P<message>.*)")
_INFORMATION = "-- "
"""What journalctl says of itself: "-- No entries --", "-- Boot ... --", "-- Journal begins at ... --" (247)."""
_NOTHING = "-- No entries --"
_NO_JOURNAL = "No journal files were"


class Event(Struct, frozen=True):
    """One line. ``time`` in seconds since the epoch by the node's clock; ``hosts`` are nodeids (of a membership: who
    joined), ``left`` those that left; ``milliseconds`` of a stall or a late token."""

    time: float
    kind: Kind
    hosts: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    link: int = 0
    milliseconds: float = 0.0


class CorosyncLog(Struct, frozen=True):
    """Events, the oldest first. ``whole`` is False where the node had more lines than were asked for, and the oldest
    are missing."""

    events: tuple[Event, ...]
    whole: bool


def parse_corosync_log(output: Output) -> CorosyncLog:
    """Read `journalctl --reverse --grep=PATTERN -o short-unix --no-hostname`, newest line first.

    Exit status 1 and "-- No entries --" is the answer where nothing matches (systemd, journalctl.c; seen with 252).
    Raises ParseError for anything else, also where the node keeps no journal.
    """
    if _NO_JOURNAL in output.stderr:
        raise ParseError("the node keeps no journal that could be read.")
    nothing = output.exit_status == 1 and output.stdout.strip() == _NOTHING
    if not nothing and (output.exit_status != 0 or not output.stdout.strip()):
        raise unknown(output, "journalctl")
    lines = [line for line in lines_of(output.stdout) if not line.startswith(_INFORMATION)]
    events = [_event(line) for line in reversed(lines)]
    return CorosyncLog(tuple(events), len(lines) < MOST_LINES)


def parse_line_before(output: Output) -> float | None:
    """Read `journalctl --reverse --lines=1 -o json`: seconds since the epoch of that line, None without any (silent).

    Raises ParseError.
    """
    text = stdout_of(output, "journalctl")
    if not text.strip():
        return None
    stamp = parse_object(text, "journalctl").text("__REALTIME_TIMESTAMP")
    if not stamp.isdecimal():
        raise unread("journalctl", stamp)
    return int(stamp) / 1_000_000


def _event(line: str) -> Event:
    head = _LINE.match(line)
    text = _TEXT.search(head["message"]) if head is not None else None
    if head is None or text is None:
        raise unread("journalctl", line)
    time = float(head["time"])
    group = text.lastgroup
    if group is None:  # "Members" alone: the same nodes found each other again
        return Event(time, Kind.MEMBERSHIP)
    kind = _KIND_OF_GROUP[group]
    if kind is Kind.MEMBERSHIP:
        return Event(time, kind, _ids(text["joined"]), _ids(text["left"]))
    if kind is Kind.LINK_DOWN:
        return Event(time, kind, (int(text["down"]),), link=int(text["down_link"]))
    if kind is Kind.LINK_UP:
        return Event(time, kind, (int(text["up"]),), link=int(text["up_link"]))
    if kind is Kind.PACKET_SIZE:
        return Event(time, kind, (int(text["size"]),), link=int(text["size_link"]))
    if kind in (Kind.STALL, Kind.TOKEN_LATE):
        return Event(time, kind, milliseconds=float(text[group]))
    if kind in (Kind.LOST, Kind.SHUT_DOWN):
        return Event(time, kind, _ids(text[group]))
    return Event(time, kind)


def _ids(text: str | None) -> tuple[int, ...]:
    return tuple(map(int, (text or "").split()))


class Sign(StrEnum):
    """What a line says of the reason why a member or a link is lost."""

    CARD_HANGS = "card hangs"
    """The kernel's watchdog of a card, or the driver's own (kernel, net/sched/sch_generic.c; e1000e)."""
    CARD_DOWN = "card down"
    NOTHING_RECEIVED = "nothing received"
    """Its messages go out, and nothing comes back (corosync, exec/totemsrp.c)."""
    PAUSED = "paused"
    """The node did not let corosync's process run (corosync, exec/totemsrp.c)."""
    REJECTED = "rejected"
    """Packets from an address that corosync.conf does not have (kronosnet, libknet/threads_rx.c)."""
    OLDER_CONFIG = "older config"
    """The others have a newer corosync.conf: it exits (corosync, exec/cmap.c)."""
    PMXCFS = "pmxcfs"
    """pmxcfs does not start (pve-cluster, src/pmxcfs)."""


_SIGNS = {
    Sign.CARD_HANGS: r"(?P<hangs>[^ ]+): (?:NETDEV WATCHDOG: CPU|Detected Hardware Unit Hang)"
    r"|NETDEV WATCHDOG: (?P<hung>[^ ]+) \(",  # from Linux 6.7 on the device comes first
    # "NIC Link is Down" (Intel), "e1000e: eno1 NIC Link is Down" (Linux up to 5.15), "NIC Copper Link is Down" (bnx2),
    # "Link is Down" (drivers on phylib), "Link is down" (tg3), "Link down" (mlx5); "Link Down" is a PCI slot's
    Sign.CARD_DOWN: r"(?P<card>[^ ]*[^ :])(?:: (?:NIC (?:[A-Za-z]+ )*)?| NIC (?:[A-Za-z]+ )*)Link (?:is [Dd]own|down)",
    Sign.NOTHING_RECEIVED: r"FAILED TO RECEIVE",
    Sign.PAUSED: r"Process pause detected for (?P<pause>[0-9]+) ms",
    Sign.REJECTED: r"rx: Packet rejected from (?P<rejected>[^ ]+)",
    Sign.OLDER_CONFIG: r"Received config version \([0-9]+\) is different than my config version \([0-9]+\)",
    Sign.PMXCFS: r"\[(?:main|database)\] crit: (?P<pmxcfs>.*)",
}
SIGNS_PATTERN = "|".join(_SIGNS.values()).replace("?P<", "?<")
MOST_SIGNS = 500
_SIGN = {sign: re.compile(text) for sign, text in _SIGNS.items()}


class Symptom(Struct, frozen=True):
    """One line. ``time`` in seconds since the epoch by the node's clock; ``what`` is a device, an address, milliseconds
    or pmxcfs's own words; ``text`` is the line."""

    time: float
    sign: Sign
    what: str
    text: str


def parse_symptoms(output: Output) -> tuple[Symptom, ...]:
    """Read `journalctl --reverse --grep=SIGNS_PATTERN -o short-unix --no-hostname` of the kernel, corosync and pmxcfs:
    the oldest first. Raises ParseError as :func:`parse_corosync_log` does."""
    if _NO_JOURNAL in output.stderr:
        raise ParseError("the node keeps no journal that could be read.")
    if output.exit_status == 1 and output.stdout.strip() == _NOTHING:
        return ()
    if output.exit_status != 0 or not output.stdout.strip():
        raise unknown(output, "journalctl")
    lines = [line for line in lines_of(output.stdout) if not line.startswith((_INFORMATION, " "))]
    return tuple(_symptom(line) for line in reversed(lines))


def _symptom(line: str) -> Symptom:
    head = _LINE.match(line)
    for sign, pattern in _SIGN.items() if head is not None else ():
        found = pattern.search(head["message"]) if head is not None else None
        if found is not None and head is not None:
            what = next((group for group in found.groups() if group), "")
            return Symptom(float(head["time"]), sign, what, found[0])
    raise unread("journalctl", line)
