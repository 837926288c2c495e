"""testinfra on our connection: ``host.service(...)`` and ``host.file(...)`` for gates that users add."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import testinfra.host
from testinfra.backend.base import BaseBackend, CommandResult


class Door(Protocol):
    """What the backend needs of the run: the way to one node's connection, and to its facts."""

    def facts(self, node: str) -> object:
        """The node's facts, for ``host.pve``."""

    def run(self, node: str, command: str) -> tuple[int, bytes, bytes]:
        """Run a command of testinfra's own on ``node``, journalled; (exit status, stdout, stderr)."""


NOT_OPEN = "testinfra's host was used outside a run: there is no connection to {node}"


class _Facts:
    """``host.pve``: every attribute is read from the node's facts of this moment."""

    def __init__(self, node: str) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(_door(self._node).facts(self._node), name)


class PveBackend(BaseBackend):
    """One node of the run. The connection belongs to the run, not to this object."""

    NAME = "pve"
    door: ClassVar[Door | None] = None

    def __init__(self, hostspec: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(hostspec)
        self._encoding = "utf-8"

    def set_host(self, host: testinfra.host.Host) -> None:
        """Called by testinfra; hangs the facts on the host as ``host.pve``."""
        super().set_host(host)
        host.pve = _Facts(self.hostname)

    def get_pytest_id(self) -> str:
        """The node's name as given in --hosts."""
        return str(self.hostname)

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run ``command`` with ``args`` quoted into it.

        Raises ConnectionLost and CommandTimeout: an exit status is always one that the node gave.
        """
        text = self.quote(command, *args)
        status, stdout, stderr = _door(self.hostname).run(self.hostname, text)
        return self.result(status, text.encode(), stdout, stderr)

    def decode(self, data: bytes) -> str:
        """UTF-8, what is not replaced."""
        return data.decode("utf-8", "replace")


def _door(node: str) -> Door:
    if PveBackend.door is None:
        raise RuntimeError(NOT_OPEN.format(node=node))
    return PveBackend.door
