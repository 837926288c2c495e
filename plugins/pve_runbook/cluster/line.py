"""The connection to one node, which comes back when it is lost.

A connection that is gone is opened again for a minute: by the key of the run's own first, and with no other while
/etc/pve, where root's keys are, is away. It counts as back when the node is the one it was, since the same boot. What
was under way is then asked again; whether a change was made is said by what the node kept of it (`ssh/detached.py`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pve_runbook.cluster.surroundings import Surroundings
from pve_runbook.journal import events
from pve_runbook.ssh.connection import Connection, ConnectOptions
from pve_runbook.ssh.errors import ConnectFailed, Failure
from pve_runbook.ssh.exec import ConnectionLost, WireError

T = TypeVar("T")

RETURN_SECONDS = 60.0
"""For so long a lost connection is tried again, and a server that drops connections is waited for."""
LOGIN_SECONDS = 20.0
"""Between two logins that are refused. OpenSSH 10 notes 5 s for each, and bars the address from 15 s on
(PerSourcePenalties, sshd_config(5)); seen on PVE 9.1: four in 0.3 s, and it was barred for 20 s."""
PAUSE_SECONDS = 5.0
"""At most between two connections where nobody is logged in."""
LOSSES = 3
"""How often one question, or one command, may lose its connection."""

FINAL = (Failure.CONFIG, Failure.UNKNOWN_HOST, Failure.UNKNOWN_KEY, Failure.CHANGED_KEY, Failure.PASSPHRASE)
LOGINS = (Failure.AUTHENTICATION, Failure.SUDO)

LOST = "the connection was lost; it is tried again for {bound:.0f} s"
BACK = "the connection was lost and is back after {seconds:.0f} s{how}"
DROPS = (
    "it is up, and its SSH server drops connections: after failed logins OpenSSH 10 bars an address for 15 s and more; "
    "waited for, {bound:.0f} s at most"
)
SERVES = "its SSH server dropped connections for {seconds:.0f} s; waited out"
STOPPED = "the run is being stopped"


class Line:
    """Carries what is sent to one node; used by several threads."""

    def __init__(self, run: Surroundings, connection: Connection, boot_of: Callable[[Connection], str]) -> None:
        """``boot_of``: asks, over a connection, for the node's boot id, which is "" where there is no answer."""
        self.connection = connection
        self.options = connection.options
        """How the node is logged in to."""
        self.key: Path | None = None
        """The private key of the second way in, once a login with it was seen to work."""
        self.is_unmounted = False
        """Whether /etc/pve may be away from the node now, and root's keys with it."""
        self.boot = ""
        """The node's boot id, once it is known."""
        self._run = run
        self._boot_of = boot_of
        self._gone = ""
        """Why it was given up."""
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The node's, as given in --hosts."""
        return self.connection.target.name

    def open(self) -> None:
        """Open it; a server that drops connections is waited for. Raises ConnectFailed."""
        self.open_patiently(self.connection)

    def open_patiently(self, connection: Connection) -> None:
        """Open any connection to the node in the same way. Raises ConnectFailed."""
        try:
            connection.open()
        except ConnectFailed as error:
            if error.kind is not Failure.DROPPED:
                raise
            self._outwait(connection, error)

    def _outwait(self, connection: Connection, error: ConnectFailed) -> None:
        bound = self._seconds(RETURN_SECONDS)
        started = time.monotonic()
        with self._waiting("its SSH server to take connections again", DROPS, bound):
            while error.kind is Failure.DROPPED and self._pause(PAUSE_SECONDS, started + bound):
                try:
                    connection.open()
                except ConnectFailed as again:
                    error = again
                else:
                    return self._note(SERVES.format(seconds=time.monotonic() - started))
        if error.kind is not Failure.DROPPED:
            raise error
        waited = f"{error.reason}, for {time.monotonic() - started:.0f} s"
        raise ConnectFailed(error.target, error.kind, waited, error.advice) from error

    def reopen(self, options: ConnectOptions, later: ConnectOptions | None = None) -> ConnectFailed | None:
        """Log in in this way instead, and from now on, unless ``later`` is another one; None when it works."""
        before, self.connection = self.connection, Connection(self.connection.target, options)
        try:
            self.open()
        except ConnectFailed as error:
            self.connection = before
            return error
        self.options = later or options
        return None

    def carry(self, send: Callable[[int], T], *, repeats: bool = True) -> T:
        """What ``send`` returns. It is told how often the connection was lost under it, and is called again when it
        is back.

        ``repeats``: whether it may be, though it may have reached the node. Raises what ``send`` raises, and
        ConnectionLost where it stays lost.
        """
        for losses in range(LOSSES):
            connection = self.connection
            try:
                return send(losses)
            except WireError as error:
                if not isinstance(error, ConnectionLost) and connection.is_open:
                    raise
                self._bring_back(connection, error)
                if error.sent and not repeats:
                    raise
        return send(LOSSES)

    def _bring_back(self, lost: Connection, error: WireError) -> None:
        """Raises ConnectionLost."""
        with self._lock:
            if self.connection is not lost:
                return  # another thread has brought it back
            if not self._gone:
                lost.close()
                self._gone = self._try_again()
            if self._gone:
                raise ConnectionLost(
                    error.node,
                    error.command,
                    f"{error.why}, and did not come back: {self._gone}",
                    seconds=error.seconds,
                    sent=error.sent,
                    label=error.label,
                ) from error

    def _try_again(self) -> str:
        """Why the connection is not back within its time; "" when it is."""
        started = time.monotonic()
        until = started + self._seconds(RETURN_SECONDS)
        pause, why = self._first_pause, "no login was tried"
        with self._waiting("its connection to come back", LOST, until - started):
            while self._pause(pause, until):
                connection = Connection(self.connection.target, self._login())
                try:
                    connection.open()
                    boot = self._boot_of(connection)
                except ConnectFailed as error:
                    if error.kind in FINAL:
                        return error.reason
                    why = error.reason
                    pause = LOGIN_SECONDS if error.kind in LOGINS else min(PAUSE_SECONDS, 2 * pause + 0.5)
                    continue
                if boot and boot == (self.boot or boot):
                    self.connection = connection
                    how = ", by the second key" if connection.options.keys else ""
                    self._note(BACK.format(seconds=time.monotonic() - started, how=how))
                    return ""
                connection.close()
                if boot:
                    return f"it was rebooted meanwhile (boot id {self.boot}, now {boot})"
                why, pause = "it does not say since when it runs", PAUSE_SECONDS
        return STOPPED if self._run.brakes.pending else why

    @property
    def _first_pause(self) -> float:
        """Seconds before the first login: while root's keys are away, the time that they take to come back."""
        options = self.options
        other_way = self.key is not None or options.keys or options.password is not None or options.sudo
        return 0.0 if other_way or not self.is_unmounted else LOGIN_SECONDS

    def _login(self) -> ConnectOptions:
        options = self.options
        given = (*([str(self.key)] if self.key is not None else ()), *options.keys)
        keys = tuple(key for key in given if os.path.isfile(key))
        other_way = (bool(keys) or options.password is not None) and not options.sudo
        return replace(options, keys=keys, own_keys=options.own_keys and not (self.is_unmounted and other_way))

    def _seconds(self, bound: float) -> float:
        return bound * self._run.timeout_scale

    def _pause(self, seconds: float, until: float) -> bool:
        """Wait; False where the time is over by then, or the run is to stop."""
        end = time.monotonic() + self._seconds(seconds)
        while end < until and not self._run.brakes.pending:
            left = end - time.monotonic()
            if left <= 0:
                return True
            time.sleep(min(left, 0.2))
        return False

    @contextmanager
    def _waiting(self, what: str, said: str, bound: float) -> Iterator[None]:
        waits = self._run.waits
        waits.say(self.name, said.format(bound=bound))
        with waits.on(self.name, what, bound, foremost=True):
            yield

    def _note(self, text: str) -> None:
        self._run.waits.say(self.name, text)
        self._run.journal.write(events.Note(topic="access", text=text, node=self.name))
