"""pvecm, qm, pct, pvesm, pvesh, ha-manager, pveversion: thin commands over /etc/pve and corosync's own tools.

Texts and exit statuses recorded on PVE 8.3 and 9.1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pve_lab.formats import corosync_conf
from pve_lab.formats.texts import FENCING_STANDBY, NO_CLUSTER, NO_QUORUM, REFUSED, cluster_information

from pve_system_lab.node import api, guests, storage
from pve_system_lab.node.process import Refused, ask_pmxcfs
from pve_system_lab.node.release import RELEASE
from pve_system_lab.node.words import Said

CRON_LINK, CRON_TARGET = "/etc/cron.d/vzdump", "/etc/pve/vzdump.cron"


def _pvecm(argv: Sequence[str]) -> Said:
    verb = argv[0] if argv else "help"
    if verb == "updatecerts":
        return _updatecerts()
    pmxcfs = ask_pmxcfs()
    conf = Path("/etc/pve/corosync.conf")
    if verb not in ("status", "nodes", "expected", "delnode"):
        return Said("", f"ERROR: unknown command 'pvecm {verb}'\n", 255)
    if not conf.is_file():
        return Said("", NO_CLUSTER, 2)
    if verb == "delnode":
        return _delnode(conf, argv[1], quorate=bool(pmxcfs["quorate"]))
    options = {"status": ["-siH"], "nodes": ["-l"], "expected": ["-e", *argv[1:2]]}[verb]
    if verb == "status":
        sys.stdout.write(cluster_information(corosync_conf.parse(conf.read_text())))
        sys.stdout.flush()
    os.execvp("corosync-quorumtool", ["corosync-quorumtool", *options])


def _delnode(conf: Path, name: str, *, quorate: bool) -> Said:
    """pve-cluster, PVE/API2/ClusterConfig.pm, delnode: pmxcfs tells corosync of the new nodelist."""
    if not quorate:
        return Said("", NO_QUORUM, 2)
    text = conf.read_text()
    member = corosync_conf.parse(text).member(name)
    if member is None:
        return Said("", f"Node/IP: {name} is not a known host of the cluster.\n", 255)
    new = conf.with_suffix(".conf.new")
    new.write_text(corosync_conf.without(text, name))
    new.replace(conf)
    killed = subprocess.run(["corosync-cfgtool", "-k", str(member.nodeid)], capture_output=True, text=True, check=False)
    return Said(killed.stdout, killed.stderr)


def _updatecerts() -> Said:
    deadline = time.monotonic() + RELEASE.quorum_wait
    while time.monotonic() < deadline:
        try:
            if guests.quorate():
                if not os.path.lexists(CRON_LINK):  # pve-cluster, PVE/Cluster/Setup.pm, gen_pve_vzdump_files
                    os.symlink(CRON_TARGET, CRON_LINK)
                return Said()
        except OSError:
            pass
        time.sleep(0.5)
    return Said("", "got timeout when trying to ensure cluster certificates and base file hierarchy is set up\n", 255)


def _ha_manager(argv: Sequence[str]) -> Said:
    pmxcfs = ask_pmxcfs()
    if argv[:1] == ["config"]:
        return Said()
    if argv[:1] == ["remove"]:
        return Said("", f"cannot delete service '{argv[1]}', not HA managed!\n", 255)
    if argv[:1] == ["crm-command"] and argv[1:2] in (["disarm-ha"], ["arm-ha"]) and RELEASE.fencing_line:
        return Said() if pmxcfs["quorate"] else Said("", NO_QUORUM, 2)  # there is no service to let go of
    if argv[:1] != ["status"]:
        return Said("", f"ERROR: unknown command 'ha-manager {' '.join(argv)}'\n", 255)
    quorum = "quorum OK\n" if pmxcfs["quorate"] else f"quorum No quorum on node '{pmxcfs['name']}'!\n"
    return Said(quorum + (FENCING_STANDBY if RELEASE.fencing_line else ""))


def _pveversion(argv: Sequence[str]) -> Said:
    return Said(f"pve-manager/{RELEASE.manager}/{RELEASE.repoid} (running kernel: {os.uname().release})\n")


TOOLS: dict[str, Callable[[Sequence[str]], Said]] = {
    "pvecm": _pvecm,
    "qm": lambda argv: guests.tool("qemu", argv),
    "pct": lambda argv: guests.tool("lxc", argv),
    "pvesm": storage.pvesm,
    "pvesh": api.pvesh,
    "ha-manager": _ha_manager,
    "pveversion": _pveversion,
}


def main() -> int:
    """The first argument is the tool's name."""
    try:
        said = TOOLS[sys.argv[1]](sys.argv[2:])
    except Refused:
        said = Said("", REFUSED, 111)
    sys.stdout.write(said.stdout)
    sys.stderr.write(said.stderr)
    return said.exit_status


if __name__ == "__main__":
    sys.exit(main())
