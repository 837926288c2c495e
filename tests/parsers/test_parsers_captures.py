"""What single recorded outputs mean, beyond what the files beside the captures expect of them."""

from __future__ import annotations

import pytest
from capture_reading import as_asked
from parsers_captures import output, steps
from pve_runbook.parsers import corosync_conf, guests, host, iproute, pmxcfs, pvecm, pvesh, storage, systemd
from pve_runbook.parsers.output import Output, ParseError

SHOW = (
    "systemctl show -p Id,ActiveState,SubState,UnitFileState,ConditionResult,MainPID,ExecMainStatus,Result"
    " corosync pve-cluster"
)
MEMBERS_AND_HALVES = (
    "corosync-stopped.pve1",
    "forced.pve1",
    "ha-active.pve1",
    "ha-stopped.pve1",
    "half-dismantled.pve1",
    "half-dismantled.pve2",
    "half-dismantled.pve3",
    "local-mode.pve1",
    "no-quorum.pve1",
    "no-quorum.pve2",
    "no-quorum.pve3",
    "peer-left-behind.pve2",
    "quorate.pve1",
    "quorate.pve2",
)


@pytest.mark.parametrize("capture", MEMBERS_AND_HALVES)
def test_the_cluster_configuration_is_the_same_wherever_it_is(capture: str) -> None:
    conf = corosync_conf.parse_corosync_conf(output(capture, "cat /etc/pve/corosync.conf"))
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


def test_the_api_shows_a_half_dismantled_and_a_standalone_node_alike() -> None:
    command = "pvesh get /cluster/status --output-format json"
    alone = pvesh.ClusterStatus(None, {"pve1": pvesh.ApiNode("pve1", 0, True, True, "10.55.0.11")})
    for capture in ("half-dismantled.pve1", "local-mode.pve1", "standalone.pve1"):
        assert pvesh.parse_cluster_status(output(capture, command)) == alone
    broken = pvesh.parse_cluster_status(output("no-quorum.pve2", command))
    assert broken.cluster == pvesh.ApiCluster("labcluster", 3, False)
    assert {node.name: (node.online, node.local) for node in broken.nodes.values()} == {
        "pve1": (False, False),
        "pve2": (True, True),
        "pve3": (False, False),
    }


def test_services_of_a_half_dismantled_and_of_a_standalone_node() -> None:
    half = systemd.parse_units(as_asked(output("half-dismantled.pve1", SHOW)))
    assert half["corosync.service"] == systemd.Unit(
        "corosync.service", "loaded", "failed", "failed", "disabled", True, 0, 8, "exit-code", None
    )
    assert half["pve-cluster.service"].is_active and half["pve-cluster.service"].main_pid == 834
    alone = systemd.parse_units(as_asked(output("standalone.pve1", SHOW)))
    assert alone["corosync.service"].condition is False
    assert alone["corosync.service"].is_stopped and alone["corosync.service"].is_enabled
    (process,) = pmxcfs.parse_pgrep(output("standalone.pve1", "pgrep -ax pmxcfs"))
    assert process.pid == alone["pve-cluster.service"].main_pid


def test_recorded_systemctl_show_without_the_job_is_refused() -> None:
    with pytest.raises(ParseError, match="LoadState, Job"):
        systemd.parse_units(output("quorate.pve1", SHOW))


def test_network_of_a_node() -> None:
    devices = iproute.parse_ip_addr(output("no-quorum.pve1", "ip -j addr"))
    addresses = [a for device in devices for a in device.addresses]
    ports = {d.name: d.master for d in devices if d.master is not None}
    assert (ports["eno1"], ports["tap101i0"]) == ("vmbr0", "vmbr0")
    assert {(d.is_up, d.mtu) for d in devices} == {(True, 1500), (True, 65536)}
    assert iproute.Address("vmbr0", "10.55.0.11", 24, "inet", "global") in addresses
    assert iproute.Address("lo", "::1", 128, "inet6", "host") in addresses
    routes = iproute.parse_ip_route(output("no-quorum.pve1", "ip -j route"))
    assert iproute.default_routes(routes) == (iproute.Route("default", "10.55.0.1", "vmbr0", None, None),)
    assert routes[1] == iproute.Route("10.55.0.0/24", None, "vmbr0", None, "10.55.0.11", "kernel")
    (direct,) = iproute.parse_ip_route(output("more-probes", "ip -j route get 10.55.0.12"))
    assert (direct.gateway, direct.dev) == (None, "vmbr0")
    links = {link.name: link for link in iproute.parse_ip_link(output("no-quorum.pve1", "ip -j -d link"))}
    assert links["eno1"] == iproute.Link("eno1", 1500, "vmbr0", None, "veth", None, "UP")
    assert (links["vmbr0"].kind, links["tap101i0"].kind, links["lo"].kind) == ("bridge", "tun", None)
    assert iproute.parse_getent_ahosts(output("no-quorum.pve1", "getent ahosts pve1")) == ("10.55.0.11",)
    assert iproute.parse_getent_ahosts(output("no-quorum.pve2", "getent ahosts pve1")) == ()


def test_identity_of_a_node() -> None:
    assert host.parse_pveversion(output("quorate.pve1", "pveversion")) == host.Version(8, 3, "8.3.0")
    assert host.parse_hostname(output("quorate.pve2", "hostname")) == "pve2"
    boot_id = host.parse_boot_id(output("no-quorum.pve1", "cat /proc/sys/kernel/random/boot_id"))
    assert boot_id == "795a584d-dd88-405e-9a6a-7688afa7b708"
    names = host.parse_hosts_file(output("no-quorum.pve1", "cat /etc/hosts")).names
    assert names["pve1"] == ("10.55.0.11",) and names["localhost"] == ("127.0.0.1",)
    assert host.parse_epoch(output("more-probes", "date +%s.%N")) == pytest.approx(1795416094.65)
    listed = host.parse_ls_dirs(output("corosync-stopped.pve1", "ls -A /etc/corosync /var/lib/corosync"))
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
    assert systemd.parse_list_jobs(output("more-probes", "systemctl list-jobs --no-pager")) == ()
    storages = storage.parse_storage_cfg(output("quorate.pve1", "cat /etc/pve/storage.cfg"))
    assert storages is not None
    content = ("iso", "vztmpl", "backup", "images", "rootdir")
    options_local = {"path": "/var/lib/vz", "content": ",".join(content)}
    assert storages == {
        "local": storage.Storage("local", "dir", "/var/lib/vz", content, None, False, False, options_local)
    }


def test_the_flapping_cluster_changes_its_mind() -> None:
    said = [
        pvecm.parse_pvecm_status(step.output).quorum for step in steps("flapping") if step.command == "pvecm status"
    ]
    assert said and all(vote is not None for vote in said)
