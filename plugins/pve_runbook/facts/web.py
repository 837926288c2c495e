"""Whether a web server answers."""

from __future__ import annotations

from pve_runbook.facts.answers import unknown
from pve_runbook.facts.output import Output

_ANSWERED = (0, 8)
_NETWORK_FAILURE = 4


def parse_wget(output: Output) -> bool:
    """True when the server answered, with an error of its own too; False when nothing listens.

    Exit statuses: wget(1). Raises ParseError for every other one.
    """
    if output.exit_status in _ANSWERED:
        return True
    if output.exit_status == _NETWORK_FAILURE:
        return False
    raise unknown(output, "wget")
