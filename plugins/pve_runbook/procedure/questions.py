"""What the operator is asked before anything that cannot simply be taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from pve_runbook.actions.startall import RELEASE
from pve_runbook.cluster.node import Node
from pve_runbook.diagnosis import overdue_jobs
from pve_runbook.diagnosis.leaving import Rest, ha_guests, rest_of
from pve_runbook.facts.node import NodeFacts
from pve_runbook.plan.model import Plan, Question
from pve_runbook.probes.probe import BACKUP_ROOT
from pve_runbook.probes.start_jobs import COMMITS, FIREWALL_COMMIT, SDN_COMMIT
from pve_runbook.procedure import left_to_do, stages
from pve_runbook.procedure.members import Members
from pve_runbook.procedure.rollback import Rollback
from pve_runbook.procedure.startall.words import goes_on, held, unstarted, waiting
from pve_runbook.procedure.survival import Survival

FREEZE, FORCE, WINDOWS, LET_GO, THAW, ROLLBACK = 0, 2, 4, 6, 7, 8
"""The phases that ask before they go on; 6 only where the others stay a cluster (--leave)."""


NAMED = 5
"""Nodes that a question about all of them names."""
BACKED_UP = "First every node's configuration is backed up, there and here, and checked"
UNFREEZE = (
    "Undo: systemctl unmask --runtime pvescheduler; systemctl start pvescheduler; "
    "systemctl enable --now pve-ha-lrm pve-ha-crm."
)
A_KEY = "Until the end root's authorized_keys2 holds a key made for this run"
CONSOLES = "By approving you say that you can reach the console of {nodes} (IPMI)."
STAYS_OFF = "its scheduler did not run before the first change and stays off; cron's backups come back"


class Questions:
    """The questions of one run, as its nodes are when each is asked; a plan names the same ones."""

    def __init__(
        self,
        members: Members,
        survival: Survival,
        absent: Sequence[str],
        against: Callable[[], str] = lambda: "",
    ) -> None:
        """``absent``: members that the operator calls powered off. ``against``: what speaks
        against the run, and the reason that was given for it all the same, in words; "" where nothing does."""
        self._members = members
        self._survival = survival
        self._absent = absent
        self._against = against

    @property
    def _cluster(self) -> str:
        return self._members.cluster_name

    @property
    def _leavers(self) -> str:
        """What is typed where only some nodes leave: their names."""
        return ",".join(self._members.is_let_go)

    @property
    def _nodes(self) -> Sequence[Node]:
        return self._members.cluster.nodes

    def powered_off(self, name: str) -> Question:
        """Whether an absent member is what --absent says. Raises UnknownFact."""
        if self._members.staying:
            said = _leave_dead(name, [n.name for n in self._members.staying])
            return Question(FREEZE, stages.LOCKED.name, None, f"{name} is powered off", said)
        text = _without(name, self._nodes, self._absent)
        return Question(FREEZE, stages.LOCKED.name, None, f"{name} is powered off", text, f"{name} left the cluster")

    def anyway(self) -> Question | None:
        """Where the verdict does not call for the runbook, and --anyway gives a reason; else None."""
        against = self._against()
        if not against:
            return None
        return Question(FREEZE, stages.LOCKED.name, None, self._cluster, f"{against}\n")

    def freeze(self) -> Question:
        """Before the first change. Raises UnknownFact."""
        members = self._members
        if members.staying:
            said = _leave_freeze(members, self._absent, self._survival.running)
            return Question(FREEZE, stages.LOCKED.name, None, self._leavers, said)
        text = _freeze(self._cluster, self._nodes, self._survival.running)
        return Question(FREEZE, stages.LOCKED.name, None, self._cluster, text)

    def quorum(self, authority: Node) -> Question:
        """Before quorum is forced. Raises UnknownFact."""
        peers = [n for n in self._nodes if n is not authority]
        return Question(FORCE, stages.PEERS_SILENT.name, None, self._cluster, _quorum(authority, peers, self._nodes))

    def silence(self, foreseen: str | None = None) -> Question | None:
        """Where others stay a cluster: before corosync ends on those that leave; None where nobody of these is there,
        and quorum has not to be forced. ``foreseen``: the authority of a plan. Raises UnknownFact."""
        members = self._members
        rest = rest_of([n.facts for n in members.staying], members.is_let_go)
        if rest.has_majority and not members.leaving:
            return None
        text = _leave_quorum(members, rest, self._who_lets_go(foreseen)) + held(members.leaving)
        return Question(FORCE, stages.PEERS_SILENT.name, None, self._leavers, text)

    def console(self, phase: int, node: str, why: str) -> Question:
        """Where a second login could not be proven."""
        return Question(phase, stages.SECOND_WAY.name, node, node, _console(node, why))

    def window(self, leaver: Node, *, is_last: bool) -> Question:
        """Before a node leaves. Raises UnknownFact."""
        work = self._members.cluster.work
        if self._members.staying:
            text = _leave_window(leaver.name, work) + held([leaver])
        else:
            text = _window(leaver, work, is_last)
        return Question(WINDOWS, stages.WINDOW.name, leaver.name, leaver.name, text)

    def let_go(self, name: str, foreseen: str | None = None) -> Question:
        """Before those that stay forget the member ``name``, by its own name. ``foreseen``: as for :meth:`silence`.

        Raises UnknownFact.
        """
        members = self._members
        rest = rest_of([n.facts for n in members.staying], members.is_let_go)
        dead, authority = name in self._absent, self._who_lets_go(foreseen)
        text = _leave_let_go(
            name, authority, [n.name for n in members.staying], members.is_let_go, rest.votes, dead=dead
        )
        return Question(LET_GO, stages.LET_GO.name, None, name, text)

    def guests_start(self, nodes: Sequence[Node]) -> Question:
        """Before the start of all guests, which was held on ``nodes``, goes on. Raises UnknownFact."""
        asked = self._leavers if self._members.staying else self._cluster
        return Question(THAW, stages.STARTALL_BACK.name, None, asked, goes_on(nodes))

    def _who_lets_go(self, foreseen: str | None) -> str:
        chosen = self._members.authority
        return chosen.name if chosen is not None else foreseen or self._members.staying[0].name

    def thaw(self, jobs: Mapping[str, Sequence[str]]) -> Question:
        """Before the schedulers run again."""
        return Question(THAW, stages.SCHEDULER_BACK.name, None, self._cluster, _thaw(jobs))

    def rollback(self, back: Rollback, given_up: frozenset[str]) -> Question:
        """Before the nodes that left go back. Raises BackupFailed, UnknownFact."""
        text = back.text(self._cluster, self._nodes, given_up) + waiting(self._nodes)
        return Question(ROLLBACK, stages.LOCKED.name, None, self._cluster, text)

    def overdue_jobs(self) -> dict[str, list[str]]:
        """Node name → what its scheduler and cron would do that deserves a look, for every node that was frozen.

        Raises UnknownFact.
        """
        stay = self._members.staying
        frozen = [n for n in self._nodes if n.name not in self._members.standalone_at_start and n not in stay]
        off = {n.name: [] if n.name in self._survival.scheduled else [STAYS_OFF] for n in frozen}
        return {n.name: [*off[n.name], *overdue_jobs.risky_jobs(n.facts)] for n in frozen}

    def ahead(self, plan: Plan) -> Iterator[Question]:
        """What will be asked in the course of ``plan``, with what is at stake as the nodes are now.

        Raises UnknownFact.
        """
        by_name = {n.name: n for n in self._nodes}
        left = {c.stage for c in plan.commands}
        if stages.LOCKED.name in left and self._survival.is_taken:
            for name in self._absent:
                yield self.powered_off(name)
            anyway = self.anyway()
            if anyway is not None:
                yield anyway
            yield self.freeze()
        if left & {s.name for s in (stages.PEERS_SILENT, stages.QUORUM_FORCED, stages.REST_QUORATE)}:
            quorum = (
                self.silence(plan.authority) if self._members.staying else self.quorum(by_name[plan.authority or ""])
            )
            if quorum is not None:
                yield quorum
        for command in plan.commands:
            if command.name == "window":
                yield self.window(by_name[command.node], is_last=command.node == plan.authority)
            if command.name == "delnode":
                yield self.let_go(command.argv[-1], plan.authority)
        started = [by_name[c.node] for c in plan.commands if c.name == RELEASE.name]
        if started:
            yield self.guests_start(started)
        jobs = self.overdue_jobs()
        if jobs:
            yield self.thaw(jobs)


def _freeze(cluster: str, nodes: Sequence[Node], running: int) -> str:
    """Before the first change."""
    names = ", ".join(n.name for n in nodes) if len(nodes) <= NAMED else f"all {len(nodes)} nodes"
    return (
        f"FREEZE the cluster {cluster}: {names}.\n"
        f"{BACKED_UP}; then scheduler and HA are stopped and disabled on all of them.\n"
        f"At stake: {running} running guests; they are not touched. HA stays off after a reboot.\n"
        f"{UNFREEZE}\n"
        f"{A_KEY}.\n{CONSOLES.format(nodes='every node')}\n"
        + _without_volumes(nodes)
        + commits(nodes)
        + held(nodes)
        + unstarted(nodes)
    )


def _without_volumes(nodes: Sequence[Node]) -> str:
    """What stopped guests lack; no run comes to a question with it unless it was accepted."""
    said = "These volumes are not there or cannot be listed, and their guests stay stopped"
    return _of_each(nodes, said, lambda facts: facts.volumes_missing)


def _of_each(nodes: Sequence[Node], said: str, read: Callable[[NodeFacts], Sequence[object]]) -> str:
    """``said`` with what is read of each node that has any; "" where none has."""
    found = [f"{n.name}: {', '.join(map(str, some))}" for n in nodes if (some := read(n.facts))]
    return f"{said}: {'; '.join(found)}\n" if found else ""


def _quorum(authority: Node, peers: Sequence[Node], nodes: Sequence[Node]) -> str:
    """Before quorum is forced."""
    names = ", ".join(n.name for n in peers) or "none"
    votes = authority.facts.own_votes
    return (
        f"FORCE QUORUM on {authority.name} alone.\n"
        f"Corosync is stopped and masked (until a reboot) on its peers: {names}; then `pvecm expected {votes}` is sent "
        f"to {authority.name}.\n"
        + _qdevice_stops(nodes)
        + f"At stake: /etc/pve becomes writable on {authority.name}, read-only on the others; guests run on.\n"
        "Undo: systemctl unmask --runtime corosync; systemctl start corosync (on the peers); the force ends then.\n"
        + held(nodes)
    )


def _qdevice_stops(nodes: Sequence[Node]) -> str:
    names = ", ".join(n.name for n in nodes if has_qdevice(n))
    return f"The QDevice on {names} is stopped and masked first: its vote would refuse the force.\n" if names else ""


def has_qdevice(node: Node) -> bool:
    """Whether the node's corosync.conf has a QDevice. Raises UnknownFact."""
    conf = node.facts.corosync_conf
    return conf is not None and conf.qdevice


