"""Units, tasks, jobs, HA, network and identity in the forms of PVE 7 and 9, and odd ones."""

from __future__ import annotations

import pytest
from pve_runbook.parsers import ha, host, iproute, jobs, pmxcfs, pvesh, systemd, tasks
from pve_runbook.parsers.output import Output, ParseError

SERVICE = """\
Job={job}
MainPID=0
Result=success
ExecMainStatus=0
Id={name}
LoadState={load}
ActiveState={active}
SubState=dead
UnitFileState={file_state}
ConditionResult=no
"""


def service(
    name: str, *, load: str = "loaded", active: str = "inactive", file_state: str = "enabled", job: str = ""
) -> str:
    return SERVICE.format(name=name, load=load, active=active, file_state=file_state, job=job)


def test_units_that_are_missing_masked_waiting_or_timers() -> None:
    timer = (
        "Id=pvesr.timer\nLoadState=loaded\nActiveState=active\nSubState=waiting\n"
        "UnitFileState=enabled\nResult=success\nJob=\n"
    )
    text = "\n".join(
        [
            service("pvescheduler.service", load="not-found", file_state=""),
            service("corosync.service", load="masked", file_state="masked-runtime"),
            service("pve-guests.service", active="activating", job="123"),
            service("pve-ha-lrm.service", active="deactivating", file_state="disabled"),
            timer,
        ]
    )
    found = systemd.parse_units(Output(text, "", 0))
    assert [name for name, unit in found.items() if not unit.exists] == ["pvescheduler.service"]
    assert [name for name, unit in found.items() if unit.is_masked] == ["corosync.service"]
    assert [name for name, unit in found.items() if unit.is_active] == ["pvesr.timer"]
    assert [name for name, unit in found.items() if unit.is_stopped] == ["pvescheduler.service", "corosync.service"]
    assert [name for name, unit in found.items() if unit.is_enabled] == ["pve-guests.service", "pvesr.timer"]
    assert {name: unit.job for name, unit in found.items() if unit.job} == {"pve-guests.service": "123"}
    assert (found["pvesr.timer"].condition, found["pvesr.timer"].exec_main_status) == (None, None)


@pytest.mark.parametrize("missing", ["Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "Job", "MainPID"])
def test_a_unit_without_a_property_is_unknown(missing: str) -> None:
    lines = service("corosync.service").splitlines()
    text = "\n".join(line for line in lines if not line.startswith(f"{missing}="))
    with pytest.raises(ParseError, match=missing):
        systemd.parse_units(Output(text, "", 0))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join([service("a.service")] * 2),
        "what=ever\n",
        service("a.service") + "property\n",
        service("a.service") + "a property=1\n",
    ],
)
def test_units_that_cannot_be_told_apart_are_unknown(text: str) -> None:
    with pytest.raises(ParseError):
        systemd.parse_units(Output(text, "", 0))


@pytest.mark.parametrize(("old", "new"), [("MainPID=0", "MainPID=x"), ("ConditionResult=no", "ConditionResult=so")])
def test_a_property_of_unknown_form_is_unknown(old: str, new: str) -> None:
    with pytest.raises(ParseError):
        systemd.parse_units(Output(service("a.service").replace(old, new), "", 0))


def test_jobs_that_wait_for_quorum() -> None:
    rows = " 412 pve-guests.service   start running\n413 pvescheduler.service start waiting\n"
    expected = (
        systemd.Job(412, "pve-guests.service", "start", "running"),
        systemd.Job(413, "pvescheduler.service", "start", "waiting"),
    )
    assert systemd.parse_list_jobs(Output(rows, "", 0)) == expected
    with_legend = f"JOB UNIT                 TYPE  STATE\n{rows}\n2 jobs listed.\n"
    assert systemd.parse_list_jobs(Output(with_legend, "", 0)) == expected
    assert systemd.parse_list_jobs(Output("", "", 0)) == ()


@pytest.mark.parametrize(
    ("kind", "blocks"),
    [
        *((kind, False) for kind in ("vncproxy", "vncshell", "spiceproxy", "spiceshell", "termproxy")),
        *((kind, True) for kind in ("vzdump", "qmigrate", "startall", "cephcreateosd", "qmstart", "srvreload")),
        *((kind, True) for kind in ("bulk-start", "reloadnetworkall", "lvmremove", "a-type-of-the-next-release")),
    ],
)
def test_only_a_console_is_not_waited_for(kind: str, blocks: bool) -> None:
    line = f"1 task UPID:pve1:0000A1B2:0001C3D4:6657ABCD:{kind}::root@pam:\n"
    [task] = tasks.parse_task_processes(Output(line, "", 0))
    assert task.is_blocking is blocks


