"""OpenSSH's PerSourcePenalties: who logs in in vain a few times is not spoken to for a while (srclimit.c, from 9.8 on).

Every connection that ends without a login after one was tried adds five seconds; from fifteen on all connections of
that address are dropped until they are over. Seen on PVE 9.1, whose OpenSSH is 10.0.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

AUTHFAIL, LEAST, MOST = 5.0, 15.0, 600.0
"""Seconds: `authfail:5`, `min:15`, `max:600`, the defaults of sshd_config(5)."""


@dataclass
class _Penalty:
    until: float
    active: bool = False


class Penalties:
    """Those that one sshd keeps, by address; in real seconds, for a client waits in those."""

    def __init__(self) -> None:
        self._kept: dict[str, _Penalty] = {}

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def add(self, address: str, seconds: float = AUTHFAIL) -> None:
        """A connection from there has earned so many seconds."""
        now = int(time.monotonic())  # as sshd counts
        found = self._kept.get(address)
        if found is None or found.until < now:
            found = self._kept[address] = _Penalty(now)
        found.until = min(found.until + seconds, now + MOST)
        found.active = found.active or found.until - now >= LEAST

    def bar(self, address: str, seconds: float) -> None:
        """Speak to nobody from there for so many seconds, whatever was earned."""
        self._kept[address] = _Penalty(time.monotonic() + seconds, active=True)

    def refuses(self, address: str) -> bool:
        """Whether a connection from there is dropped."""
        found = self._kept.get(address)
        return found is not None and found.active and found.until > time.monotonic()
