"""Phase 5: restart Proxmox's services, so that they forget the cluster.

Not as in the article: pve-cluster was started by the window and is only looked at; pveproxy is restarted only now,
because without quorum its start waits 30 to 80 s.

With --leave: the services of the nodes that left; those of the others run on.

Sends, where it is still to be done:
    mv -T /etc/cron.d/vzdump /var/lib/pve-runbook/RUN/cron.d-vzdump
    systemctl restart pvedaemon.service pveproxy.service pvestatd.service spiceproxy.service
    systemctl reset-failed corosync.service
"""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import refusals
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import refusal

pytestmark = pytest.mark.leaving


def test_services_run(host, services_restarted):
    """pve-cluster, pvedaemon, pveproxy and pvestatd are active."""
    assert not host.pve.dead_services, refusals.dead_services(host.pve)


def test_pmxcfs_is_the_units_own(host):
    """/etc/pve is served by the unit pve-cluster itself, not by a pmxcfs that was started by hand."""
    main = host.pve.units["pve-cluster.service"].main_pid
    assert [p.pid for p in host.pve.pmxcfs_processes] == [main], refusals.foreign_pmxcfs(host.pve)


def test_web_ui_answers(host, services_restarted):
    """The web UI answers."""
    assert host.pve.web_ui_answers, refusal(
        RefusalId.WEB_UI_IS_SILENT,
        host.pve.node,
        seen="nothing answers at https://localhost:8006/",
        why="the operator would have no web UI on a node that is now its own master",
        do="Look at `systemctl status pveproxy` there",
    )


def test_web_ui_shows_no_cluster(host):
    """The web UI shows this node alone, and no cluster."""
    status = host.pve.api_status
    assert status.cluster is None, refusal(
        RefusalId.WEB_UI_SHOWS_A_CLUSTER,
        host.pve.node,
        seen=f"/cluster/status still shows the cluster {status.cluster.name if status.cluster else ''}",
        why="pmxcfs still believes in it",
        do="Look at `cat /etc/pve/.members` there",
    )


def test_every_guest_runs_on(survival):
    """Every guest runs on: same process, same config; no node was rebooted."""
    lost = survival.losses(5)
    assert not lost, lost
