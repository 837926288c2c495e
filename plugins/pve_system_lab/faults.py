"""What can befall a node: every fault strikes at once, and is healed where a person could mend it without a reset.

Faults of the whole cluster (partition of all, flapping) are scenarios.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pve_system_lab import network
from pve_system_lab.container import Container
from pve_system_lab.errors import SystemLabError, until

LOSS = 20
"""Percent of packets, each way."""
DELAY = 300
"""Milliseconds, on the way to the node."""
ENDED = 20
"""Seconds until processes that were killed must be gone."""


@dataclass(frozen=True)
class Fault:
    """One line of words, how it strikes and how it is healed; without `heal` only a reset of the lab mends it."""

    line: str
    strike: Callable[[Container], None]
    heal: Callable[[Container], None] | None = None


def _signal(container: Container, name: str, number: signal.Signals) -> None:
    for pid in container.named(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _kill(container: Container, name: str) -> None:
    _signal(container, name, signal.SIGKILL)
    until(lambda: not container.named(name), ENDED, f"{container.node.name}: {name} does not end")


def _on(container: Container, *lines: str) -> None:
    for line in lines:
        done = container.run(*line.split())
        if done.returncode:
            raise SystemLabError(f"{container.node.name}: {line}: {done.stderr.strip()}")


def _no_sshd(container: Container) -> None:
    _on(container, "systemctl mask --runtime --now ssh.service")  # or systemd would start it again
    for name in ("sshd", "sshd-session", "sshd-auth"):  # the latter two from OpenSSH 9.8 and 10 on
        _kill(container, name)


def _sshd(container: Container) -> None:
    _on(container, "systemctl unmask --runtime ssh.service", "systemctl start ssh.service")


def _corosync(container: Container) -> None:
    _on(container, "systemctl reset-failed corosync.service", "systemctl start corosync.service")


FAULTS = {
    "partition": Fault(
        "corosync's packets of the node are dropped, SSH goes on",
        lambda c: network.drop(c, "partition", network.CLUSTER_LINK),
        lambda c: network.let_pass(c, "partition"),
    ),
    "loss": Fault(
        f"{LOSS} % of its packets are lost, each way",
        lambda c: network.drop(c, "loss", f"numgen random mod 100 < {LOSS}"),
        lambda c: network.let_pass(c, "loss"),
    ),
    "delay": Fault(
        f"every packet to it takes {DELAY} ms, where the kernel has netem",
        lambda c: network.delay(c, DELAY),
        network.in_time,
    ),
    "link-down": Fault("its cable is pulled", partial(network.link, up=False), partial(network.link, up=True)),
    "sshd-dead": Fault("sshd and every session are killed, and do not come back", _no_sshd, _sshd),
    "corosync-dead": Fault("corosync is killed", lambda c: _kill(c, "corosync"), _corosync),
    "frozen": Fault("all its processes stand still", lambda c: c.freeze(frozen=True), lambda c: c.freeze(frozen=False)),
    "power-cycle": Fault("its power is cut, and comes back", Container.power_cycle),
    "disk-full": Fault("its root file system is full", lambda c: c.disk.fill(), lambda c: c.disk.empty()),
    "root-readonly": Fault("its root file system meets an error and goes read-only", lambda c: c.disk.fail()),
    "storage-readonly": Fault("its storage `disks` meets an error and goes read-only", lambda c: c.disks.fail()),
    "hung-nas": Fault(
        "no access to its nas returns",
        lambda c: _signal(c, "bindfs", signal.SIGSTOP),
        lambda c: _signal(c, "bindfs", signal.SIGCONT),
    ),
}


def strike(name: str, container: Container) -> None:
    """Let it befall the node. Raises SystemLabError where it cannot be done here."""
    FAULTS[name].strike(container)


def heal(name: str, container: Container) -> None:
    """Let it be as before. Raises SystemLabError for what only a reset mends."""
    mend = FAULTS[name].heal
    if mend is None:
        raise SystemLabError(f"{name} is not healed: python -m pve_system_lab reset")
    mend(container)
