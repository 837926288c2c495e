"""testinfra on our connection: ``host.service(...)`` and ``host.file(...)`` for gates that users add."""

from __future__ import annotations

from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from pve_runbook.cluster.node import Node


class _Facts:
    """``host.pve``: every attribute is read from the node's facts of this moment."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node.facts, name)


class PveBackend(BaseBackend):
    """One node of the run. The connection belongs to the run, not to this object."""

    NAME = "pve"

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self._encoding = "utf-8"
        self._node = node

    def get_pytest_id(self) -> str:
        """The node's name as given in --hosts."""
        return self._node.name

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run ``command`` with ``args`` quoted into it.

        Raises ConnectionLost and CommandTimeout: an exit status is always one that the node gave.
        """
        text = self.quote(command, *args)
        status, stdout, stderr = self._node.gate_command(text)
        return self.result(status, text.encode(), stdout, stderr)

    def decode(self, data: bytes) -> str:
        """UTF-8, what is not replaced."""
        return data.decode("utf-8", "replace")


def host_of(node: Node) -> Host:
    """testinfra's object for ``node``, with its facts as ``host.pve``."""
    backend = PveBackend(node)
    host = Host(backend)
    backend.set_host(host)
    host.pve = _Facts(node)
    return host