def test_workers_that_live() -> None:
    upid = "UPID:pve1:0000A1B2:0001C3D4:6657ABCD:vzdump::root@pam:"
    found = tasks.parse_task_processes(Output(f"41394 task {upid}\n41400 task {upid}\n", "", 0))
    assert [(task.upid, task.pid) for task in found] == [(upid, 41394)]
    assert tasks.parse_task_processes(Output("", "", 1)) == ()
    for process in ("sleep 10", "task 10", f"note {upid}"):
        with pytest.raises(ParseError):
            tasks.parse_task_processes(Output(f"1 {process}\n", "", 0))


def test_backup_jobs_of_jobs_cfg() -> None:
    text = (
        "vzdump: backup-07cdf241-8b56\n\tschedule 2:00\n\tall 1\n\tenabled 1\n\tstorage vaultpbs\n\tmode snapshot\n\n"
        "realm-sync: ad\n\tschedule daily\n\n"
        "vzdump: off\n\tschedule sat 03:00\n\tvmid 100,101\n\tnode pve1\n\tenabled 0\n"
    )
    every, off = jobs.parse_jobs_cfg_text(text)
    assert (every.id, every.schedule, every.enabled, every.all) == ("backup-07cdf241-8b56", "2:00", True, True)
    assert (every.vmids, every.node, every.storage, every.options["mode"]) == ((), None, "vaultpbs", "snapshot")
    assert (off.schedule, off.enabled, off.all, off.vmids, off.node) == ("sat 03:00", False, False, (100, 101), "pve1")
    assert jobs.parse_jobs_cfg_text("vzdump: on\n\tall\n")[0] == jobs.BackupJob(
        "on", "", True, True, (), None, None, {"all": ""}
    )
    assert jobs.parse_jobs_cfg_text("vzdump: x\n\tvmid all,101\n")[0].vmids == (101,)


def test_backup_jobs_of_vzdump_cron() -> None:
    text = (
        "# cluster wide vzdump cron schedule\n# Automatically generated file - do not edit\n\n"
        'PATH="/usr/sbin:/usr/bin:/sbin:/bin"\n\n'
        "0 1 * * 6           root vzdump --all 1 --mailto 'a b' --quiet 1 --storage nas --mode snapshot\n"
        "30 2 * * *           root #vzdump 100 101 --node pve2 --compress=zstd\n"
    )
    weekly, off = jobs.parse_vzdump_cron_text(text)
    assert (weekly.id, weekly.schedule, weekly.enabled, weekly.all) == ("vzdump.cron:6", "0 1 * * 6", True, True)
    assert (weekly.storage, weekly.options["mailto"]) == ("nas", "a b")
    assert (off.enabled, off.vmids, off.node, off.options["compress"]) == (False, (100, 101), "pve2", "zstd")
    assert jobs.parse_vzdump_cron_text("0 1 * * 6 root rm -rf /\nwhat is this\n") == ()
    [odd] = jobs.parse_vzdump_cron_text("0 1 * * 6 root vzdump 101 --mailto 'open")
    assert (odd.vmids, odd.options["mailto"]) == ((101,), "'open")


def test_replication_jobs() -> None:
    text = "local: 100-0\n\ttarget pve2\n\tschedule */5\n\tsource pve1\n\nlocal: 101-0\n\ttarget pve3\n\tdisable\n"
    assert jobs.parse_replication_cfg_text(text) == (
        jobs.ReplicationJob("100-0", "pve2", "*/5", False),
        jobs.ReplicationJob("101-0", "pve3", "*/15", True),
    )
    assert jobs.parse_replication_cfg_text("local: 100-0\n") == ()


@pytest.mark.parametrize(
    "line", ["-rw------- 1 root root 0 /run/watchdog-mux.active", "drw------- 2 root root 40 /run"]
)
def test_a_watchdog_marker_of_unknown_form_is_unknown(line: str) -> None:
    with pytest.raises(ParseError):
        ha.parse_watchdog_marker(Output(line + "\n", "", 0))


def test_ha_resources() -> None:
    text = "vm: 101\n\tstate started\n\nct: 102\n\tgroup x\n"
    assert ha.parse_ha_resources_text(text) == ("vm:101", "ct:102")
    assert ha.parse_ha_resources_text("\n") == ()


def test_two_default_gateways_of_several_kinds() -> None:
    text = """[{"dst":"default","gateway":"10.0.0.1","dev":"vmbr0","metric":100,"flags":[]},
      {"dst":"default","flags":[],"nexthops":[{"gateway":"10.0.1.1","dev":"a","weight":1,"flags":[]},
      {"gateway":"10.0.2.1","dev":"b","weight":1,"flags":[]}]},
      {"type":"blackhole","dst":"10.9.0.0/16","flags":[]}]"""
    routes = iproute.parse_ip_route(Output(text, "", 0))
    assert [(route.gateway, route.dev, route.metric) for route in iproute.default_routes(routes)] == [
        ("10.0.0.1", "vmbr0", 100),
        ("10.0.1.1", "a", None),
        ("10.0.2.1", "b", None),
    ]
    assert routes[-1] == iproute.Route("10.9.0.0/16", None, None, None, None)
    assert iproute.parse_ip_route(Output("", "RTNETLINK answers: Network is unreachable\n", 2)) == ()