def _without(name: str, nodes: Sequence[Node], absent: Sequence[str]) -> str:
    """Before a run without the member ``name``, one of ``absent``. Raises UnknownFact."""
    others = left_to_do.others(name, nodes, absent)
    return (
        f"WITHOUT {name}: type which is so: it is powered off, or it left the cluster already (and may run).\n"
        "Nothing is read from it, and no backup of it is made; its guests are not part of this run.\n"
        f"If neither is so, stop here: its HA can take over guests that run on {others}.\n"
        + left_to_do.its_return(name, others)
    )


def _console(node: str, why: str) -> str:
    """Where a second login could not be proven."""
    return (
        f"NO SECOND WAY INTO {node} could be proven: {why}.\n"
        "While its /etc/pve is not mounted, logins by key fail. If the connection is lost just then, only the console\n"
        f"is left. By approving you say that the console of {node} is open in front of you.\n"
    )


def _window(leaver: Node, run: str, is_last: bool) -> str:
    """Before a node leaves."""
    return (
        f"{leaver.name} LEAVES THE CLUSTER{' (the authority, the last one)' if is_last else ''}.\n"
        "For about 10 s /etc/pve is not mounted there and logins by key fail; guests run on.\n"
        "Until pve-cluster is started standalone a step that fails puts the node back by itself; after that the way\n"
        "back is --rollback, until somebody changes a node that left. HA's files are parked in\n"
        f"{BACKUP_ROOT}/{run} there.\n" + held([leaver])
    )


