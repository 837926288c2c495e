"""Phase 0: freeze: nothing starts, moves or takes over a guest any more, and a way back exists.

Why: on a cluster that lost quorum or flaps, HA, backups and replication act the moment quorum returns.
Not as in the article: everything that reading can judge is judged first, so that a refusal leaves no change
behind; backups come before the first change; and HA is disabled on all nodes, not only stopped: a stopped daemon
comes back at the next boot and would take over the other nodes' guests.
"""

from __future__ import annotations

from pve_runbook.facts.divergence import differences
from pve_runbook.facts.state import NodeState
from pve_runbook.plugin import questions
from pve_runbook.plugin.approval import approve
from pve_runbook.plugin.judgement import MEANT_FOR, judge, not_meant, show
from pve_runbook.work import refusals, ways_on
from pve_runbook.work.absent import seen_alive
from pve_runbook.work.backup import ALWAYS, SPACE_KIB
from pve_runbook.work.canary import used_ids
from pve_runbook.work.compared import clocks_apart, two_owners
from pve_runbook.work.refusal import refusal
from pve_runbook.work.sharing import owners_in_words, shared_by_guests, signs_of_ceph


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


def test_hosts_are_the_members(cluster, run):
    """--hosts names every member of the cluster, and nobody else."""
    clusters = {name: node for node, name in run.clusters.items()}
    assert len(clusters) <= 1, refusal(
        "cluster",
        seen="; ".join(f"{node} belongs to {name}" for name, node in sorted(clusters.items())),
        why="one run takes one cluster apart, with one authority",
        do="Name the nodes of one cluster only",
    )
    members = set(run.member_names)
    given = {n.facts.hostname: n.name for n in cluster.nodes}
    missing = sorted(members - set(given) - set(run.options.absent))
    assert not missing, refusals.missing_members(missing, given.values())
    named = given | {name: f"{name} (--absent)" for name in run.options.absent}
    strangers = sorted(name for host, name in named.items() if members and host not in members)
    assert not strangers, refusal(
        strangers[0] if strangers else "cluster",
        seen="corosync.conf does not name this node",
        why="it belongs to another cluster or to none, and nothing here is meant for it",
        do=f"Leave it out: --hosts={','.join(n for h, n in given.items() if h in members)}",
    )


def test_nobody_else_works_here(run):
    """No other run holds these nodes; an unfinished one of this operator is taken up."""
    assert not run.held, run.held
    if run.unfinished is not None:
        run.note("state", f"takes up the unfinished run {run.unfinished.work} (record {run.unfinished.folder.name})")