def test_a_vlan_on_a_card() -> None:
    text = """[{"ifname":"eno1.50","link":"eno1","mtu":1500,"operstate":"UP","master":"vmbr1",
      "linkinfo":{"info_kind":"vlan","info_data":{"protocol":"802.1Q","id":50,"flags":[]}}}]"""
    assert iproute.parse_ip_link(Output(text, "", 0)) == (
        iproute.Link("eno1.50", 1500, "vmbr1", "eno1", "vlan", 50, "UP"),
    )
    with pytest.raises(ParseError):
        iproute.parse_ip_link(Output(text.replace('"mtu":1500,', ""), "", 0))


def test_sockets_of_all_forms() -> None:
    text = (
        "UNCONN 0      0      [::]:111 [::]:*"
        ' users:(("rpcbind",pid=1,fd=4),("systemd",pid=1,fd=40),("systemd",pid=1,fd=41))\n'
        "UNCONN 0      0      127.0.0.1%lo:323 0.0.0.0:*\n"
        "UNCONN 0      0      *:5405 *:*\n"
    )
    assert iproute.parse_ss_udp(Output(text, "", 0)) == (
        iproute.Listener("rpcbind", "::", 111),
        iproute.Listener("systemd", "::", 111),
        iproute.Listener("", "127.0.0.1%lo", 323),
        iproute.Listener("", "*", 5405),
    )


def test_a_name_with_addresses_of_both_families() -> None:
    text = "fd00::11        STREAM pve1\nfd00::11        DGRAM  \n10.0.0.11       STREAM \n"
    assert iproute.parse_getent_ahosts(Output(text, "", 0)) == ("fd00::11", "10.0.0.11")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("pve-manager/7.4-17/513c62be (running kernel: 5.15.107-2-pve)", host.Version(7, 4, "7.4-17")),
        ("pve-manager/9.0.3/025864202ebb6109 (running kernel: 6.14.8-2-pve)", host.Version(9, 0, "9.0.3")),
        ("pve-manager/9.0.0~8/08dc1724dedc56ec", host.Version(9, 0, "9.0.0~8")),
    ],
)
def test_versions(text: str, version: host.Version) -> None:
    assert host.parse_pveversion(Output(text + "\n", "perl: warning: Setting locale failed.\n", 0)) == version


def test_no_proxmox_node() -> None:
    with pytest.raises(ParseError, match="not a Proxmox VE node"):
        host.parse_pveversion(Output("", "sh: 1: pveversion: not found\n", 127))


def test_names_of_a_hosts_file() -> None:
    text = (
        "127.0.0.1 localhost\n127.0.1.1 pve1 # from the installer\n10.0.0.11\tpve1.lab pve1\n\n"
        "#10.0.0.9 old\nfe80::1%lo x\n"
    )
    found = host.parse_hosts_file(Output(text, "", 0))
    assert found.names["pve1"] == ("127.0.1.1", "10.0.0.11")
    assert set(found.names) == {"localhost", "pve1", "pve1.lab", "x"}
    assert found.skipped == ()


@pytest.mark.parametrize("line", ["what is this", "010.0.0.12 pve2", "10.0.0.12/24 pve2", "pve2", "10.0.0 pve2"])
def test_a_line_of_a_hosts_file_that_means_nothing_spoils_itself(line: str) -> None:
    found = host.parse_hosts_file(Output(f"127.0.0.1 localhost\n{line}\n10.0.0.11 pve1\n", "", 0))
    assert found.names == {"localhost": ("127.0.0.1",), "pve1": ("10.0.0.11",)}
    assert [(s.file, s.line) for s in found.skipped] == [("/etc/hosts", 2)]


def test_checksums_of_files_that_may_be_missing() -> None:
    text = f"{'a' * 64}  /etc/hosts\n{'b' * 64} */etc/with blank\n"
    missing = "sha256sum: /etc/corosync/authkey: No such file or directory\n"
    expected = {"/etc/hosts": "a" * 64, "/etc/with blank": "b" * 64}
    assert host.parse_sha256sums(Output(text, missing, 1)) == expected
    assert host.parse_sha256sums(Output("", missing, 1)) == {}
    with pytest.raises(ParseError, match="Permission denied"):
        host.parse_sha256sums(Output(text, missing + "sha256sum: /etc/x: Permission denied\n", 1))


