"""Every scenario starts, at several sizes, and answers all that the wire asks."""

from __future__ import annotations

import shlex

import pytest
from lab_bench import MakeBench
from pve_lab.scenarios import SCENARIOS

UNITS = (
    "corosync.service corosync-qdevice.service pve-cluster.service pvedaemon.service pveproxy.service "
    "pvestatd.service spiceproxy.service pvescheduler.service pvesr.timer pve-ha-lrm.service pve-ha-crm.service "
    "watchdog-mux.service pve-guests.service pve-firewall.service"
)
TREE = (
    "SELECT 'version',version,mtime,writer FROM tree WHERE inode=0; WITH RECURSIVE t(inode,path,type,data) AS "
    "(SELECT inode,name,type,data FROM tree WHERE parent=0 AND inode<>0 UNION ALL SELECT "
    "c.inode,t.path||'/'||c.name,c.type,c.data FROM tree c JOIN t ON c.parent=t.inode) "
    "SELECT 'file',path,hex(data) FROM t WHERE type=8 AND path NOT LIKE 'priv/%' ORDER BY path"
)
PROBES = [
    "hostname",
    "id -u",
    "cat /proc/sys/kernel/random/boot_id",
    "date +%s.%N",
    "cat /etc/hosts",
    "pveversion",
    "systemctl show -p Id,LoadState,ActiveState,SubState,UnitFileState,ConditionResult,MainPID,ExecMainStatus,Result,"
    f"Job {UNITS}",
    "systemctl list-jobs --no-pager --no-legend",
    "findmnt -n -o FSTYPE,SOURCE,OPTIONS /etc/pve",
    "stat -c %a /etc/pve/local",
    "cat /etc/pve/.members",
    "cat /etc/pve/.vmlist",
    "cat /etc/pve/corosync.conf",
    "cat /etc/corosync/corosync.conf",
    "ls -A /etc/corosync /var/lib/corosync",
    "sha256sum /etc/corosync/authkey",
    "ls -A /var/lib/pve-cluster",
    "pgrep -ax pmxcfs",
    "pgrep -ax corosync",
    "ss -H -ulnp",
    "pvecm status",
    "ls -ld /run/watchdog-mux.active",
    "ls -A /etc/cron.d",
    "cat /var/log/pve/tasks/active",
    "pgrep -af '^task UPID:'",
    "pgrep -af '^(/usr/bin/kvm -id|/usr/bin/lxc-start -F -n) [0-9]+'",
    "cat /etc/pve/storage.cfg",
    "cat /proc/mounts",
    "df -Pk /var/lib/pve-cluster /root /run",
    "lvs --reportformat json -o vg_name,lv_name,lv_attr,data_percent,metadata_percent",
    "zfs list -H -o name",
    "zpool list -H -o name,health",
    "ip -j addr",
    "ip -j route",
    "ip -j -d link",
    "sha256sum /etc/hosts /etc/hostname /etc/network/interfaces",
    "ls -A /var/lib/pve-runbook",
    "qm list --full",
    "pct list",
    "ha-manager status",
    "pvesm status",
    "pvesh get /cluster/status --output-format json",
    "pvesh get /cluster/resources --output-format json",
    f"sqlite3 -readonly /var/lib/pve-cluster/config.db {shlex.quote(TREE)}",
    "getent ahosts pve1",
    "ip -j route get 10.55.0.12",
    "find /var/lib/vz/images /var/lib/vz/private -maxdepth 2 -printf '%y %P\\n'",
    "findmnt -n -T /var/lib/vz -o TARGET,OPTIONS,SOURCE,FSTYPE",
    "wget -q -O /dev/null --no-check-certificate https://localhost:8006/",
]
# These may answer "none": no such process, no such file, no cluster.
MAY_FAIL = {
    "cat /etc/pve/corosync.conf",
    "cat /etc/corosync/corosync.conf",
    "sha256sum /etc/corosync/authkey",
    "pgrep -ax corosync",
    "pvecm status",
    "ls -ld /run/watchdog-mux.active",
    "pgrep -af '^task UPID:'",
    "pgrep -af '^(/usr/bin/kvm -id|/usr/bin/lxc-start -F -n) [0-9]+'",
    "ls -A /var/lib/pve-runbook",
    "getent ahosts pve1",
}