def _thaw(jobs: Mapping[str, Sequence[str]]) -> str:
    """Before the schedulers run again."""
    lines = [
        f"THAW: the schedulers run again on {', '.join(jobs)}.",
        "Undo: systemctl stop pvescheduler. If you say no they stay off; type later, on each node:",
        "systemctl unmask --runtime pvescheduler; systemctl start pvescheduler; rm /var/lib/pve-runbook/lock",
    ]
    for node, found in jobs.items():
        lines += [f"  {node}: {line}" for line in found] or [f"  {node}: no job that deserves a look"]
    return "\n".join(lines)


def commits(nodes: Sequence[Node]) -> str:
    """What waits for quorum to change the network, and is stopped. Raises UnknownFact."""
    found = {unit: [n.name for n in nodes if unit in n.facts.waiting_commits] for unit in COMMITS}
    text = ""
    if names := found[SDN_COMMIT]:
        text += (
            f"pve-sdn-commit waits for quorum on {', '.join(names)}, and is stopped: granted quorum it would apply\n"
            "pending SDN changes, and reload the network there (`ifreload -a`) under running guests, with what was\n"
            "edited in /etc/network/interfaces. All of it stays pending.\n"
        )
    if names := found[FIREWALL_COMMIT]:
        text += (
            f"pve-firewall-commit waits for quorum on {', '.join(names)}, and is stopped: granted quorum it would\n"
            "apply pending changes of the host's firewall. They stay pending.\n"
        )
    return text


