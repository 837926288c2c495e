"""Pools of Ceph by a stand-in for `rbd` on real nodes: it answers, is silent for five minutes, or has no key."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asked import NODE
from pve_system_lab.scenarios import SCENARIOS
from system_lab_stage import standalone
from test_system_lab_no_write import rows

pytestmark = pytest.mark.syslab

RBD = """#!/bin/sh
echo "$*" >> /root/rbd-asked
for word in "$@"; do
  case $word in --keyring=*) key=${word#*=};; esac
done
if [ -e /root/rbd-silent ]; then exec sleep 300; fi
if ! [ -r "$key" ]; then
  echo "auth: unable to find a keyring on $key: (2) No such file or directory" >&2
  echo "rbd: couldn't connect to the cluster!" >&2
  exit 1
fi
echo '["vm-190-disk-5"]'
"""
"""Texts recorded with ceph 18."""
SECTION = "rbd: ceph-ext\\n\\tmonhost 10.55.0.99\\n\\tpool vms\\n\\tcontent images,rootdir\\n\\tusername pve\\n\\n"
KEYRING = "/etc/pve/priv/ceph/ceph-ext.keyring"
DISK = "mp0: ceph-ext:vm-190-disk-5,mp=/mnt/more,size=8M"
BOUND = 20
"""Seconds that the probe may take on a node."""


@pytest.fixture
def pool(stage: Any) -> Any:
    """A quorate cluster with a pool as a storage, on which a container of pve1 that is stopped has a disk."""
    stage.set("quorate")
    for container in stage.lab.each():
        Path(container.root, "usr/bin/rbd").write_text(RBD)
        container.says("chmod", "+x", "/usr/bin/rbd")
        # They write their node's status into /etc/pve.
        container.says("systemctl", "stop", "pvestatd", "pvescheduler", "pve-ha-lrm", "pve-ha-crm")
    for line in (
        f"mkdir -p /etc/pve/priv/ceph && echo '[client.pve]' > {KEYRING}",
        f"printf '{SECTION}' >> /etc/pve/storage.cfg",
        f"echo '{DISK}' >> /etc/pve/nodes/{NODE}/lxc/190.conf",
    ):
        stage.lab.containers[NODE].says("bash", "-c", line)
    return stage


def asked(pool: Any) -> list[str]:
    """How rbd was asked on pve1."""
    file = Path(pool.lab.containers[NODE].root, "root/rbd-asked")
    return file.read_text().splitlines() if file.exists() else []


def answers(pool: Any) -> None:
    """All is well."""


def has_no_key(pool: Any) -> None:
    """The key of the pool was removed."""
    pool.lab.containers[NODE].says("rm", KEYRING)


def is_silent(pool: Any) -> None:
    """No monitor answers."""
    for container in pool.lab.each():
        container.says("touch", "/root/rbd-silent")


@pytest.mark.parametrize(
    ("does", "words"),
    [(answers, ""), (has_no_key, "rbd: couldn't connect to the cluster!"), (is_silent, "rbd ls timed out")],
)
def test_it_is_listed_or_not_known_and_nothing_is_written(pool: Any, does: Callable[[Any], None], words: str) -> None:
    """/etc/pve is writable: what would write there can. A silent one costs one bound, all nodes together."""
    does(pool)
    database = Path(pool.lab.containers[NODE].root, "var/lib/pve-cluster/config.db")
    before, begun = rows(database), time.monotonic()
    status, said = pool.run("checks/")
    took, text = time.monotonic() - begun, " ".join(said.split())
    assert words in text and ("PVE-R152" in text) is bool(words), said[-4000:]
    assert status == (1 if words else 0), said[-4000:]
    assert rows(database) == before
    assert [line for line in asked(pool) if not line.endswith("ls --format json")] == [] and len(asked(pool)) == 1
    if does is is_silent:
        assert BOUND <= took < 4 * BOUND
        assert pool.lab.containers[NODE].run("pgrep", "-f", "sleep 300").returncode != 0


def test_the_nodes_leave_while_it_is_silent(pool: Any) -> None:
    is_silent(pool)
    SCENARIOS["broken"].shape(pool.lab)
    refused, said = pool.run("runbook/", "--approve=all")
    assert refused == 3 and "--accept=volumes" in said, said[-4000:]
    status, said = pool.run("runbook/", "--approve=all", "--accept=volumes")
    assert status == 0, said[-4000:]
    assert len(asked(pool)) == 2, "once for each run"
    assert all(standalone(c) for c in pool.lab.each()) and pool.guests() == pool.before