WITHOUT_PVE = {
    *("stale-mount", "hung-pve", "unmounted"),
    *("pmxcfs-failed-by-hosts", "database-damaged", "database-damaged-broken", "both-down", "databases-wiped"),
}
"""Where probes of /etc/pve and Proxmox's tools get no answer on one of the nodes."""
ASK_PVE = ("/etc/pve", "config.db", "pmxcfs", "qm ", "pct ", "ha-manager ", "pvesm ", "pvesh ")
SIZES = [(name, 3) for name in SCENARIOS] + [("broken", 1), ("broken", 5), ("ha-quorate", 5), ("broken", 16)]


@pytest.mark.parametrize(("scenario", "number"), SIZES)
def test_a_scenario_answers_a_whole_batch_of_facts(scenario: str, number: int, make_bench: MakeBench) -> None:
    """Every probe is answered, on every node, and nothing of it changed a node."""
    bench = make_bench(scenario, number)
    for name, node in bench.cluster.nodes.items():
        if not node.powered:
            continue
        answers = dict(zip(PROBES, bench.batch(name, PROBES), strict=True))
        failed = {probe: said for probe, said in answers.items() if said.exit_status and probe not in MAY_FAIL}
        if scenario in WITHOUT_PVE:
            failed = {probe: said for probe, said in failed.items() if not any(word in probe for word in ASK_PVE)}
        assert failed == {}
        assert answers["hostname"].stdout == f"{bench.cluster.nodes[name].hostname}\n"
    assert bench.mutations() == []


def test_every_scenario_has_a_form_with_one_node_and_with_two(make_bench: MakeBench) -> None:
    """Even where it needs more to make sense."""
    for scenario in SCENARIOS:
        for number in (1, 2):
            assert len(make_bench(scenario, number).cluster.nodes) == number


def test_the_default_cluster_is_rich(make_bench: MakeBench) -> None:
    """14 guests on four kinds of storage; every volume exists on the node that owns its guest."""
    bench = make_bench("broken")
    configs = bench.node("pve1").guests.configs()
    assert len(configs) == 14
    running = [vmid for node in bench.cluster.nodes.values() for vmid in node.guests.running]
    assert len(running) == len(set(running)) == 10
    volumes = [volume for config in configs for volume in config.volumes]
    assert {volume.partition(":")[0] for volume in volumes} == {"local", "local-lvm", "tank", "nas"}
    for config in configs:
        storages = bench.node(config.owner).storages
        assert all(storages.volume_exists(volume) for volume in config.volumes)
    text = "".join(config.text for config in configs)
    for word in ("efidisk0", "tpmstate0", "cloudinit", "unused0", "template: 1", "[before-update]", "mp0"):
        assert word in text
    shared = [v for v in volumes if v.startswith("nas:")]
    assert len({v.split("/")[0] for v in shared}) == 1


def test_the_default_network_has_the_articles_root_causes(make_bench: MakeBench) -> None:
    """Two default gateways on pve2, a name that resolves differently on pve3, the ring on the guests' bridge."""
    bench = make_bench("broken")
    assert bench.run("pve2", "ip -j route").stdout.count('"default"') == 2
    assert bench.run("pve1", "ip -j route").stdout.count('"default"') == 1
    assert bench.run("pve3", "getent ahosts pve1").stdout.startswith("10.66.0.11 ")
    assert bench.run("pve1", "getent ahosts pve1").stdout.startswith("10.55.0.11 ")
    assert bench.run("pve2", "getent ahosts pve1").exit_status == 2  # as installed: its own name alone
    assert '"ifname":"tap101i0"' in bench.run("pve1", "ip -j addr").stdout
    assert bench.run("pve1", "ip -j route get 10.55.0.12").stdout.count('"dev":"vmbr0"') == 1


def test_every_secret_of_the_database_is_recognisable(make_bench: MakeBench) -> None:
    """So that a test can look for them in a record."""
    bench = make_bench("broken")
    for path in ("priv/authkey.key", "priv/shadow.cfg", "priv/token.cfg", "priv/pve-root-ca.key", "pve-www.key"):
        assert "LAB-SECRET-" in bench.run("pve1", f"cat /etc/pve/{path}").stdout
