"""Phase 0: freeze: no guest is started, moved or taken over; a way back exists.

Why: HA, backups and replication act the moment quorum returns.
Not as in the article: everything that reading can judge is judged first, so that a refusal leaves no change
behind; backups come before the first change; and HA is disabled on all nodes, not only stopped: a stopped daemon
comes back at the next boot and would take over the other nodes' guests.

With --leave: those that stay are judged by themselves: that they see each other, and have a majority of their own.

First, what has to hold for that: all of it is only read, and nothing is sent. test_phase0_freeze.py is the other half.
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import leaving, refusals, refusals_cluster, refusals_configuration, volumes
from pve_runbook.diagnosis.agreement import clocks_apart, two_owners
from pve_runbook.diagnosis.divergence import differences, newest
from pve_runbook.diagnosis.membership import old_name, seen_alive
from pve_runbook.diagnosis.network import said_once
from pve_runbook.diagnosis.shared_storage import owners_in_words, shared_by_guests, signs_of_ceph
from pve_runbook.facts.node_state import NodeState
from pve_runbook.procedure.backup import SPACE_KIB
from pve_runbook.procedure.canary import used_ids
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.not_applicable import NOBODY_LEAVES, NotApplicable
from pve_runbook.refusal.text import refusal

TAKEN_UP = "an unfinished run is taken up, which was judged at its start"


def test_login_is_root(host):
    """The login acts as root."""
    assert host.pve.is_root, refusals.not_root(host.pve)


def test_is_proxmox_we_know(host):
    """The node runs Proxmox VE 7, 8 or 9."""
    version = host.pve.version
    assert version is not None and version.major in (7, 8, 9), refusals.not_known_proxmox(host.pve)


def test_every_node_is_named_once(cluster):
    """No two entries of --hosts lead to the same node."""
    seen = {}
    for node in cluster.nodes:
        key = (node.facts.hostname, node.facts.boot_id)
        assert key not in seen, refusals.same_node(node.name, seen.get(key, ""), key[0])
        seen[key] = node.name


def test_hosts_are_the_members(cluster, members, options):
    """--hosts names every member of the cluster, and nobody else."""
    clusters = {name: node for node, name in members.clusters.items()}
    assert len(clusters) <= 1, refusal(
        RefusalId.TWO_CLUSTERS,
        "cluster",
        seen="; ".join(f"{node} belongs to {name}" for name, node in sorted(clusters.items())),
        why="one run takes one cluster apart, with one authority",
        do="Name the nodes of one cluster only",
    )
    for node in cluster.nodes:
        old = old_name(node.facts)
        assert old is None, refusals_cluster.renamed(node.facts, old)
    names = set(members.names)
    given = {n.facts.hostname: n.name for n in cluster.nodes}
    missing = sorted(names - set(given) - set(options.absent))
    assert not missing, refusals_cluster.missing_members(missing, given.values())
    strangers = sorted(name for host, name in (given | {n: n for n in options.absent}).items() if host not in names)
    rest = [n for h, n in given.items() if h in names]
    assert not names or not strangers, refusals_cluster.no_member(
        strangers[0], rest, members.names, options.leave, options.absent
    )


def test_nobody_else_works_here(opened, notes):
    """No other run holds these nodes; an unfinished one of this operator is taken up."""
    assert not opened.held, opened.held
    if opened.unfinished is not None:
        earlier = opened.unfinished
        notes.note("state", f"takes up the unfinished run {earlier.work} (record {earlier.folder.name})")


def test_no_other_run_is_live(host, opened):
    """No command of another run is under way on the node; one of the run that is taken up is waited for."""
    if opened.unfinished is not None:
        assert not host.pve.our_units, refusals.still_under_way(host.pve)
        return
    assert not host.pve.our_units, refusal(
        RefusalId.COMMAND_IS_UNDER_WAY,
        host.pve.node,
        seen=f"a command of another run is under way: {', '.join(host.pve.our_units)}",
        why="it goes on without the connection it was sent over, and may be the window that takes this node out",
        do="Wait until `systemctl list-units 'pve-runbook-*'` is empty there, then run the same command line again",
    )


def test_etc_pve_is_mounted_once(host):
    """No second mount lies on /etc/pve."""
    assert len(host.pve.pve_mounts) <= 1, refusals.stacked_mount(host.pve)


def test_etc_pve_is_served(host):
    """/etc/pve is no stale mount."""
    assert not host.pve.pve_is_stale, refusals.stale_mount(host.pve)


def test_etc_pve_answers(host):
    """/etc/pve answers."""
    assert not host.pve.pve_hangs, refusals.hung_mount(host.pve)


def test_state_is_known(host, node, members, notes):
    """The node is in a state that this runbook knows how to go on from."""
    members.settle(node)
    notes.note("state", host.pve.state.meaning, node.name)
    assert host.pve.state is not NodeState.UNKNOWN, refusals.unknown_state(host.pve)


@pytest.mark.all_leave
def test_no_majority_is_quorate(options, notes, cluster_verdict):
    """No majority is quorate together, or the operator said why the cluster is taken apart anyway."""
    part = cluster_verdict.quorate_majority()
    assert part is None or options.anyway, cluster_verdict.law(part)
    if part is not None:
        notes.note("accepted", f"a majority is quorate: {part}; dismantled anyway: {options.anyway}")


@pytest.mark.all_leave
def test_dismantling_is_called_for(opened, options, notes, cluster_verdict):
    """The verdict calls for this runbook, or the operator said why it is to run anyway."""
    if opened.unfinished is not None:
        raise NotApplicable(TAKEN_UP)
    found = cluster_verdict.judge()
    assert cluster_verdict.is_meant or options.anyway, cluster_verdict.refusal(found)
    cluster_verdict.show(found)
    if not cluster_verdict.is_meant:
        notes.note("accepted", f"the verdict is {found.verdict}; dismantled anyway: {options.anyway}")


def test_databases_can_be_read(cluster):
    """No node's configuration database is damaged."""
    everyone = [n.facts for n in cluster.nodes]
    for facts in everyone:
        assert not facts.database_is_damaged, refusals_configuration.damaged_database(facts, everyone)


