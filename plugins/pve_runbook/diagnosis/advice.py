"""What an answer says: the sentences of the verdict's table, each made of a Case; what to do, and what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pve_runbook.diagnosis import network
from pve_runbook.diagnosis.case import Case
from pve_runbook.diagnosis.cause import Origin
from pve_runbook.diagnosis.divergence import differences, newest, readable
from pve_runbook.diagnosis.network import Cause
from pve_runbook.diagnosis.refusals_cluster import NAME_BACK, SHOWN
from pve_runbook.diagnosis.situation import Way
from pve_runbook.diagnosis.stability import span
from pve_runbook.facts.guest_starts import GuestStarts, by_name, start_lines
from pve_runbook.parsers.guests import GuestConfig

LOOK = "find out what is missing, and check again"
NO_CAUSE = "no single cause explains it: look at `journalctl -u corosync` on every node"
FINISH = "finish the dismantling: the runbook goes on from this state"
WAIT = "wait five minutes without touching anything, and check again"
_TWO_WAYS = (
    "{node} is out, the others work and are left alone. To bring it back: empty it of guests, have the others forget "
    "it (`pvecm delnode {name}` on {member}), and join it again: `{add}` on it; to let it go for good: pytest runbook/ "
    "--leave={node}, with all nodes in --hosts that are up"
)
_REMOVED = (
    "{node} is out: the others removed it, and work without it. To bring it back: separate it (pve-docs, Separate a "
    "Node Without Reinstalling), empty it of guests, and join it again: `{add}` on it; to let it go for good nothing "
    "is left to be done on the others"
)
RESTORE = (
    "bring the configs back before anything else. They may be in a record's backups, in /var/lib/pve-cluster/backup, "
    "in another member's database or in the process's own command line (/proc/PID/cmdline); the guests run on meanwhile"
)


def power_on(case: Case) -> str:
    names = ", ".join(case.off)
    if case.absent.issuperset(case.off):
        return f"dead for good, as --absent says: {names}; the runbook takes the others out alone"
    votes = case.where.parts[0].votes
    them, in_turn = ("it", "") if len(case.off) == 1 else ("them", ", one after the other")
    return (
        f"power on {names}: quorum comes back by itself. Dead for good, and never to be powered on in this network "
        f"again: take the others apart without {them} (pytest runbook/ --hosts={_reached(case)} "
        f"--absent={','.join(case.off)}); or remove {them} from the cluster{in_turn}: `pvecm expected {votes}`, which "
        "holds for the moment, then `pvecm delnode` of it"
    )


def without(case: Case) -> str:
    back = "it joins by itself" if len(case.off) == 1 else "they join by themselves"
    return (
        f"the cluster works without {', '.join(case.off)}. Once powered on, {back}. Gone for good: pytest runbook/ "
        f"--hosts={_reached(case)} --leave={','.join(case.off)} --absent={','.join(case.off)}"
    )


def _reached(case: Case) -> str:
    return ",".join(facts.node for facts in case.everyone)


def two_ways(case: Case) -> str:
    out = case.where.outs[0]
    words = _REMOVED if out.way is Way.REMOVED else _TWO_WAYS
    names = {f.node: f.hostname for f in case.everyone}
    name, member = (names.get(node, node) for node in (out.node, case.where.parts[0].nodes[0]))
    conf = case.where.conf
    links = {} if conf is None else {m.name: m.addrs.get(0) for m in conf.nodes}
    # By address: an installed node has no peer's name in /etc/hosts. Without --link0 it is the address of its own name.
    add = f"pvecm add {links.get(member) or 'ADDRESS'} --link0 {links.get(name) or 'ADDRESS'}"
    return words.format(node=out.node, name=name, member=member, add=add)


def name_back(case: Case) -> str:
    node, (old, new) = next(iter(case.where.renamed.items()))
    return NAME_BACK.format(node=node, old=old, new=new)


def renamed(case: Case) -> list[str]:
    return [
        f"{node}: it calls itself {new}, which no corosync.conf has; it is {old} there, and its guests' configs lie in "
        f"nodes/{old}"
        for node, (old, new) in case.where.renamed.items()
    ]


def mend_own(case: Case) -> str:
    return case.own_faults[0].fix


def own_evidence(case: Case) -> list[str]:
    return [c.evidence for c in case.own_faults]


def evidence(case: Case) -> list[str]:
    return [c.evidence for c in case.causes_of(Origin.NODE, Origin.VOTES)]


def mend_first(case: Case) -> str:
    return case.causes_of(Origin.NODE, Origin.VOTES)[0].fix


def mend_network(case: Case) -> str:
    return case.causes_of(Origin.NETWORK)[0].fix


def network_evidence(case: Case) -> list[str]:
    return [c.evidence for c in case.causes_of(Origin.NETWORK)]


def look_at_the_link(case: Case) -> str:
    node = case.where.out(Way.APART)[0].node
    own = [c for c in case.causes_of(Origin.NETWORK) if node in c.nodes]
    if own:
        return own[0].fix
    return (
        f"the others see each other and not {node}: look at its link (card, cable, switch port, its firewall: `ip -s "
        f"link`, `dmesg` on {node}), then `systemctl restart corosync` there alone"
    )


def link_evidence(case: Case) -> list[str]:
    node = case.where.out(Way.APART)[0].node
    found = [c.evidence for c in case.causes_of(Origin.NETWORK) if node in c.nodes]
    found += network.in_words(f for f in case.risks if f.cause in _OF_ONE_LINK and node in f.nodes)
    if case.rings_by_name:
        found += network.in_words(f for f in case.risks if f.cause is Cause.AMBIGUOUS_NAMES and node in f.nodes)
    lost = [] if found else [f"the cluster link of {node} is lost, the others see each other"]
    return [*lost, *found, *case.bonds]


_OF_ONE_LINK = (Cause.ROUTED, Cause.UNEXPECTED_INTERFACE)


def works(case: Case) -> list[str]:
    """The votes of those that are together, and the guests that wait."""
    return [f"together and quorate: {case.where.majority}", *_waiting(case)]


def whole(case: Case) -> list[str]:
    quiet = min(f.quiet_for for f in case.of_the_core)
    return [f"all members see each other, and nothing changed for {span(quiet)}", *_waiting(case)]


def _waiting(case: Case) -> list[str]:
    return [
        f"{node}: guests {by_name(guests)} {said}"
        for said, read in _DOWN
        for node, starts in case.starts.items()
        if (guests := read(starts))
    ]


_DOWN: tuple[tuple[str, Callable[[GuestStarts], Sequence[GuestConfig]]], ...] = (
    ("are down, and start the moment it has quorum", lambda s: s.startall),
    ("are down, and HA, which keeps them running, needs quorum for it: nobody else starts them", lambda s: s.under_ha),
    ("are down since its boot and not marked to start with it: nobody starts them", lambda s: s.at_rest),
)
NOTHING = "nothing is to be done"


def nothing(case: Case) -> str:
    """Nothing, where no guest is down that is meant to run."""
    down = {node: starts.meant_to_run for node, starts in case.starts.items() if starts.meant_to_run}
    if not down:
        return NOTHING
    names = "; ".join(f"{node}: {by_name(guests)}" for node, guests in down.items())
    lines = "; ".join(f"{start_lines(guests)} (on {node})" for node, guests in down.items())
    return (
        f"the cluster needs nothing, but guests that are meant to run (onboot, or HA) are down: {names}. Where that is "
        f"not on purpose, see that they run on no other node, then type: {lines}"
    )


def standalone(case: Case) -> list[str]:
    return ["every node is standalone", *_waiting(case)]


def choose(case: Case) -> str:
    """What differs is not known to be nothing: the operator chooses, and the newest is named."""
    option = authority(case)
    named = f" ({option} is the newest; the runbook names the others)" if option else ""
    return (
        "do not connect the parts: the newest database would overwrite the others. Compare the databases (checks/ name "
        f"what differs), and choose the one that counts{named}; dismantling keeps every part's own"
    )


def authority(case: Case) -> str:
    trees = readable(case.members)
    return f"--authority={newest(trees)[0]}" if trees else ""


def split(case: Case) -> list[str]:
    found = list(map(str, differences(readable(case.members))))
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    apart = [f"the databases differ: {'; '.join(found[:SHOWN])}{more}"] if found else []
    return [*(f"quorate for itself: {part}" for part in case.where.quorate_parts), *apart]


def configs(case: Case) -> list[str]:
    return [
        f"{node}: guests {', '.join(map(str, vmids))} run, and no database has their config"
        for node, vmids in case.without_config.items()
    ]


def design(case: Case) -> list[str]:
    forced = [f"quorate by a forced number of votes: {p}" for p in case.where.parts if p.is_forced]
    return [*network.in_words(case.risks), *(c.evidence for c in case.causes), *case.bonds, *forced, *_waiting(case)]


def just_began(case: Case) -> list[str]:
    return ["corosync was started on every node less than five minutes ago", *design(case)]


def states(case: Case) -> tuple[str, ...]:
    return network.said_once(([node], state.meaning) for node, state in case.where.states.items())


def what_is_not_known(case: Case) -> list[str]:
    found = [o.seen if o.seen.startswith("the state of") else str(o) for o in case.where.out(Way.UNCLEAR)]
    if not found and case.risk_not_read is not None:
        found.append(str(case.risk_not_read))
    return [*(found or [NO_CAUSE]), *design(case)]
