"""Every recorded output is read, and what it means is what was the case."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from facts_captures import STATES, TRANSCRIPTS, output, steps, with_asked_properties
from pve_runbook.facts import api, corosync_conf, guests, ha, identity, net, pmxcfs, quorum, storage, tasks, units
from pve_runbook.facts.output import Output, ParseError
from pve_runbook.facts.state import NodeState, StateEvidence, classify, corosync_leftovers

PARSERS: dict[str, Callable[[Output], object]] = {
    "cat /etc/corosync/corosync.conf": corosync_conf.parse_corosync_conf,
    "cat /etc/hosts": identity.parse_hosts_file,
    "cat /etc/pve/.members": pmxcfs.parse_members,
    "cat /etc/pve/.vmlist": pmxcfs.parse_vmlist,
    "cat /etc/pve/corosync.conf": corosync_conf.parse_corosync_conf,
    "cat /etc/pve/storage.cfg": storage.parse_storage_cfg,
    "cat /proc/1/stat": guests.parse_proc_stats,
    "cat /proc/sys/kernel/random/boot_id": identity.parse_boot_id,
    "cat /var/log/pve/tasks/active": tasks.parse_tasks_active,
    "date +%s.%N": identity.parse_epoch,
    "df -Pk /var/lib/vz /var/lib/pve-cluster /root": storage.parse_df,
    "findmnt -n -o FSTYPE,SOURCE,OPTIONS /etc/pve": pmxcfs.parse_findmnt,
    "findmnt -nT /var/lib/vz -o TARGET,OPTIONS,SOURCE,FSTYPE": storage.parse_findmnt_target,
    "getent ahosts pve1": net.parse_getent_ahosts,
    "ha-manager status": ha.parse_ha_status,
    "hostname": identity.parse_hostname,
    "ip -j addr": net.parse_ip_addr,
    "ip -j -d link": net.parse_ip_link,
    "ip -j route": net.parse_ip_route,
    "ip -j -4 route show default": net.parse_ip_route,
    "ip -j route get 10.55.0.12": net.parse_ip_route,
    "ls -A /etc/corosync /var/lib/corosync": identity.parse_ls_dirs,
    "ls -ld /run/watchdog-mux.active": ha.parse_watchdog_marker,
    "ls /etc/pve/qemu-server": identity.parse_ls,
    "pct list": guests.parse_pct_list,
    "pgrep -ax corosync": pmxcfs.parse_pgrep,
    "pgrep -ax pmxcfs": pmxcfs.parse_pgrep,
    "pvecm status": quorum.parse_pvecm_status,
    "pvesh get /cluster/resources --output-format json": api.parse_cluster_resources,
    "pvesh get /cluster/status --output-format json": api.parse_cluster_status,
    "pvesm status": storage.parse_pvesm_status,
    "pveversion": identity.parse_pveversion,
    "qm list": guests.parse_qm_list,
    "qm list --full": guests.parse_qm_list,
    "sha256sum /etc/pve/nodes/*/qemu-server/*.conf /etc/pve/nodes/*/lxc/*.conf": identity.parse_sha256sums,
    "ss -H -ulnp": net.parse_ss_udp,
    "stat -c %a /etc/pve/local": pmxcfs.parse_mode,
    "systemctl list-jobs --no-pager": units.parse_list_jobs,
}
SHOW = (
    "systemctl show -p Id,ActiveState,SubState,UnitFileState,ConditionResult,MainPID,ExecMainStatus,Result"
    " corosync pve-cluster"
)
HAS_CONF = "SELECT count(*) FROM tree WHERE parent=0 AND name='corosync.conf'"

NODE_STATES = {
    "corosync-stopped.pve1": NodeState.HALF_DISMANTLED,
    "forced.pve1": NodeState.CLUSTERED_QUORATE,
    "ha-active.pve1": NodeState.CLUSTERED_QUORATE,
    "ha-stopped.pve1": NodeState.CLUSTERED_QUORATE,
    "half-dismantled.pve1": NodeState.HALF_DISMANTLED,
    "half-dismantled.pve2": NodeState.HALF_DISMANTLED,
    "half-dismantled.pve3": NodeState.HALF_DISMANTLED,
    "local-mode.pve1": NodeState.LOCAL_MODE,
    "no-quorum.pve1": NodeState.CLUSTERED_NO_QUORUM,
    "no-quorum.pve2": NodeState.CLUSTERED_NO_QUORUM,
    "no-quorum.pve3": NodeState.CLUSTERED_NO_QUORUM,
    "peer-left-behind.pve2": NodeState.CLUSTERED_NO_QUORUM,
    "quorate.pve1": NodeState.CLUSTERED_QUORATE,
    "quorate.pve2": NodeState.CLUSTERED_QUORATE,
    "standalone.pve1": NodeState.STANDALONE_LEFTOVERS,
    "unmounted.pve1": NodeState.UNMOUNTED,
}
MEMBERS = [name for name, state in NODE_STATES.items() if state.startswith("clustered")]
MOUNTED = [name for name in STATES if name != "unmounted.pve1"]
GUESTS = {"pve1": {101, 102}, "pve2": {201, 202, 203}, "pve3": {301, 302}}
CONTAINERS = {"pve1": 190, "pve2": 290, "pve3": 390}


def node_of(capture: str) -> str:
    return capture.rpartition(".")[2]


def evidence(capture: str) -> StateEvidence:
    directories = identity.parse_ls_dirs(output(capture, "ls -A /etc/corosync /var/lib/corosync"))
    shown = units.parse_units(with_asked_properties(output(capture, SHOW)))
    count = output(capture, f'sqlite3 -readonly /var/lib/pve-cluster/config.db "{HAS_CONF}"').stdout.strip()
    processes = pmxcfs.parse_pgrep(output(capture, "pgrep -ax corosync"))
    return StateEvidence(
        mounts=pmxcfs.parse_findmnt(output(capture, "findmnt -n -o FSTYPE,SOURCE,OPTIONS /etc/pve")),
        mode=pmxcfs.parse_mode(output(capture, "stat -c %a /etc/pve/local")),
        members=pmxcfs.parse_members(output(capture, "cat /etc/pve/.members")),
        pvecm=quorum.parse_pvecm_status(output(capture, "pvecm status")),
        pmxcfs=pmxcfs.parse_pgrep(output(capture, "pgrep -ax pmxcfs")),
        corosync_running=bool(processes) or not shown["corosync.service"].is_stopped,
        authkey_present="authkey" in (directories["/etc/corosync"] or ()),
        conf_in_db={"0": False, "1": True}[count],
        leftovers=corosync_leftovers(directories),
    )


@pytest.mark.parametrize("capture", [*STATES, *TRANSCRIPTS])
def test_every_recorded_answer_is_read_or_refused_because_pmxcfs_was_down(capture: str) -> None:
    read = 0
    for step in steps(capture):
        parser = PARSERS.get(step.command)
        if parser is None:
            continue
        if step.output.exit_status == 111 and parser is not quorum.parse_pvecm_status:
            with pytest.raises(ParseError, match="pmxcfs does not answer"):
                parser(step.output)
        else:
            parser(step.output)
            read += 1
    assert read >= 20 or capture in TRANSCRIPTS


def test_every_parser_meets_a_recorded_answer() -> None:
    recorded = {step.command for capture in [*STATES, *TRANSCRIPTS] for step in steps(capture)}
    assert set(PARSERS) <= recorded


def test_the_states_are_those_that_were_recorded() -> None:
    assert sorted(NODE_STATES) == STATES


@pytest.mark.parametrize("capture", STATES)
def test_a_node_is_recognised(capture: str) -> None:
    assert classify(evidence(capture)) is NODE_STATES[capture]


@pytest.mark.parametrize("capture", MEMBERS)
def test_a_member_shows_the_vote(capture: str) -> None:
    status = quorum.parse_pvecm_status(output(capture, "pvecm status"))
    alone = capture.split(".")[0] in ("no-quorum", "peer-left-behind", "forced")
    forced = capture.startswith("forced")
    assert (status.kind, status.cluster_name, status.config_version) == ("member", "labcluster", 3)
    assert status.quorum is not None
    assert status.quorum.quorate is (forced or not alone)
    assert (status.quorum.expected, status.quorum.highest_expected) == ((1, 1) if forced else (3, 3))
    assert status.quorum.total == len(status.quorum.members) == (1 if alone else 3)
    assert (status.quorum.quorum, status.quorum.blocked) == (1 if forced else 2, alone and not forced)
    assert status.quorum.flags == (("Quorate",) if status.quorum.quorate else ())
    (local,) = [member for member in status.quorum.members if member.local]
    assert local == quorum.Member(int(node_of(capture)[-1]), 1, f"10.55.0.1{node_of(capture)[-1]}", True, None)
    assert re.fullmatch(r"\d\.2[26]", status.quorum.ring_id)
    assert status.quorum.qdevice_votes is None


@pytest.mark.parametrize("capture", sorted(set(STATES) - set(MEMBERS)))
def test_a_node_without_corosync_shows_no_vote(capture: str) -> None:
    status = quorum.parse_pvecm_status(output(capture, "pvecm status"))
    kind = {"standalone": "standalone", "unmounted": "no-pmxcfs"}.get(capture.split(".")[0], "no-corosync")
    assert (status.kind, status.quorum) == (kind, None)
    known = ("labcluster", 3) if kind == "no-corosync" else (None, None)
    assert (status.cluster_name, status.config_version) == known


@pytest.mark.parametrize("capture", STATES)
def test_the_cluster_configuration_is_the_same_wherever_it_is(capture: str) -> None:
    conf = corosync_conf.parse_corosync_conf(output(capture, "cat /etc/pve/corosync.conf"))
    if capture in ("standalone.pve1", "unmounted.pve1"):
        assert conf is None
        return
    assert conf is not None
    assert (conf.cluster_name, conf.config_version, conf.qdevice, conf.two_node) == ("labcluster", 3, False, False)
    assert conf.nodes == tuple(
        corosync_conf.ConfNode(f"pve{number}", number, 1, {0: f"10.55.0.1{number}"}) for number in (1, 2, 3)
    )
    assert len(conf.text.encode()) == 531
    local = corosync_conf.parse_corosync_conf(output(capture, "cat /etc/corosync/corosync.conf"))
    if capture == "corosync-stopped.pve1":
        assert local is None
    else:
        assert local is not None and local.sha256 == conf.sha256


@pytest.mark.parametrize("capture", MOUNTED)
def test_pmxcfs_shows_members_and_guests(capture: str) -> None:
    node = node_of(capture)
    (mount,) = pmxcfs.parse_findmnt(output(capture, "findmnt -n -o FSTYPE,SOURCE,OPTIONS /etc/pve"))
    assert (mount.fstype, mount.source, mount.options[0]) == ("fuse", "/dev/fuse", "rw")
    (process,) = pmxcfs.parse_pgrep(output(capture, "pgrep -ax pmxcfs"))
    assert process.args == ("pmxcfs -l" if capture.startswith("local-mode") else "/usr/bin/pmxcfs")
    members = pmxcfs.parse_members(output(capture, "cat /etc/pve/.members"))
    assert members is not None and members.nodename == node
    if capture.split(".")[0] in ("half-dismantled", "local-mode", "standalone"):
        assert members == pmxcfs.Members(node, 0, None, None, None, None)
    else:
        assert (members.cluster_name, members.cluster_version) == ("labcluster", 3)
        assert members.quorate is (pmxcfs.parse_mode(output(capture, "stat -c %a /etc/pve/local")) == 0o755)
        assert members.nodes is not None and sorted(members.nodes) == ["pve1", "pve2", "pve3"]
        assert members.nodes[node] == pmxcfs.MemberNode(int(node[-1]), True, f"10.55.0.1{node[-1]}")
    vmlist = pmxcfs.parse_vmlist(output(capture, "cat /etc/pve/.vmlist"))
    assert vmlist is not None
    owners = {vmid: (entry.node, entry.type) for vmid, entry in vmlist.items()}
    assert owners == {vmid: (name, "qemu") for name in GUESTS for vmid in GUESTS[name]} | {
        vmid: (name, "lxc") for name, vmid in CONTAINERS.items()
    }


def test_nothing_is_there_while_pmxcfs_is_down() -> None:
    assert pmxcfs.parse_findmnt(output("unmounted.pve1", "findmnt -n -o FSTYPE,SOURCE,OPTIONS /etc/pve")) == ()
    assert pmxcfs.parse_pgrep(output("unmounted.pve1", "pgrep -ax pmxcfs")) == ()
    assert pmxcfs.parse_mode(output("unmounted.pve1", "stat -c %a /etc/pve/local")) is None
    assert pmxcfs.parse_members(output("unmounted.pve1", "cat /etc/pve/.members")) is None
    assert pmxcfs.parse_vmlist(output("unmounted.pve1", "cat /etc/pve/.vmlist")) is None
    assert storage.parse_storage_cfg(output("unmounted.pve1", "cat /etc/pve/storage.cfg")) is None


@pytest.mark.parametrize("capture", MOUNTED)
def test_the_nodes_own_guests_are_listed(capture: str) -> None:
    node = node_of(capture)
    vms = guests.parse_qm_list(output(capture, "qm list --full"))
    stopped = {102} if capture == "half-dismantled.pve1" else set()
    assert set(vms) == GUESTS[node]
    for vmid, vm in vms.items():
        assert (vm.name, vm.status) == (f"vm{vmid}", "stopped" if vmid in stopped else "running")
        assert (vm.pid is None) is (vmid in stopped)
    vmid = CONTAINERS[node]
    containers = guests.parse_pct_list(output(capture, "pct list"))
    assert containers == {vmid: guests.GuestStatus(vmid, f"ct{vmid}", "stopped", None, None)}
    assert storage.parse_pvesm_status(output(capture, "pvesm status")) == {
        "local": storage.StorageStatus("local", "dir", "active")
    }
    shown = api.parse_cluster_resources(output(capture, "pvesh get /cluster/resources --output-format json"))
    assert set(shown) == {*CONTAINERS.values(), *(vmid for vmids in GUESTS.values() for vmid in vmids)}
    assert all(guest.node == f"pve{guest.vmid // 100}" for guest in shown.values())
    assert {shown[vmid].type for vmid in CONTAINERS.values()} == {"lxc"}


def test_the_api_shows_a_half_dismantled_and_a_standalone_node_alike() -> None:
    command = "pvesh get /cluster/status --output-format json"
    alone = api.ClusterStatus(None, {"pve1": api.ApiNode("pve1", 0, True, True, "10.55.0.11")})
    for capture in ("half-dismantled.pve1", "local-mode.pve1", "standalone.pve1"):
        assert api.parse_cluster_status(output(capture, command)) == alone
    broken = api.parse_cluster_status(output("no-quorum.pve2", command))
    assert broken.cluster == api.ApiCluster("labcluster", 3, False)
    assert {node.name: (node.online, node.local) for node in broken.nodes.values()} == {
        "pve1": (False, False),
        "pve2": (True, True),
        "pve3": (False, False),
    }


def test_services_of_a_half_dismantled_and_of_a_standalone_node() -> None:
    half = units.parse_units(with_asked_properties(output("half-dismantled.pve1", SHOW)))
    assert half["corosync.service"] == units.Unit(
        "corosync.service", "loaded", "failed", "failed", "disabled", True, 0, 8, "exit-code", None
    )
    assert half["pve-cluster.service"].is_active and half["pve-cluster.service"].main_pid == 834
    alone = units.parse_units(with_asked_properties(output("standalone.pve1", SHOW)))
    assert alone["corosync.service"].condition is False
    assert alone["corosync.service"].is_stopped and alone["corosync.service"].is_enabled
    (process,) = pmxcfs.parse_pgrep(output("standalone.pve1", "pgrep -ax pmxcfs"))
    assert process.pid == alone["pve-cluster.service"].main_pid


def test_recorded_systemctl_show_without_the_job_is_refused() -> None:
    with pytest.raises(ParseError, match="LoadState, Job"):
        units.parse_units(output("quorate.pve1", SHOW))


def test_ha_while_active_and_after_it_was_stopped() -> None:
    active = ha.parse_ha_status(output("ha-active.pve1", "ha-manager status"))
    assert (active.quorum_ok, active.master, active.master_mode, active.fencing) == (True, "pve2", "active", None)
    assert active.lrms == {"pve1": "active", "pve2": "active", "pve3": "active"}
    assert active.services == {f"vm:{n}01": (f"pve{n}", "started") for n in (1, 2, 3)}
    stopped = ha.parse_ha_status(output("ha-stopped.pve1", "ha-manager status"))
    assert set(stopped.lrms.values()) == {"old timestamp - dead?"}
    assert stopped.services["vm:201"] == ("pve2", "freeze")
    assert not ha.parse_ha_status(output("no-quorum.pve1", "ha-manager status")).quorum_ok
    marker = "ls -ld /run/watchdog-mux.active"
    assert [name for name in STATES if ha.parse_watchdog_marker(output(name, marker))] == ["ha-active.pve1"]


def test_corosync_listens_where_it_runs() -> None:
    for capture in STATES:
        listeners = net.parse_ss_udp(output(capture, "ss -H -ulnp"))
        expected = (net.Listener("corosync", f"10.55.0.1{node_of(capture)[-1]}", 5405),)
        assert listeners == (expected if capture in MEMBERS else ())


def test_tasks_that_ended_do_not_run() -> None:
    listed = tasks.parse_tasks_active(output("no-quorum.pve1", "cat /var/log/pve/tasks/active"))
    assert len(listed) == 9 and not any(task.running for task in listed)
    assert listed[0] == tasks.Task(
        upid="UPID:pve1:0000010E:0007F07B:6B03DD24:qmstart:102:root@pam:",
        node="pve1",
        pid=270,
        pstart=520315,
        type="qmstart",
        id="102",
        user="root@pam",
        running=False,
    )
    assert [task.type for task in listed if task.is_blocking] == ["startall", "stopall", "clustercreate", "startall"]


def test_network_of_a_node() -> None:
    addresses = net.parse_ip_addr(output("no-quorum.pve1", "ip -j addr"))
    assert net.Address("vmbr0", "10.55.0.11", 24, "inet", "global") in addresses
    assert net.Address("lo", "::1", 128, "inet6", "host") in addresses
    routes = net.parse_ip_route(output("no-quorum.pve1", "ip -j route"))
    assert net.default_routes(routes) == (net.Route("default", "10.55.0.1", "vmbr0", None, None),)
    assert routes[1] == net.Route("10.55.0.0/24", None, "vmbr0", None, "10.55.0.11")
    (direct,) = net.parse_ip_route(output("more-probes", "ip -j route get 10.55.0.12"))
    assert (direct.gateway, direct.dev) == (None, "vmbr0")
    links = {link.name: link for link in net.parse_ip_link(output("no-quorum.pve1", "ip -j -d link"))}
    assert links["eno1"] == net.Link("eno1", 1500, "vmbr0", None, "veth", None, "UP")
    assert (links["vmbr0"].kind, links["tap101i0"].kind, links["lo"].kind) == ("bridge", "tun", None)
    assert net.parse_getent_ahosts(output("no-quorum.pve1", "getent ahosts pve1")) == ("10.55.0.11",)
    assert net.parse_getent_ahosts(output("no-quorum.pve2", "getent ahosts pve1")) == ()


def test_identity_of_a_node() -> None:
    assert identity.parse_pveversion(output("quorate.pve1", "pveversion")) == identity.Version(8, 3, "8.3.0")
    assert identity.parse_hostname(output("quorate.pve2", "hostname")) == "pve2"
    boot_id = identity.parse_boot_id(output("no-quorum.pve1", "cat /proc/sys/kernel/random/boot_id"))
    assert boot_id == "795a584d-dd88-405e-9a6a-7688afa7b708"
    names = identity.parse_hosts_file(output("no-quorum.pve1", "cat /etc/hosts"))
    assert names["pve1"] == ("10.55.0.11",) and names["localhost"] == ("127.0.0.1",)
    assert identity.parse_epoch(output("more-probes", "date +%s.%N")) == pytest.approx(1795416094.65)
    listed = identity.parse_ls_dirs(output("corosync-stopped.pve1", "ls -A /etc/corosync /var/lib/corosync"))
    assert listed == {"/etc/corosync": (), "/var/lib/corosync": ()}


def test_a_running_guest_is_the_process_that_was_recorded() -> None:
    command = (
        'for f in /run/qemu-server/*.pid; do p=$(cat $f); echo "$f $p"; cat /proc/$p/stat;'
        " tr '\\0' ' ' </proc/$p/cmdline; echo; done"
    )
    lines = output("more-probes", command).stdout.splitlines()
    stats = guests.parse_proc_stats(Output("\n".join(lines[1::3]) + "\n", "", 0))
    assert stats == {187: 594403, 275: 594898}
    processes = [f"{pid} {line}" for pid, line in zip(stats, lines[2::3], strict=True)]
    assert guests.parse_guest_processes(Output("\n".join(processes) + "\n", "", 0)) == {
        101: guests.GuestProcess(101, 187, "qemu", False),
        102: guests.GuestProcess(102, 275, "qemu", False),
    }


def test_space_and_mounts() -> None:
    spaces = storage.parse_df(output("more-probes", "df -Pk /var/lib/vz /var/lib/pve-cluster /root"))
    assert spaces == (storage.FreeSpace("/", 80925968, "overlay"),) * 3
    command = "findmnt -nT /var/lib/vz -o TARGET,OPTIONS,SOURCE,FSTYPE"
    mount = storage.parse_findmnt_target(output("more-probes", command))
    options = ("rw", "relatime", "errors=remount-ro")
    assert mount == storage.MountPoint("/dev/mapper/pve-root", "/", "ext4", options)
    assert mount.is_writable
    assert units.parse_list_jobs(output("more-probes", "systemctl list-jobs --no-pager")) == ()
    storages = storage.parse_storage_cfg(output("quorate.pve1", "cat /etc/pve/storage.cfg"))
    assert storages is not None
    content = ("iso", "vztmpl", "backup", "images", "rootdir")
    options_local = {"path": "/var/lib/vz", "content": ",".join(content)}
    assert storages == {
        "local": storage.Storage("local", "dir", "/var/lib/vz", content, None, False, False, options_local)
    }


def test_the_flapping_cluster_changes_its_mind() -> None:
    said = [
        quorum.parse_pvecm_status(step.output).quorum for step in steps("flapping") if step.command == "pvecm status"
    ]
    assert said and all(vote is not None for vote in said)
