"""No secret of a cluster stands in the file of --save-facts, and what the twin needs does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pve_lab.formats import nftables
from pve_runbook.facts_file.model import dump
from pve_runbook.parsers.allowed_keys import is_path, scrub

SECRET = "C4N4RY"


def _planted(text: str) -> dict[str, str]:
    """File → its text with a secret in every place where one may stand; `text` is a guest's config."""
    return {
        "nodes/pve1/qemu-server/101.conf": f"#the password is {SECRET}\n# {SECRET}\n{text}cipassword: {SECRET}\n"
        f"ciuser: {SECRET}\nsshkeys: ssh-rsa%20{SECRET}\nargs: -device {SECRET}\ndescription: {SECRET}\n"
        f"tags: {SECRET}\nsmbios1: serial={SECRET}\nhookscript: local:snippets/{SECRET}\ncicustom: user={SECRET}\n"
        f"usb0: host={SECRET}\nscsi9: local:vm-1-disk-0,size=1G,serial={SECRET}\nlock: a@{SECRET}\n"
        f"scsi8: //root:{SECRET}@host/x,size=1G\nnet9: virtio=AA,bridge=vmbr0,script={SECRET}\n\n[snap]\n"
        f"#comment {SECRET}\ndescription: {SECRET}\nmemory: 512\nvmstate: {SECRET}@x\n",
        "nodes/pve1/lxc/110.conf": f"hostname: dns\nlxc.environment: PASSWORD={SECRET}\n"
        f"rootfs: local-lvm:vm-110-disk-0,size=4G,mountoptions={SECRET}\nmp0: /x:{SECRET},mp=/y\nfeatures: {SECRET}\n",
        "storage.cfg": "dir: local\n\tpath /var/lib/vz\n\tcontent iso\n\n"
        f"cifs: smb\n\tserver 10.0.0.9\n\tshare x\n\tusername {SECRET}\n\tpassword {SECRET}\n\tdomain {SECRET}\n"
        f"\toptions password={SECRET}\n\n#{SECRET}\npbs: backup\n\tserver b\n\tdatastore d\n\tfingerprint {SECRET}\n"
        f"\tencryption-key {SECRET}\n\tmaster-pubkey {SECRET}\n\n\tpath a@{SECRET}\n",
        "datacenter.cfg": f"keyboard: en-us\nhttp_proxy: http://u:{SECRET}@p:1\ndescription: {SECRET}\n",
        "user.cfg": f"user:root@pam:1:0:{SECRET}::\n",
        "domains.cfg": f"ldap: x\n\tbind_dn {SECRET}\n",
        "notifications.cfg": f"smtp: x\n\tusername {SECRET}\n",
        "jobs.cfg": f"vzdump: a\n\tschedule 2:00\n\tmailto {SECRET}\n\tnotes-template {SECRET}\n\tcomment {SECRET}\n",
        "replication.cfg": f"local: 101-0\n\ttarget pve2\n\tcomment {SECRET}\n",
        "vzdump.cron": f"0 2 * * * root vzdump --all 1 --mailto {SECRET} --script={SECRET} --storage x@{SECRET}\n"
        f"MAILTO={SECRET}\n",
        "ha/resources.cfg": f"vm: 101\n\tstate started\n\tcomment {SECRET}\n",
        "ha/rules.cfg": f"node-affinity: a\n\tresources vm:101\n\tnodes pve1\n\tcomment {SECRET}\n",
        "ha/manager_status": json.dumps(
            {
                "master_node": "pve1",
                "x": SECRET,
                "timestamp": 1,
                "node_status": {"pve1": "online", "pve2": f"<{SECRET}>"},
                "service_status": {
                    "vm:101": {"node": "pve1", "state": "started", "uid": SECRET},
                    f"@{SECRET}": {"node": "x", "state": "started"},
                },
            }
        ),
        "nodes/pve1/lrm_status": json.dumps(
            {"mode": "active", "state": "active", "timestamp": 1, "results": {SECRET: 1}, "why": SECRET}
        ),
        "nodes/pve1/config": f"acme: account={SECRET}\n",
        "firewall/cluster.fw": f"[RULES]\nIN ACCEPT # {SECRET}\n",
        "sdn/zones.cfg": f"vxlan: x\n\tpeers {SECRET}\n",
        "ceph.conf": f"[client]\nkey = {SECRET}\n",
        "priv/token.cfg": f"root@pam!ci {SECRET}\n",
        "priv/storage/smb.pw": f"password={SECRET}\n",
        "nodes/pve1/priv/x.conf": SECRET,
    }