def test_absent_members_are_not_seen(host, options):
    """No member that --absent names is seen alive."""
    if not options.absent:
        raise NotApplicable("--absent names no member")
    alive = seen_alive(host.pve, options.absent)
    assert not alive, refusals_cluster.not_absent(host.pve, alive)


@pytest.mark.staying
def test_those_that_stay_are_a_cluster(members, options, notes):
    """Those that stay see each other, and have a majority of their own, or the operator said that it may be forced."""
    staying, may_force = [n.facts for n in members.staying], "forced-quorum" in options.accept
    why = leaving.no_cluster_without_them(staying, members.is_let_go, may_force=may_force)
    assert not why, why
    rest = leaving.rest_of(staying, members.is_let_go)
    notes.note("accepted", f"only {', '.join(options.leave)} leaves, by --leave; those that stay: {rest}")
    if not rest.has_majority:
        notes.note("accepted", f"quorum is forced on those that stay, by --accept=forced-quorum: {rest}")


@pytest.mark.staying
def test_nodes_may_leave_now(opened, options, cluster_verdict):
    """The verdict on the cluster forbids no node to leave now."""
    if opened.unfinished is not None:
        raise NotApplicable(TAKEN_UP)
    why = leaving.not_now(cluster_verdict.judge(), may_force="forced-quorum" in options.accept)
    assert not why, why


@pytest.mark.staying
def test_those_that_stay_have_one_configuration(members):
    """Those that stay have one and the same corosync.conf and authkey."""
    _have_one_configuration(members.staying)


@pytest.mark.staying
def test_ha_can_be_told(members):
    """HA manages no guest of a node that leaves, or it can be told to let it go."""
    found = leaving.held_by_ha(members.staying[0].facts, members.is_let_go)
    assert not found, found


@pytest.mark.staying
def test_nothing_is_replicated_to_or_from_what_leaves(members, options):
    """No replication job goes to or comes from a node that leaves: it could not be removed any more."""
    found = leaving.replicated(members.staying[0].facts, members.is_let_go, options.absent)
    assert not found, found


