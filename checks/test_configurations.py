"""Configurations: whether the database can be opened, corosync starts, and Proxmox reads every line."""

from __future__ import annotations

import pytest
from pve_runbook.diagnosis import refusals_configuration
from pve_runbook.terminal.screen import WARNING


def test_databases_can_be_read(cluster):
    """No node's configuration database is damaged."""
    everyone = [n.facts for n in cluster.nodes]
    for facts in everyone:
        assert not facts.database_is_damaged, refusals_configuration.damaged_database(facts, everyone)


def test_corosync_starts_with_its_configuration(host, member):
    """Corosync starts with the corosync.conf of the node."""
    assert not host.pve.corosync_conf_faults, refusals_configuration.corosync_would_stop(host.pve)


def test_every_line_is_read(host):
    """Proxmox reads every line of the node's configurations, and passes none over."""
    found = host.pve.skipped_lines
    if found:
        pytest.skip(WARNING + refusals_configuration.passed_over(found))
