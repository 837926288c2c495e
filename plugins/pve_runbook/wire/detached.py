"""Commands that go on without the line they were sent over.

A change to a node runs as a transient unit of its own; its output and exit status are kept under /run until they are
read. A dropped line neither ends nor hides it: `systemctl show` of a unit that is gone would say success whatever
happened (recorded on PVE 8.3), so an outcome is only what the command itself left behind.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Sequence

from pve_runbook.facts.output import Output, ParseError
from pve_runbook.wire.channel import Wire, execute

RUN_ROOT = "/run/pve-runbook"

RUNNER = """\
d=$1 unit=$2 tenths=$3; shift 3
mkdir -p -m 0700 "${d%/*}" && mkdir -m 0700 "$d" || exit 1
said=$(systemd-run --no-block --collect --unit="$unit" --description=pve-runbook -p Type=oneshot /bin/bash -c '
d=$1; shift
export LC_ALL=C LANG=C TERM=dumb
"$@" >"$d/out" 2>"$d/err" </dev/null
printf "%s\\n" $? >"$d/status.new"
sync
mv -f "$d/status.new" "$d/status"
' detached "$d" "$@" 2>&1) || { printf 'not started: %s\\n' "$said"; exit 1; }
n=0
while [ ! -e "$d/status" ]; do
  n=$((n + 1))
  [ "$n" -gt "$tenths" ] && exit 2
  sleep 0.1
done
printf 'out %s\\nerr %s\\nstatus %s\\n' "$(base64 -w0 <"$d/out")" "$(base64 -w0 <"$d/err")" "$(cat "$d/status")"
"""

_ANSWER = re.compile(r"out (?P<out>\S*)\nerr (?P<err>\S*)\nstatus (?P<status>[0-9]{1,3})\n")
_GRACE_SECONDS = 10.0


class NotStarted(Exception):
    """The command certainly did not run: systemd would not take it, or its folder could not be made."""


def command(name: str, run: str, argv: Sequence[str], seconds: float) -> str:
    """The one exec request for ``argv``, as the unit ``pve-runbook-NAME-RUN``."""
    unit = f"pve-runbook-{name}-{run}"
    arguments = [f"{RUN_ROOT}/{run}/{name}", unit, str(round(seconds * 10)), *argv]
    return shlex.join(["bash", "-c", RUNNER, "detached", *arguments])


def run_detached(wire: Wire, name: str, run: str, argv: Sequence[str], *, seconds: float) -> Output:
    """Run ``argv`` on the node, detached, and wait for its end: at most ``seconds``.

    ``name`` is unique within ``run``. Raises NotStarted, ConnectionLost, CommandTimeout (it may still run), and
    ParseError when the answer is none.
    """
    result = execute(wire, command(name, run, argv, seconds), timeout=seconds + _GRACE_SECONDS)
    text = result.stdout.decode("utf-8", "replace")
    match = _ANSWER.fullmatch(text)
    if match is not None:
        out, err = (base64.b64decode(match[g]).decode("utf-8", "replace") for g in ("out", "err"))
        return Output(out, err, int(match["status"]))
    if result.exit_status == 1:
        said = f"{text} {result.stderr.decode('utf-8', 'replace')}"
        raise NotStarted(" ".join(said.split()) or "no reason given")
    if result.exit_status == 2:
        raise ParseError(f"it had not ended after {seconds:g} s; it goes on as pve-runbook-{name}-{run}")
    raise ParseError(f"its answer is not one we know: {' '.join(text.split())[:200]!r}")