@pytest.mark.staying
def test_what_leaves_shares_no_storage(cluster, members, options, notes):
    """No shared storage holds guests of a node that leaves and of another, or the operator accepted it."""
    shared = shared_by_guests([n.facts for n in cluster.nodes], options.absent)
    in_words = {s: owners_in_words(by_node) for s, by_node in shared.items() if set(by_node) & set(members.is_let_go)}
    assert not in_words or "shared-storage" in options.accept, refusals_cluster.shared_storage(in_words)
    for storage, owners in in_words.items():
        notes.note("accepted", f"storage {storage} is shared by guests of {owners}, by --accept=shared-storage")


@pytest.mark.all_leave
def test_members_have_one_configuration(cluster):
    """All members have one and the same corosync.conf and authkey; a file that corosync cannot read tells nothing."""
    _have_one_configuration(cluster.nodes)


def _have_one_configuration(nodes):
    read = [n for n in nodes if n.facts.starts_corosync]
    for what, by_node in (
        ("corosync.conf in the database", {n.name: n.facts.conf_in_database for n in nodes}),
        ("/etc/corosync/corosync.conf", {n.name: n.facts.conf_in_etc for n in read}),
        ("/etc/corosync/authkey", {n.name: n.facts.authkey for n in nodes}),
    ):
        kinds = {digest: node for node, digest in by_node.items() if digest is not None}
        assert len(kinds) <= 1, refusal(
            RefusalId.CONFIGURATIONS_DIFFER,
            "cluster",
            seen=f"{what} differs: {', '.join(f'{node} has {digest[:12]}' for digest, node in kinds.items())}",
            why="then it is not known which cluster each node believes in; one stray file may be the whole cause",
            do="Compare them on the nodes; with one lost or edited file, mending it may be all that is needed",
        )


@pytest.mark.all_leave
def test_nobody_is_quorate_beside_others(cluster):
    """No part of the cluster has quorum while another has none."""
    members = [n for n in cluster.nodes if n.facts.has_corosync_conf_in_database and n.facts.is_corosync_running]
    together = [n.name for n in members if n.facts.is_quorate and not n.facts.sees_itself_alone]
    without = [n.name for n in members if not n.facts.is_quorate]
    assert not (together and without), refusal(
        RefusalId.QUORATE_BESIDE_OTHERS,
        "cluster",
        seen=f"{', '.join(together)} have quorum together, {', '.join(without)} has none",
        why="what is forced on one side is overruled by the other, or becomes a second history of the cluster",
        do=f"Fix the network to {', '.join(without)}, then run the same command line again; until then "
        f"{', '.join(together)} are a working cluster, and stay one",
    )


@pytest.mark.leaving
def test_name_is_off_loopback(host):
    """The node's own name resolves to an address that is not loopback."""
    addresses = host.pve.own_addresses
    assert [a for a in addresses if not a.startswith("127.") and a != "::1"], refusal(
        RefusalId.NAME_IS_ON_LOOPBACK,
        host.pve.node,
        seen=f"{host.pve.hostname} resolves to {', '.join(addresses) or 'nothing'}",
        why="pmxcfs refuses to start then: once stopped, /etc/pve would not come back",
        do=f"Put the node's own address before {host.pve.hostname} into its /etc/hosts",
    )


def test_clocks_agree(cluster):
    """The nodes' clocks agree."""
    problem = clocks_apart(cluster.clock_offsets())
    assert not problem, problem


def test_there_is_space(host):
    """There is space for a backup and for the database."""
    assert not host.pve.read_only_places, refusals.read_only_place(host.pve)
    for where in host.pve.free_space:
        enough = where.target == "/run" or where.available_kib >= SPACE_KIB
        assert enough, refusals.no_space(host.pve, where.target, where.available_kib)


@pytest.mark.leaving
def test_nothing_is_under_way(host):
    """No backup, migration or clone is under way."""
    assert not host.pve.tasks_under_way, refusals.busy(host.pve, host.pve.tasks_under_way)


