"""Checks reach their nodes while they are collected: the command line is judged by then, and nobody is logged in to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pve_runbook.options.option_types import only_lists
from pve_runbook.options.options import RunOptions
from pve_runbook.probes import allow_list
from pve_runbook.ssh.connection import Connection, ConnectOptions, begin_all

ONLY_TELL = ("help", "version", "markers", "cacheshow")
"""pytest's own options with which no test runs."""


def connect_options(config: pytest.Config, options: RunOptions) -> ConnectOptions:
    """How the nodes of the command line are reached, as far as it says."""
    option = config.option
    return ConnectOptions(
        ssh_config=option.ssh_config,
        identity_file=option.ssh_identity_file,
        accept_new_host_keys=options.accept_new_host_keys,
        sudo=bool(option.sudo),
    )


def begin(config: pytest.Config, options: RunOptions) -> tuple[Connection, ...]:
    """Begin the connections of a run that verifies nodes as they are; what is not gone on with is closed at its end."""
    if options.kind != "checks" or options.lab:
        return ()
    if only_lists(config) or any(getattr(config.option, name, False) for name in ONLY_TELL):
        return ()
    known = allow_list.of_a_reading_run(activate_storage=options.activate_storage)
    connections = begin_all(options.targets, replace(connect_options(config, options), known=known))
    for connection in connections:
        config.add_cleanup(connection.close)
    return connections
