"""Connections of a run that only reads, begun before it: nobody is logged in to, and nothing is asked.

It loads no probe, so that the nodes are on their way to an answer while Python still loads what is asked of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pve_runbook.wire.connection import Connection, ConnectOptions
from pve_runbook.wire.targets import Target


def is_registered(argv: Sequence[str]) -> bool:
    """Whether a run that may mount and import may send it."""
    from pve_runbook.work import registered

    return registered.is_registered(argv)


def is_passive(argv: Sequence[str]) -> bool:
    """Whether a run that only reads may send it."""
    from pve_runbook.work import registered

    return registered.is_passive(argv)


def guarded(options: ConnectOptions, *, activate_storage: bool) -> ConnectOptions:
    """The options of a connection over which registered questions go and nothing else."""
    return replace(options, known=is_registered if activate_storage else is_passive)


def begin(targets: Sequence[Target], options: ConnectOptions) -> tuple[Connection, ...]:
    """Begin a connection to each; :class:`pve_runbook.work.cluster.Cluster` goes on with them, or they are closed."""
    connections = tuple(Connection(target, options) for target in targets)
    for connection in connections:
        connection.begin()
    return connections