@pytest.mark.leaving
def test_no_guest_is_locked(host, options, notes):
    """No guest is locked, or the operator accepted it as left over; none is just arriving by migration."""
    assert not host.pve.locked or "locks" in options.accept, refusals.locked_guests(host.pve)
    for vmid, lock in host.pve.locked.items():
        notes.note("accepted", f"guest {vmid} stays locked ({lock}), by --accept=locks", host.pve.node)
    assert not host.pve.arriving, refusal(
        RefusalId.MIGRATION_IS_UNDER_WAY,
        host.pve.node,
        seen=f"a migration to this node is under way: {', '.join(map(str, host.pve.arriving))}",
        why="its config is still on the other node while its memory is moving here",
        do="Wait for it, then run the same command line again",
    )


def test_every_guest_has_one_owner(cluster):
    """Every guest has one owner: no id is on two nodes."""
    problem = two_owners([n.facts for n in cluster.nodes])
    assert not problem, problem


@pytest.mark.all_leave
def test_databases_have_not_diverged(cluster, opened, options, notes):
    """The members' databases hold the same, or the operator named the one that counts."""
    members = {n.name: n.facts.tree for n in cluster.nodes if n.facts.has_corosync_conf_in_database}
    found = [str(difference) for difference in differences(members)]
    if not found or (opened.unfinished is not None and opened.unfinished.authority is not None):
        return
    for text in found:
        notes.note("diverged", text)
    latest = newest(members)
    versions = {name: tree.version for name, tree in members.items()}
    named = options.authority.node if options.authority is not None else None
    by_version = versions.get(named) == (options.authority.version if options.authority is not None else None)
    assert named in latest or (named in members and by_version), refusals_cluster.diverged(versions, latest, found)


@pytest.mark.all_leave
def test_authority_can_be_given_quorum(cluster, opened, options):
    """The node that is to be given quorum has a vote."""
    members = {n.name: n.facts for n in cluster.nodes if n.facts.has_corosync_conf_in_database}
    if not members:
        raise NotApplicable("no node is in the cluster any more")
    if opened.unfinished is not None and opened.unfinished.authority is not None:
        raise NotApplicable(f"{opened.unfinished.authority} was chosen by the run that is taken up")
    named = options.authority.node if options.authority is not None else None
    latest = [named] if named in members else newest({name: facts.tree for name, facts in members.items()})
    voting = {name: facts.tree.version for name, facts in members.items() if facts.can_be_given_quorum}
    assert not voting.keys().isdisjoint(latest), refusals_cluster.without_vote(latest, voting)


@pytest.mark.all_leave
def test_shared_storage_has_one_owner(cluster, options, notes):
    """No shared storage holds guests of two nodes, or the operator accepted it with the map before him."""
    if all(n.facts.state is NodeState.STANDALONE for n in cluster.nodes):
        raise NotApplicable(NOBODY_LEAVES)
    shared = shared_by_guests([n.facts for n in cluster.nodes], options.absent)
    in_words = {storage: owners_in_words(by_node) for storage, by_node in shared.items()}
    assert not shared or "shared-storage" in options.accept, refusals_cluster.shared_storage(in_words)
    for storage, owners in in_words.items():
        notes.note("accepted", f"storage {storage} is shared by guests of {owners}, by --accept=shared-storage")


def test_ceph_does_not_run_here(cluster, members, options, notes):
    """No Ceph runs on these nodes, or the operator accepted what that means."""
    if all(n.facts.state is NodeState.STANDALONE for n in cluster.nodes):
        raise NotApplicable(NOBODY_LEAVES)
    signs = {}
    for node in cluster.nodes:
        for sign in signs_of_ceph(node.facts):
            signs.setdefault(sign, []).append(node.name)
    leave = ", ".join(members.leave)
    why = leaving.ceph_roles(leave, signs) if leave else refusals_cluster.ceph(signs)
    assert not signs or "ceph" in options.accept, why
    for sign, names in signs.items():
        notes.note("accepted", f"Ceph: {sign} on {', '.join(names)}, by --accept=ceph")


