"""The past of a twin: corosync's log as the nodes told it (texts: corosync 3.1.7, as recorded and from its sources)."""

from __future__ import annotations

from pve_runbook.facts_file.model import Moment, NodePortrait, Told
from pve_runbook.parsers.corosync_log import Kind, Sign

from pve_lab.model.journal import Entry
from pve_lab.model.node import Node

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
        for subsystem, text in [_words(m, node.wall - m.ago)]
    ]
    said += [_of_the_reason(node, told) for told in known.past.told]
    if known.past.reaches:
        others.append(Entry(node.wall - known.past.seconds - 60, "", "systemd", 1, 6, "Started."))
    node.journal.entries = sorted([*others, *said], key=lambda e: e.time)


def _oldest(node: Node, known: NodePortrait) -> float:
    """Since when the journal speaks."""
    assert known.past is not None
    return node.wall - max((m.ago for m in known.past.moments), default=0.0)


def _of_the_reason(node: Node, told: Told) -> Entry:
    """A line of the kernel, of corosync or of pmxcfs."""
    time = node.wall - told.ago
    if told.sign in _KERNEL:
        return Entry(time, "", "kernel", 0, 4, _KERNEL[told.sign].format(what=told.what))
    if told.sign is Sign.PMXCFS:
        return Entry(time, "pve-cluster.service", "pmxcfs", 0, 2, f"[main] crit: {told.what}")
    subsystem, text = _COROSYNC[told.sign]
    return Entry(time, UNIT, "corosync", 0, 6, f"  [{subsystem:<6}] {text.format(what=told.what)}")


_KERNEL = {
    Sign.CARD_HANGS: "e1000e 0000:00:1f.6 {what}: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5123 ms",
    Sign.CARD_DOWN: "e1000e 0000:00:1f.6 {what}: NIC Link is Down",
}
_COROSYNC = {
    Sign.NOTHING_RECEIVED: ("TOTEM", "FAILED TO RECEIVE"),
    Sign.PAUSED: ("TOTEM", "Process pause detected for {what} ms, flushing membership messages."),
    Sign.REJECTED: ("KNET", "rx: Packet rejected from {what}"),
    Sign.OLDER_CONFIG: ("CMAP", "Received config version (4) is different than my config version (3)! Exiting"),
}


def _words(moment: Moment, time: float) -> tuple[str, str]:
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
        Kind.TOKEN_LOST: (
            "TOTEM",
            "A processor failed, forming new configuration: token timed out (3650ms), waiting 4380ms for consensus.",
        ),
        Kind.QUORUM_LOST: (
            "QUORUM",
            "This node is within the non-primary component and will NOT provide any services.",
        ),
        Kind.QUORUM_GAINED: ("QUORUM", "This node is within the primary component and will provide service."),
        Kind.STALL: (
            "MAIN",
            f"Corosync main process was not scheduled (@{time * 1000:.0f}) for {moment.milliseconds:.4f} ms "
            "(threshold is 2920.0000 ms). Consider token timeout increase.",
        ),
        Kind.PACKET_SIZE: (
            "KNET",
            "pmtud: possible MTU misconfiguration detected. kernel is reporting MTU: 1500 bytes for "
            f"host {hosts} link {moment.link} but the other node is not acknowledging packets of this size. ",
        ),
    }[moment.kind]
