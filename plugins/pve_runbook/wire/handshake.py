"""The beginning of an SSH connection, up to where somebody would log in: keys are exchanged while others work."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import paramiko

from pve_runbook.wire.channel import close_within

CLOSE_SECONDS = 5.0
"""What the end of a connection to a node may take."""


class Transport(paramiko.Transport):
    """A transport whose keys are exchanged in its own thread from :meth:`begin` on."""

    _negotiated: threading.Event | None = None

    def begin(self) -> None:
        """Begin the exchange of keys, and do not wait for it."""
        self._negotiated = threading.Event()
        super().start_client(event=self._negotiated)

    def start_client(self, event: threading.Event | None = None, timeout: float | None = None) -> None:
        """Wait for what was begun, as paramiko's own waits; paramiko calls it before it asks about the host key.

        Raises what the exchange ended with: SSHException, EOFError, OSError.
        """
        if self._negotiated is None:
            super().start_client(event, timeout)
            return
        self._negotiated.wait(timeout)
        if not self.active:
            raise self.get_exception() or paramiko.SSHException("Negotiation failed.")


@dataclass(frozen=True, slots=True)
class Reached:
    """A node that is reached and not logged in to: fabric's connection, its transport, and what that speaks over."""

    link: Any
    transport: Transport
    sock: Any

    def close(self) -> None:
        """Close it; a dead link takes a few seconds, not for ever."""
        close_within(self.transport.close, CLOSE_SECONDS)
        close_within(self.sock.close, CLOSE_SECONDS)