def test_no_secret_is_in_the_file(make: Callable[..., Any]) -> None:
    cluster = make("quorate", 2)
    node = cluster.cluster.nodes["pve1"]
    text = node.pmxcfs.database.text("nodes/pve1/qemu-server/101.conf")
    node.pmxcfs.mkdir("priv/storage")
    for path, data in _planted(text).items():
        node.pmxcfs.write(path, data.encode())
    files = node.files
    conf = files.text("/etc/corosync/corosync.conf")
    keyed = conf.replace("  secauth: on\n", f"  secauth: on\n  key: {SECRET}\n  keyfile: /root/{SECRET}\n# {SECRET}\n")
    files.put("/etc/corosync/corosync.conf", keyed)
    files.put("/etc/corosync/authkey", SECRET.encode() * 20)
    files.put("/etc/hosts", f"{files.text('/etc/hosts')}# {SECRET}\n")
    files.put("/root/.ssh/authorized_keys2", f"ssh-ed25519 AAAA{SECRET} {SECRET}\n")
    files.put("/etc/network/interfaces.d/wlan", f"auto wlan0\niface wlan0 inet static\n\tgateway 10.0.0.1 # {SECRET}\n")
    files.put_link(f"run=20260101T000000Z-abcd;by=me@{SECRET};since=2026-01-01T00:00:00Z;record={SECRET}", LOCK)
    node.filter_rules = (
        ":INPUT ACCEPT [0:0]",
        f'-A INPUT -p tcp -m comment --comment "{SECRET} x" -m tcp --dport 22 -j ACCEPT',
        f'-A INPUT -m string --string "<{SECRET}>" --algo bm -j DROP',
    )
    noted = nftables.rule("input", "drop", {"log": {"prefix": f"{SECRET}: "}}, nftables.match(nftables.UDP_PORT, 5406))
    named = nftables.rule("input", "accept", nftables.match(nftables.IIFNAME, f"<{SECRET}>"))
    banned = {"set": {"name": "s", "elem": [{"elem": {"val": "10.0.0.1", "comment": SECRET}}]}}
    node.nft_tables = (nftables.table("inet", "mine", nftables.base("input", "input"), banned, noted, named),)
    told = dump(cluster.portrait())
    assert "5406" in told and "10.0.0.1" in told and "iifname" not in told
    assert SECRET not in told and SECRET.lower() not in told.lower()
    assert "LAB-SECRET" not in told and "PRIVATE KEY" not in told and "BEGIN" not in told
    assert "ssh-" not in told


LOCK = "/var/lib/pve-runbook/lock"


def test_what_is_needed_stays() -> None:
    guest = (
        "boot: order=scsi0\nname: web\nonboot: 1\nlock: backup\nscsi0: tank:vm-101-disk-0,size=40G\n"
        "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=50\nide2: none,media=cdrom\n"
        "efidisk0: local-lvm:vm-101-disk-1,efitype=4m,size=4M\n\n[before]\nmemory: 512\nsnaptime: 1\n"
    )
    assert scrub("nodes/pve1/qemu-server/101.conf", guest) == guest
    storage = "zfspool: tank\n\tpool tank/guests\n\tcontent images,rootdir\n\tnodes pve1,pve2\n\n"
    assert scrub("storage.cfg", storage) == storage
    cron = "0 2 * * * root vzdump 101 102 --storage nas --quiet 1\n"
    assert scrub("vzdump.cron", f'PATH="/usr/bin"\n{cron}') == cron


@pytest.mark.parametrize("path", ["priv/x.cfg", "nodes/pve1/priv/x.conf", "a b.cfg", "<b>.conf", "x\n.cfg"])
def test_paths_that_are_not_told(path: str) -> None:
    assert not is_path(path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": '])
def test_a_status_that_is_none_is_left_out(text: str) -> None:
    assert scrub("ha/manager_status", text) == ""