def test_no_other_run_is_live(host, run):
    """No command of another run is under way on the node; one of the run that is taken up is waited for later."""
    assert run.unfinished is not None or not host.pve.our_units, refusal(
        host.pve.node,
        seen=f"a command of another run is under way: {', '.join(host.pve.our_units)}",
        why="it goes on without the line it was sent over, and may be the window that takes this node out",
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


def test_state_is_known(host, node, run):
    """The node is in a state that this runbook knows how to go on from."""
    run.settle(node)
    run.note("state", host.pve.state.meaning, node.name)
    assert host.pve.state is not NodeState.UNKNOWN, refusals.unknown_state(host.pve)


def test_dismantling_is_called_for(run, histories):
    """The verdict calls for this runbook, or the operator said why it is to run anyway."""
    if run.unfinished is not None:
        run.note("state", "no verdict is asked for: an unfinished run is taken up, which was judged at its start")
        return
    found = judge(run, histories)
    assert found.verdict in MEANT_FOR or run.options.anyway, not_meant(run, found)
    show(run, found)
    if found.verdict not in MEANT_FOR:
        run.note("accepted", f"the verdict is {found.verdict}; dismantled anyway: {run.options.anyway}")


def test_absent_members_are_not_seen(host, run):
    """No member that --absent names is seen alive."""
    alive = seen_alive(host.pve, run.options.absent)
    assert not alive, ways_on.not_absent(host.pve, alive)


def test_members_have_one_configuration(cluster):
    """All members have one and the same corosync.conf and authkey."""
    for what, by_node in (
        ("corosync.conf in the database", {n.name: n.facts.conf_in_database for n in cluster.nodes}),
        ("/etc/corosync/corosync.conf", {n.name: n.facts.conf_in_etc for n in cluster.nodes}),
        ("/etc/corosync/authkey", {n.name: n.facts.authkey for n in cluster.nodes}),
    ):
        kinds = {digest: node for node, digest in by_node.items() if digest is not None}
        assert len(kinds) <= 1, refusal(
            "cluster",
            seen=f"{what} differs: {', '.join(f'{node} has {digest[:12]}' for digest, node in kinds.items())}",
            why="then it is not known which cluster each node believes in; one stray file may be the whole cause",
            do="Compare them on the nodes; with one lost or edited file, mending it may be all that is needed",
        )


def test_nobody_is_quorate_beside_others(cluster):
    """No part of the cluster has quorum while another has none."""
    members = [n for n in cluster.nodes if n.facts.has_corosync_conf_in_database and n.facts.is_corosync_running]
    together = [n.name for n in members if n.facts.is_quorate and not n.facts.sees_itself_alone]
    without = [n.name for n in members if not n.facts.is_quorate]
    assert not (together and without), refusal(
        "cluster",
        seen=f"{', '.join(together)} have quorum together, {', '.join(without)} has none",
        why="what is forced on one side is overruled by the other, or becomes a second history of the cluster",
        do=f"Mend the way to {', '.join(without)}, or shut the quorate side's cluster changes down and ask again",
    )


def test_name_is_off_loopback(host):
    """The node's own name resolves to an address that is not loopback."""
    addresses = host.pve.own_addresses
    assert [a for a in addresses if not a.startswith("127.") and a != "::1"], refusal(
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


def test_nothing_is_under_way(host):
    """No backup, migration or clone is under way."""
    assert not host.pve.tasks_under_way, refusals.busy(host.pve, host.pve.tasks_under_way)


def test_no_guest_is_locked(host, run):
    """No guest is locked, or the operator accepted it as left over; none is just arriving by migration."""
    assert not host.pve.locked or "locks" in run.options.accept, refusals.locked_guests(host.pve)
    for vmid, lock in host.pve.locked.items():
        run.note("accepted", f"guest {vmid} stays locked ({lock}), by --accept=locks", host.pve.node)
    assert not host.pve.arriving, refusal(
        host.pve.node,
        seen=f"a migration to this node is under way: {', '.join(map(str, host.pve.arriving))}",
        why="its config is still on the other node while its memory is moving here",
        do="Wait for it, then run the same command line again",
    )


def test_every_guest_has_one_owner(cluster):
    """Every guest has one owner: no id is on two nodes."""
    problem = two_owners([n.facts for n in cluster.nodes])
    assert not problem, problem


def test_databases_have_not_diverged(cluster, run):
    """The members' databases hold the same, or the operator named the one that counts."""
    members = {n.name: n.facts.tree for n in cluster.nodes if n.facts.has_corosync_conf_in_database}
    found = [str(difference) for difference in differences(members)]
    if not found or (run.unfinished is not None and run.unfinished.authority is not None):
        return
    for text in found:
        run.note("diverged", text)
    ranks = {name: (tree.version, tree.mtime) for name, tree in members.items()}
    newest = [name for name, rank in ranks.items() if rank == max(ranks.values())]
    versions = {name: tree.version for name, tree in members.items()}
    named = run.options.authority
    by_version = versions.get(named) == run.options.authority_version
    assert named in newest or (named in members and by_version), ways_on.diverged(versions, newest, found)


def test_shared_storage_has_one_owner(cluster, run):
    """No shared storage holds guests of two nodes, or the operator accepted it with the map before him."""
    if all(n.facts.state is NodeState.STANDALONE for n in cluster.nodes):
        return
    shared = shared_by_guests([n.facts for n in cluster.nodes], run.options.absent)
    in_words = {storage: owners_in_words(by_node) for storage, by_node in shared.items()}
    assert not shared or "shared-storage" in run.options.accept, ways_on.shared_storage(in_words)
    for storage, owners in in_words.items():
        run.note("accepted", f"storage {storage} is shared by guests of {owners}, by --accept=shared-storage")


def test_ceph_does_not_run_here(cluster, run):
    """No Ceph runs on these nodes, or the operator accepted what that means."""
    if all(n.facts.state is NodeState.STANDALONE for n in cluster.nodes):
        return
    signs = {}
    for node in cluster.nodes:
        for sign in signs_of_ceph(node.facts):
            signs.setdefault(sign, []).append(node.name)
    assert not signs or "ceph" in run.options.accept, ways_on.ceph(signs)
    for sign, names in signs.items():
        run.note("accepted", f"Ceph: {sign} on {', '.join(names)}, by --accept=ceph")


def test_guests_have_their_volumes(host):
    """Every volume of every guest is on the node that owns the guest."""
    assert not host.pve.volumes_not_found, refusals.missing_volumes(host.pve)


def test_no_guest_stands_still(host):
    """No guest is paused, or stopped by an error of its disk."""
    if host.pve.state is NodeState.UNMOUNTED:
        return
    assert not host.pve.standing_still, refusals.standing_guests(host.pve)


def test_storages_are_usable(host):
    """The storages of this node's guests are active and writable."""
    assert not host.pve.unusable_storages, refusals.storage_trouble(host.pve)


def test_ha_can_be_stopped(host):
    """HA is not active without quorum."""
    armed = host.pve.has_watchdog_client and host.pve.ha_resources
    assert not (armed and not host.pve.is_quorate), refusals.ha_armed(host.pve)


def test_no_watchdog_client_but_has(host):
    """No watchdog client but HA's is active without quorum."""
    stray = host.pve.has_watchdog_client and not host.pve.ha_resources
    assert not (stray and not host.pve.is_quorate), refusals.stray_watchdog_client(host.pve)


def test_no_start_of_all_guests_would_double(host):
    """No start of all guests waits for quorum while a guest of it lies on shared storage."""
    assert not host.pve.waiting_guests_on_shared_storage, refusals.doubled_start(host.pve)


def test_canary_id_is_free(cluster, run):
    """The id of the throw-away guest is free on every node and storage."""
    wanted = run.options.canary
    taken = isinstance(wanted, int) and wanted in used_ids(n.facts for n in cluster.nodes)
    assert not taken, refusal(
        "cluster",
        seen=f"--canary={wanted}: a guest or a volume bears this id",
        why="the throw-away guest of phase 6 is destroyed at its end, and its id with it",
        do="Choose a free id, or leave the option out: a free one is found",
    )


def test_baseline_is_taken(host, run, baseline):
    """Every guest and every node is written down as it is now; every process of a guest has its config here."""
    assert host.pve.boot_id == run.baseline.boots[host.pve.node]
    assert not host.pve.strays, refusals.stray_guests(host.pve)


def test_operator_says_who_is_powered_off(cluster, run):
    """The operator says of every absent member that it is powered off."""
    if all(n.facts.state is NodeState.STANDALONE for n in cluster.nodes):
        return
    for name in run.options.absent:
        approve(run, 0, f"{name} is powered off", questions.without(name, cluster.nodes, run.options.absent))


def test_operator_approves_the_freeze(run):
    """The operator approves the freeze, and has the consoles at hand."""
    approve(run, 0, run.cluster_name, run.freeze_text())


def test_nodes_are_locked(host, run, locked):
    """The node is locked for this run: a second operator is kept out."""
    lock = host.pve.lock
    assert lock is not None and lock.run == run.cluster.work, refusals.locked_by_another(host.pve)


def test_nothing_of_an_earlier_run_goes_on(host, node, run):
    """No command of an earlier run is still under way on the node; a bounded wait for it."""
    run.wait_for_earlier(node)
    assert not host.pve.our_units, refusals.still_under_way(host.pve)


def test_backups_are_checked(host, run, backups):
    """The node's configuration is on the control host, opened and equal to the live one."""
    names = {p.name for p in (run.folder / "backups" / host.pve.node).iterdir()}
    assert set(ALWAYS) <= names


def test_scheduler_is_off(host, run, scheduler_off):
    """Neither backups nor replication start any more."""
    if host.pve.node in run.standalone_at_start:
        return
    assert not host.pve.scheduler_runs, refusals.scheduler_on(host.pve)


def test_lrm_is_off(host, lrm_off):
    """The local resource manager is stopped and stays off after a boot."""
    lrm = host.pve.units["pve-ha-lrm.service"]
    assert lrm.is_stopped and not lrm.is_enabled, refusal(
        host.pve.node,
        seen=f"pve-ha-lrm is {lrm.active} and {lrm.file_state}",
        why="it would act on what it sees during the dismantling, now or after a reboot",
        do="Look at `systemctl status pve-ha-lrm` there",
    )


def test_crm_is_off(host, crm_off):
    """The cluster resource manager is stopped and stays off after a boot."""
    crm = host.pve.units["pve-ha-crm.service"]
    assert crm.is_stopped and not crm.is_enabled, refusal(
        host.pve.node,
        seen=f"pve-ha-crm is {crm.active} and {crm.file_state}",
        why="a separated node with a live CRM takes over the other nodes' guests within minutes",
        do="Look at `systemctl status pve-ha-crm` there",
    )


def test_no_watchdog_client_is_left(host):
    """Nothing feeds the watchdog any more, so nothing can reset this node."""
    assert not host.pve.has_watchdog_client, refusal(
        host.pve.node,
        seen="/run/watchdog-mux.active is there: a watchdog client is left",
        why="if it stops feeding the watchdog, the node is reset and its guests die",
        do="Find it: `ss -xp src /run/watchdog-mux.sock`; do not kill it and do not stop watchdog-mux",
    )


def test_every_guest_runs_on(run):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = run.losses(0)
    assert not lost, lost