@pytest.mark.leaving
def test_guests_have_their_volumes(host, cluster, options, notes):
    """Every volume of every guest is on the node that owns the guest, or the operator accepted that it is not."""
    everyone = [n.facts for n in cluster.nodes]
    refused = volumes.refuse(host.pve, everyone, volumes.in_the_way(host.pve, options.accept))
    assert not refused, refused
    missing = host.pve.volumes_missing
    where = volumes.elsewhere(host.pve, everyone, missing)
    for volume in missing:
        text = f"volume {volumes.in_words(volume, where)} is missing, by {volumes.ACCEPT}"
        notes.note("accepted", text, host.pve.node)
    loose = volumes.told(host.pve)
    if loose:
        notes.note("volumes", f"not there, and nothing is lost with it: {loose}", host.pve.node)


@pytest.mark.leaving
def test_no_guest_stands_still(host):
    """No guest is paused, or stopped by an error of its disk."""
    if host.pve.state is NodeState.UNMOUNTED:
        raise NotApplicable("/etc/pve is not mounted: which guests belong here is asked in phase 3")
    assert not host.pve.standing_still, refusals.standing_guests(host.pve)


@pytest.mark.leaving
def test_storages_are_usable(host, options, notes):
    """The storages of this node's guests are active and writable, or the operator accepted that they do not answer."""
    wrong = volumes.storages_in_the_way(host.pve, options.accept)
    assert not wrong, refusals.storage_trouble(host.pve, wrong)
    for storage, why in host.pve.unusable_storages.items():
        notes.note("accepted", f"storage {storage} is {why}, by {volumes.ACCEPT}", host.pve.node)


def test_ha_can_be_stopped(host):
    """HA is not active without quorum."""
    armed = host.pve.has_watchdog_client and host.pve.ha_resources
    assert not (armed and not host.pve.is_quorate), refusals.ha_armed(host.pve)


def test_no_watchdog_client_but_has(host):
    """Without quorum nothing but HA holds the watchdog."""
    stray = host.pve.has_watchdog_client and not host.pve.ha_resources
    assert not (stray and not host.pve.is_quorate), refusals.stray_watchdog_client(host.pve)


def test_no_start_of_all_guests_would_double(host):
    """No start of all guests waits for quorum while a guest of it lies on shared storage."""
    assert not host.pve.waiting_guests_on_shared_storage, refusals.doubled_start(host.pve)


def test_no_unknown_start_waits(host, members):
    """No start waits that would act, in a way that is not known or is not held, the moment there is quorum."""
    stays = any(n.name == host.pve.node for n in members.staying)
    found = host.pve.held_starts if stays or not host.pve.held_starts else host.pve.unknown_starts
    assert not found, refusals_cluster.starts_wait(host.pve, found)


def test_canary_id_is_free(cluster, options):
    """The id of the throw-away guest is free on every node and storage."""
    wanted = options.canary
    if wanted == "off":
        raise NotApplicable("--canary=off: no throw-away guest is made")
    taken = wanted in used_ids((n.facts for n in cluster.nodes), options.accept)
    assert not taken, refusal(
        RefusalId.CANARY_IS_TAKEN,
        "cluster",
        seen=f"--canary={wanted}: a guest or a volume bears this id",
        why="the throw-away guest of phase 6 is destroyed at its end, and its id with it",
        do="Choose a free id, or leave the option out: a free one is found",
    )


def test_lines_that_are_passed_over_are_told(cluster, notes):
    """What Proxmox passes over in a configuration is passed over here too, and stands in the record."""
    found = said_once(([n.name], str(line)) for n in cluster.nodes for line in n.facts.skipped_lines)
    for text in found:
        notes.note("skipped", text)
    if not found:
        raise NotApplicable("every line was read")
    notes.leave(refusals_configuration.passed_over(found))


def test_what_comes_with_the_next_boot_is_told(cluster, notes):
    """What lies ready to change a node's network at its next boot stands in the record, and is left to be looked at."""
    for node in cluster.nodes:
        for path in node.facts.comes_with_the_next_boot:
            notes.note("pending", f"{path} lies ready: it changes the network at the next boot", node.name)
            notes.leave(refusals_configuration.NEXT_BOOT.format(path=path), node.name)
    if not any(node.facts.comes_with_the_next_boot for node in cluster.nodes):
        raise NotApplicable("nothing lies ready")
