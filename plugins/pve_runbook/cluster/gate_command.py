"""Commands of testinfra's own, for a gate that a user added."""

from __future__ import annotations

import time
from collections.abc import Callable

from pve_runbook.actions.errors import NotAllowed
from pve_runbook.cluster.surroundings import Surroundings
from pve_runbook.journal import events
from pve_runbook.parsers.output import Output
from pve_runbook.probes import testinfra
from pve_runbook.probes.answers import UnknownFact
from pve_runbook.probes.probe import Probe
from pve_runbook.ssh.exec import Result

REFUSED = (
    "{node}: {why}.\n"
    "checks/ can only send those, so that no check can change a node.\n"
    "Read a fact of host.pve instead, or put this gate into runbook/"
)


def detection(node: str, command: str, ask: Callable[[Probe[Output]], Output]) -> tuple[int, bytes, bytes]:
    """Answer what testinfra is known to ask about the system, by a probe. Raises NotAllowed, UnknownFact."""
    probe = testinfra.probe_of(command)
    if probe is None:
        raise NotAllowed(REFUSED.format(node=node, why=f"`{command}` is not one of the registered probes"))
    said = ask(probe)
    return said.exit_status, said.stdout.encode(), said.stderr.encode()


def free(
    run: Surroundings, node: str, command: str, execute: Callable[[str, float], Result]
) -> tuple[int, bytes, bytes]:
    """Run ``command``, whatever it is; (exit status, stdout, stderr). Raises WireError, UnknownFact."""
    started = time.monotonic()
    result = execute(command, 60 * run.timeout_scale)
    run.journal.write(
        events.GateCommand(
            node=node,
            command=command,
            exit_status=result.exit_status,
            stdout=result.stdout.decode("utf-8", "replace"),
            stderr=result.stderr.decode("utf-8", "replace"),
            seconds=round(time.monotonic() - started, 3),
        )
    )
    if result.exit_status is None:
        raise UnknownFact(node, command, "ended by a signal")
    return result.exit_status, result.stdout, result.stderr
