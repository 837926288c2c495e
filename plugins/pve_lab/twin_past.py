"""The past of a twin: corosync's log as the nodes told it (texts: corosync 3.1.7, as recorded and from its sources)."""

from __future__ import annotations

from pve_runbook.facts.corosync_log import Kind
from pve_runbook.facts.portrait import Moment, NodePortrait
from pve_runbook.lab.model.journal import Entry
from pve_runbook.lab.model.node import Node

UNIT = "corosync.service"


def remember(node: Node, known: NodePortrait) -> None:
    """Put what corosync logged on the node in place of what it logged while the twin was built."""
    if known.past is None:
        return
    pid = node.units.get(UNIT).main_pid
    others = [
        e for e in node.journal.entries if e.unit != UNIT and (known.past.reaches or e.time > _oldest(node, known))
    ]
    said = [
        Entry(node.wall - m.ago, UNIT, "corosync", pid, 6, f"  [{subsystem:<6}] {text}")
        for m in known.past.moments
        for subsystem, text in [_words(m)]
    ]
    if known.past.reaches:
        others.append(Entry(node.wall - known.past.seconds - 60, "", "systemd", 1, 6, "Started."))
    node.journal.entries = sorted([*others, *said], key=lambda e: e.time)


def _oldest(node: Node, known: NodePortrait) -> float:
    """Since when the journal speaks."""
    assert known.past is not None
    return node.wall - max((m.ago for m in known.past.moments), default=0.0)


def _words(moment: Moment) -> tuple[str, str]:
    """Subsystem and text of a line."""
    hosts = " ".join(map(str, moment.hosts))
    left = " ".join(map(str, moment.left))
    change = (f" joined: {hosts}" if hosts else "") + (f" left: {left}" if left else "")
    peer = f"host: {hosts} link: {moment.link}"
    return {
        Kind.STARTED: ("MAIN", "Corosync Cluster Engine 3.1.7 starting up"),
        Kind.STOPPED: ("MAIN", "Corosync Cluster Engine exiting normally"),
        Kind.LINK_DOWN: ("KNET", f"link: {peer} is down"),
        Kind.LINK_UP: ("KNET", f"rx: {peer} is up"),
        Kind.MEMBERSHIP: ("TOTEM", f"A new membership (1.22) was formed. Members{change}"),
        Kind.LOST: ("TOTEM", f"Failed to receive the leave message. failed: {hosts}"),
        Kind.SHUT_DOWN: ("CFG", f"Node {hosts} was shut down by sysadmin"),
        Kind.TOKEN_LATE: ("TOTEM", f"Token has not been received in {moment.milliseconds:.0f} ms"),
        Kind.TOKEN_LOST: ("TOTEM", "A processor failed, forming new configuration: token timed out"),
        Kind.QUORUM_LOST: (
            "QUORUM",
            "This node is within the non-primary component and will NOT provide any services.",
        ),
        Kind.QUORUM_GAINED: ("QUORUM", "This node is within the primary component and will provide service."),
        Kind.STALL: ("MAIN", f"Corosync main process was not scheduled for {moment.milliseconds} ms"),
        Kind.PACKET_SIZE: (
            "KNET",
            f"pmtud: possible MTU misconfiguration detected for host {hosts} link {moment.link}",
        ),
    }[moment.kind]