# --- where others stay a cluster (--leave)


def _leave_freeze(members: Members, absent: Collection[str], running: int) -> str:
    """Before the first change."""
    leave = ", ".join(members.is_let_go)
    live = ", ".join(n.name for n in members.leaving)
    stay = ", ".join(n.name for n in members.staying)
    frozen = f"; then scheduler and HA are stopped and disabled on {live}.\n" if live else ".\n"
    undo = f"{CONSOLES.format(nodes=live)}\n{UNFREEZE}\n{A_KEY}.\n" if live else ""
    ha = f" HA stays off on {live} after a reboot." if live else ""
    dead = f"{', '.join(absent)} is dead by your word, and {left_to_do.NEVER_AGAIN}.\n" if absent else ""
    managed = ha_guests(members.staying[0].facts, members.is_let_go)
    released = (
        f"HA lets {', '.join(managed)} go (`ha-manager remove` on one that stays): the guests run on, and HA starts\n"
        "them nowhere else.\n"
        if managed
        else ""
    )
    return (
        f"{leave} LEAVES the cluster {members.cluster_name}; {stay} stay a cluster without it.\n{dead}"
        f"{BACKED_UP}{frozen}{released}"
        f"To {stay} nothing is sent but backups, a lock and, last, `pvecm delnode`.\n"
        f"At stake: {running} running guests, not touched.{ha}\n{undo}"
        + _without_volumes(members.leaving)
        + commits(members.leaving)
        + held(members.leaving)
        + unstarted(members.leaving)
    )


def _leave_dead(name: str, stay: Sequence[str]) -> str:
    """Before a member is let go that nothing is read from."""
    return (
        f"{name} IS LET GO: by typing this you say that it is powered off, for good.\n"
        f"Nothing is read from it, and no backup of it is made. It {left_to_do.NEVER_AGAIN}.\n"
        f"If it is not off, stop here: it would go on as a member that {', '.join(stay)} do not know.\n"
    )


def _leave_quorum(members: Members, rest: Rest, authority: str) -> str:
    """Before corosync ends on those that leave."""
    live = ", ".join(n.name for n in members.leaving)
    silent = (
        f"Corosync is stopped and masked (until a reboot) on {live}: /etc/pve is read-only there.\n" if live else ""
    )
    kept = f"Those that stay keep quorum by their own votes ({rest}): it is not forced.\n"
    forced = (
        f"QUORUM IS FORCED on those that stay ({rest}): they have no majority of their own until the others are out\n"
        f"of the nodelist; `pvecm expected` on {authority} makes their votes enough for the moment.\n"
    )
    undo = f"Undo: systemctl unmask --runtime corosync; systemctl start corosync (on {live}).\n" if live else ""
    return f"SILENT: {', '.join(rest.gone)}.\n{silent}{kept if rest.has_majority else forced}{undo}"


def _leave_window(leaver: str, run: str) -> str:
    """Before a node leaves."""
    return (
        f"{leaver} LEAVES THE CLUSTER; the others stay one.\n"
        "For about 10 s /etc/pve is not mounted there and logins by key fail; guests run on.\n"
        "Until pve-cluster is started standalone a step that fails puts the node back by itself; after that the way\n"
        "back is --rollback, until the others have let it go (phase 6) or somebody changes it. HA's files are parked\n"
        f"in {BACKUP_ROOT}/{run} there.\n"
    )


def _leave_let_go(
    name: str, authority: str, stay: Sequence[str], gone: Sequence[str], votes: int, *, dead: bool
) -> str:
    """Before those that stay forget a node. ``gone``: all that are let go; ``votes``: that are left then."""
    needed, after = votes // 2 + 1, "After that" if len(gone) == 1 else f"Once {', '.join(gone)} are let go"
    return (
        f"{', '.join(stay)} LET {name} GO: `pvecm delnode {name}` on {authority}.\n"
        f"{after} {votes} votes are expected, {needed} are needed. {_what_it_means(len(stay))}\n"
        + (
            f"{name} is dead by your word; it {left_to_do.NEVER_AGAIN}.\n"
            if dead
            else f"{name} is standalone, and runs on.\n"
        )
        + f"There is no way back: {name} joins again empty only (`pvecm add` on it).\n"
    )


def _what_it_means(nodes: int) -> str:
    if nodes == 1:
        return "A cluster of one is quorate by itself."
    if nodes == 2:
        return (
            "Two nodes: if one is off, the other has no quorum; a QDevice gives the third vote (`pvecm qdevice setup`)."
        )
    return ""
