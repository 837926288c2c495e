"""What gates say of the cluster as a whole: one text for one finding; the caller has judged already.

Most name an option by which the operator takes it upon himself, and the record names it too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pve_runbook.actions.startall import LET_GO
from pve_runbook.facts import ha
from pve_runbook.facts.guest_starts import GuestStarts, by_name, start_lines
from pve_runbook.facts.node import NodeFacts
from pve_runbook.probes.start_jobs import COMMITS
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

HOLDS_UP = ("fence", "recovery", "migrate", "relocate")
"""The states of a service that HA waits for before it disarms (pve-ha-manager, Manager.pm)."""
PID_FILE = "/run/qemu-server/{vmid}.pid"

NAME_BACK = (
    "put the name back on {node} (if {new} is meant: it can take that name once it stands alone, its configs moved to "
    "nodes/{new} then): `hostnamectl set-hostname {old}`, {old} for {new} in /etc/hosts, then `systemctl restart "
    "pve-cluster` there, which needs no quorum; its guests run on"
)
"""Without the end of the sentence."""
SHOWN = 10
"""Differences between databases that a refusal shows; the record has all."""


def missing_members(missing: Collection[str], given: Iterable[str]) -> str:
    """Members of corosync.conf that --hosts leaves out."""
    return refusal(
        RefusalId.MEMBERS_ARE_NOT_NAMED,
        "cluster",
        seen=f"{', '.join(missing)} is a member in corosync.conf, but not in --hosts",
        why="a member that is left out keeps voting, and its HA could take over the others' guests",
        do=f"Add it: --hosts={','.join([*given, *missing])}; or, if it is powered off, say so: "
        f"--absent={','.join(missing)}",
    )


def no_member(
    name: str, given: Iterable[str], members: Iterable[str], leave: Collection[str], absent: Collection[str]
) -> str:
    """A node that no corosync.conf names. ``given``: --hosts without it; ``leave``, ``absent``: what these name."""
    hosts, without = ",".join(given), ""
    if name in {*leave, *absent}:
        without = f", without --absent={name}" if name in absent else f", without --leave={name}"
        without += f". The members are {', '.join(members)}: if you meant one of them, name it"
    if name in leave:
        without += ". One that was let go needs nothing more; how the others are is asked with checks/"
    return refusal(
        RefusalId.NO_MEMBER,
        f"{name} (--absent)" if name in absent else name,
        seen="corosync.conf does not name this node",
        why="it belongs to another cluster or to none, and nothing here is meant for it",
        do=f"Leave it out: --hosts={hosts}{without}",
    )


def renamed(facts: NodeFacts, old: str) -> str:
    """A member that calls itself otherwise than corosync.conf does, which has it as ``old``."""
    node, new = facts.node, facts.hostname
    return refusal(
        RefusalId.NODE_WAS_RENAMED,
        node,
        seen=f"the node given as {node} calls itself {new}; its address is that of {old} in corosync.conf",
        why=f"its guests' configs lie in /etc/pve/nodes/{old}: under another name it would stand alone without them",
        do=f"P{NAME_BACK[1:].format(node=node, old=old, new=new)}; then run the same command line again",
    )


def not_absent(facts: NodeFacts, alive: Iterable[str]) -> str:
    """Members that --absent names, and that a node sees alive."""
    return refusal(
        RefusalId.NOT_ABSENT,
        facts.node,
        seen=f"{', '.join(alive)} is not absent: this node sees it",
        why="a member that is left out keeps voting, and its HA could take over the others' guests",
        do="Name it in --hosts, or power it off first. In a run that is taken up without it, and with HA off there, "
        "`systemctl stop corosync` on it is enough",
    )


def other_nodes(earlier: Collection[str], now: Collection[str], absent: Collection[str]) -> str:
    """An unfinished run that was begun on other nodes than --hosts names now, in words, or "". A node may have been
    powered off since, and be ``absent``."""
    more = [n for n in now if n not in earlier]
    fewer = [n for n in earlier if n not in now]
    if not more and len(fewer) <= len(absent):
        return ""
    then = f"--hosts={','.join(earlier)}"
    if more and not fewer:  # by its own name it was --absent
        then += f" --absent={','.join(more)}, which leaves by itself afterwards"
    return refusal(
        RefusalId.OTHER_NODES_THAN_BEFORE,
        "cluster",
        seen=f"the unfinished run was begun on {', '.join(earlier)}; this one names {', '.join(now)}",
        why="a node that it did not have has no baseline and no backup in it, and one that is left out is not watched",
        do=f"Run the same command line as before: {then}"
        + (f"; or, if {', '.join(fewer)} is powered off, say so: --absent={','.join(fewer)}" if not more else ""),
    )


def shared_storage(in_words: Mapping[str, str]) -> str:
    """Guests of several nodes on one storage; storage → who owns what there."""
    return refusal(
        RefusalId.SHARED_STORAGE,
        "cluster",
        seen="guests of more than one node lie on the same shared storage: "
        + "; ".join(f"{storage}: {owners}" for storage, owners in in_words.items()),
        why="after the split no lock crosses the nodes, and volumes are named by VMID alone: a node that creates or "
        "destroys a VMID can overwrite or delete the disk of another node's guest",
        do="Move the disks apart, or keep to this map (no VMID twice, `pvesm set STORAGE --nodes NODE`) and say so: "
        "--accept=shared-storage",
    )


def ceph(signs: Mapping[str, Iterable[str]]) -> str:
    """Ceph on the nodes themselves; what says so → on which nodes."""
    found = [f"{sign} on {', '.join(nodes)}" for sign, nodes in signs.items()]
    return refusal(
        RefusalId.CEPH_RUNS,
        "cluster",
        seen=f"Ceph runs on these nodes: {'; '.join(found)}",
        why="its monitors and OSDs have a quorum of their own and go on, but /etc/ceph/ceph.conf is a link into "
        "/etc/pve and the keyrings lie in /etc/pve/priv/ceph: while a node leaves, running daemons and guests go on "
        "and new starts fail; after that every node has a copy of its own",
        do="Type `ceph osd set noout`, reboot no two nodes at a time, see that `ceph -s` is healthy (often it shares "
        "the broken network), then say so: --accept=ceph",
    )


def diverged(versions: Mapping[str, int], newest: Collection[str], differences: Sequence[str]) -> str:
    """Databases with different contents; node → version of its database."""
    more = f"; and {len(differences) - SHOWN} more, see the record" if len(differences) > SHOWN else ""
    older = [f"--authority={node}@{version}" for node, version in versions.items() if node not in newest]
    return refusal(
        RefusalId.DATABASES_DIVERGED,
        "cluster",
        seen=f"the databases of {', '.join(versions)} have diverged: {'; '.join(differences[:SHOWN])}{more}",
        why="they were changed where the others could not see it; every node keeps its own, and the authority's is the "
        "one that is given quorum",
        do=f"Name the authority: {' or '.join(f'--authority={node}' for node in newest)} (the newest)"
        + (f", or an older one by its version: {' or '.join(older)}" if older else ""),
    )


def without_vote(latest: Collection[str], voting: Mapping[str, int]) -> str:
    """No node that would be the authority has a vote; of the others that have one → version of its database."""
    others = " or ".join(f"--authority={node}@{version}" for node, version in voting.items())
    return refusal(
        RefusalId.AUTHORITY_HAS_NO_VOTE,
        "cluster",
        seen=f"{', '.join(latest)} would be the authority, and has no vote in corosync's count (quorum_votes: 0)",
        why="no number of expected votes makes a node without a vote quorate: its /etc/pve would stay read-only",
        do=f"Name a node with a vote, by the version of its database: {others}"
        if others
        else "Stop corosync on one node (`systemctl stop corosync`) and name it: --authority=NODE. Without corosync "
        "there is no quorum to be forced, and it leaves by local mode",
    )


def lost_when_they_meet(newest: str, guests: Iterable[str]) -> str:
    """Guests that the newest database does not know as their own nodes do."""
    return refusal(
        RefusalId.LOST_WHEN_THEY_MEET,
        "cluster",
        seen=f"{newest}'s database is the newest, without the config of {', '.join(guests)}",
        why="when the nodes meet, the newest one overwrites the others: these guests would have no config any more",
        do="Do not start corosync on these nodes together: apart, each keeps its own guests",
    )


def interrupted(vmids: Iterable[int]) -> str:
    """Guests that did not run on while a node left the cluster."""
    return refusal(
        RefusalId.GUESTS_INTERRUPTED,
        "cluster",
        seen=f"while the node left, the process of these guests was not seen any more: {', '.join(map(str, vmids))}",
        why="no guest may be interrupted; the next node is not touched",
        do="Look at these guests first (`qm status VMID`, the console), then at the journal's samples",
    )


def scheduler_waits(facts: NodeFacts) -> str:
    """A scheduler that runs or waits where quorum is about to be granted."""
    return refusal(
        RefusalId.SCHEDULER_WAITS,
        facts.node,
        seen="the scheduler runs or waits for quorum again",
        why="overdue jobs would start within a minute of the quorum that this phase grants",
        do="Run the same command line again: phase 0 stops it",
    )


def starts_wait(facts: NodeFacts, units: Sequence[str]) -> str:
    """Units whose start waits, and that would act, or may, the moment the node is granted quorum."""
    commits = [unit for unit in units if unit in COMMITS]
    first = units[0] if units else ""
    return refusal(
        RefusalId.START_WAITS_FOR_QUORUM,
        facts.node,
        seen=f"the start of {', '.join(units)} is waiting or running",
        why=(
            "with quorum what is pending is applied: the network may be reloaded (`ifreload -a`) under running guests, "
            "with what was edited in /etc/network/interfaces"
            if commits
            else "what waits for quorum acts the moment there is some, and it is not known what this does to the node"
        ),
        do=f"See what it is (`systemctl status {first}`); wait until `systemctl list-jobs` has it no more, or end it: "
        f"`systemctl stop {' '.join(units)}`; then run the same command line again",
    )


def not_disarmed(facts: NodeFacts, seconds: int) -> str:
    """HA was told to disarm, and still holds the watchdog on this node. Raises UnknownFact."""
    moving = [f"{sid} ({state} on {node})" for sid, (node, state) in ha.services(facts).items() if state in HOLDS_UP]
    because = f"; what holds it up: {', '.join(moving)}" if moving else ""
    return refusal(
        RefusalId.HA_IS_NOT_DISARMED,
        facts.node,
        seen=f"HA was told to disarm, and still holds the watchdog after {seconds} s{because}",
        why="it disarms only once no service is in fence, recovery or migration; until then it can reset this node",
        do="See `ha-manager status` until no service is on its way any more, then run the same command line again; to "
        "have HA back as it was: `ha-manager crm-command arm-ha`",
    )


def pids_apart(facts: NodeFacts) -> str:
    """VMs whose process is not the one in their pid file, each with both pids. Raises UnknownFact."""
    apart = facts.pids_apart
    vmid, found, named = apart[0]
    mend = (
        f"Look at `ps -fp {found}` there; it is the guest: `echo {found} > {PID_FILE.format(vmid=vmid)}`"
        if found is not None
        else f"Look at `ps -fp {named}` there; it is no guest: `rm {PID_FILE.format(vmid=vmid)}`"
    )
    return refusal(
        RefusalId.GUEST_PROCESS_IS_UNSURE,
        facts.node,
        seen="; ".join(_apart(*one) for one in apart),
        why="Proxmox knows by that file whether a VM runs: it would start one a second time, on the same disk; and "
        "that it ran on would be proven of another process",
        do=f"{mend}. Then run the same command line again",
    )


def _apart(vmid: int, found: int | None, named: int | None) -> str:
    file = PID_FILE.format(vmid=vmid)
    if named is None:
        return f"guest {vmid} runs as pid {found}, and there is no {file}"
    if found is None:
        return f"{file} names pid {named}, which lives and is no guest that was found"
    return f"guest {vmid} runs as pid {found}, and {file} names pid {named}"


def nobody_starts(facts: NodeFacts, starts: GuestStarts) -> str:
    whys = (
        (starts.under_ha, "HA, which keeps them running, does not start them now"),
        (starts.at_rest, "the node's boot, which waits for quorum, does not start them (no onboot)"),
    )
    return refusal(
        RefusalId.GUESTS_NOBODY_STARTS,
        facts.node,
        seen="; ".join(f"guests {by_name(guests)} are down: {why}" for guests, why in whys if guests),
        why="they may have run before the node's boot, and nobody brings them back",
        do="Which of them should run, and runs on no other node, is started once the node has quorum, there: "
        f"{start_lines(starts.unstarted)}",
    )


def startall_not_held(facts: NodeFacts) -> str:
    waiting = by_name(facts.starts(ha_goes=True).startall)
    return refusal(
        RefusalId.STARTALL_IS_NOT_HELD,
        facts.node,
        seen=f"the start of all guests waits for quorum, and is not held: {waiting or 'no guest is marked for it'}",
        why="whatever grants quorum starts them, and local mode does it a second before its pmxcfs is ended: a guest "
        "that is just starting would lose its config",
        do="Run the same command line again: it holds the start first",
    )


def startall_still_held(facts: NodeFacts) -> str:
    return refusal(
        RefusalId.STARTALL_IS_STILL_HELD,
        facts.node,
        seen="the start of all guests is still held",
        why="none of its guests comes up, and nothing would let it go any more but a boot",
        do=f"Run the same command line again, or type there: {LET_GO}",
    )