def test_sizes_of_what_may_be_missing() -> None:
    missing = "du: cannot access '/var/lib/pve-cluster/config.db-wal': No such file or directory\n"
    sizes = {"/var/lib/pve-cluster/config.db": 36864, "/etc/with blank": 0}
    text = "36864\t/var/lib/pve-cluster/config.db\n0\t/etc/with blank\n"
    assert host.parse_du(Output(text, missing, 1)) == host.parse_du(Output(text, "", 0)) == sizes
    assert host.parse_du(Output("", missing, 1)) == {}
    with pytest.raises(ParseError, match="Input/output error"):
        host.parse_du(Output(text, "du: cannot read directory '/etc/pve': Input/output error\n", 1))
    with pytest.raises(ParseError):
        host.parse_du(Output("36K\t/etc/pve\n", "", 0))


def test_directories_that_may_be_missing() -> None:
    missing = "ls: cannot access '/var/lib/corosync': No such file or directory\n"
    text = "/etc/corosync:\nuidgid.d\n"
    expected = {"/etc/corosync": ("uidgid.d",), "/var/lib/corosync": None}
    assert host.parse_ls_dirs(Output(text, missing, 2)) == expected
    assert host.parse_ls(Output("", missing, 2)) is None
    assert host.parse_ls(Output("", "", 0)) == ()
    assert host.parse_ls(Output("config.db\n.pmxcfs.lockfile\n", "", 0)) == ("config.db", ".pmxcfs.lockfile")
    for odd in (Output(text, missing, 0), Output(text, "", 2), Output(text, missing.replace("No such", "Odd"), 2)):
        with pytest.raises(ParseError):
            host.parse_ls_dirs(odd)


def test_user_and_boot() -> None:
    assert host.parse_uid(Output("0\n", "", 0)) == 0
    with pytest.raises(ParseError):
        host.parse_boot_id(Output("795a584d\n", "", 0))
    with pytest.raises(ParseError):
        host.parse_epoch(Output("1795416094.%N\n", "", 0))


def test_a_stacked_mount_and_a_read_only_mark() -> None:
    line = "fuse   /dev/fuse rw,nosuid\n"
    assert pmxcfs.parse_findmnt(Output(line * 2, "", 0)) == (pmxcfs.Mount("fuse", "/dev/fuse", ("rw", "nosuid")),) * 2
    assert pmxcfs.parse_mode(Output("1755\n", "", 0)) == 0o1755
    dead = "stat: cannot statx '/etc/pve/local': Transport endpoint is not connected\n"
    with pytest.raises(ParseError, match="Transport endpoint"):
        pmxcfs.parse_mode(Output("", dead, 1))


def test_members_of_other_forms() -> None:
    text = '{\n"nodename": "pve1",\n"version": 4,\n"cluster": { "name": "lab", "version": 3, "nodes": 2, "quorate": 1 }'
    nodelist = (
        ',\n"nodelist": {\n  "pve1": { "id": 1, "online": 1, "ip": "10.0.0.1"},\n'
        '  "pve2": { "id": 2, "online": 0}\n  }\n'
    )
    members = pmxcfs.parse_members(Output(text + nodelist + "}\n", "", 0))
    assert members is not None and members.nodes is not None
    assert members.nodes["pve2"] == pmxcfs.MemberNode(2, False, None)
    for odd in (text + "}", text + nodelist, text.replace('"quorate": 1', '"quorate": 2') + nodelist + "}"):
        with pytest.raises(ParseError):
            pmxcfs.parse_members(Output(odd, "", 0))


def test_api_numbers_as_text_and_entries_that_do_not_belong() -> None:
    text = (
        '[{"type":"cluster","id":"cluster","name":"lab","nodes":"2","version":"4","quorate":"1"},'
        '{"type":"node","id":"node/a","name":"a","nodeid":"1","local":"1","online":"1"}]'
    )
    status = pvesh.parse_cluster_status(Output(text, "", 0))
    assert status.cluster == pvesh.ApiCluster("lab", 2, True)
    assert status.nodes == {"a": pvesh.ApiNode("a", 1, True, True, None)}
    for odd in ("[]", text.replace('"node"', '"pool"'), text.replace('"nodes":"2"', '"nodes":"two"'), "{}"):
        with pytest.raises(ParseError):
            pvesh.parse_cluster_status(Output(odd, "", 0))
    guest = '{"id":"qemu/100","type":"qemu","vmid":"100","node":"a","status":"unknown"}'
    found = pvesh.parse_cluster_resources(Output(f'[{guest},{{"type":"storage","id":"storage/a/local"}}]', "", 0))
    assert found == {100: pvesh.Resource(100, "qemu", "a", "unknown", None)}
    with pytest.raises(ParseError, match="twice"):
        pvesh.parse_cluster_resources(Output(f"[{guest},{guest}]", "", 0))
