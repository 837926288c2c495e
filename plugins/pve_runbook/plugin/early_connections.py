"""Checks reach their nodes while they are collected: the command line is judged by then, and nobody is logged in to."""

from __future__ import annotations

import pytest

from pve_runbook.plugin.options import RunOptions
from pve_runbook.plugin.values import only_lists
from pve_runbook.wire.connection import Connection, ConnectOptions
from pve_runbook.work import begun

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
    if options.kind != "checks" or options.lab or options.ask_password:
        return ()
    if only_lists(config) or any(getattr(config.option, name, False) for name in ONLY_TELL):
        return ()
    guarded = begun.guarded(connect_options(config, options), activate_storage=options.activate_storage)
    connections = begun.begin(options.targets, guarded)
    for connection in connections:
        config.add_cleanup(connection.close)
    return connections
