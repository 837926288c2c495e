"""Commands that go on without the connection they were sent over, and whose outcome the node itself keeps.

A change to a node runs as a transient unit of its own; a write of our own files runs in the session's shell, which sshd
does not end when its connection drops. Both leave output and exit status under /run until they are read. `systemctl
show` of a unit that is gone would say success whatever happened (recorded on PVE 8.3), so an outcome is only what the
command itself left behind.

Nothing runs twice: whoever makes the command's folder runs it. Where the connection was lost, the same request is sent
again, and either waits for what the first one runs, or runs it, and then the first one never will. What a command reads
from /dev/stdin is received whole, and known by its hash, before it starts: half a file is never put anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from pve_runbook.parsers.output import Output, ParseError
from pve_runbook.ssh.exec import Wire, execute

How = Literal["unit", "here"]

RUN_ROOT = "/run/pve-runbook"

RUNNER = """\
d=$1 how=$2 unit=$3 tenths=$4 sum=$5 in=$6 again=$7; shift 7
export LC_ALL=C LANG=C TERM=dumb
mkdir -p -m 0700 "${d%/*}" || exit 1
if [ -n "$sum" ]; then
  install -m 0600 /dev/stdin "$in" || exit 1
  case "$(sha256sum "$in")" in
    "$sum "*) ;;
    *) rm -f "$in"; printf 'its input did not arrive whole\\n'; exit 1 ;;
  esac
fi
if mkdir -m 0700 "$d"; then
  if [ "$how" = unit ]; then
    said=$(systemd-run --no-block --collect --unit="$unit" --description=pve-runbook -p Type=oneshot /bin/bash -c '
d=$1; shift
export LC_ALL=C LANG=C TERM=dumb
"$@" >"$d/out" 2>"$d/err" </dev/null
printf "%s\\n" $? >"$d/status.new"
sync
mv -f "$d/status.new" "$d/status"
' detached "$d" "$@" 2>&1) || printf 'not started: %s\\n' "$said" >"$d/refused"
  else
    "$@" >"$d/out" 2>"$d/err" </dev/null
    printf '%s\\n' $? >"$d/status.new"
    mv -f "$d/status.new" "$d/status"
  fi
elif [ "$again" = no ]; then
  exit 1
fi
[ -z "$sum" ] || rm -f "$in"
n=-20 pause=0.02
while [ ! -e "$d/status" ]; do
  [ -e "$d/refused" ] && { cat "$d/refused"; exit 1; }
  n=$((n + 1))
  [ "$n" -gt "$tenths" ] && exit 2
  [ "$n" -gt 0 ] && pause=0.1
  sleep "$pause"
done
printf 'out %s\\nerr %s\\nstatus %s\\n' "$(base64 -w0 <"$d/out")" "$(base64 -w0 <"$d/err")" "$(cat "$d/status")"
"""

_ANSWER = re.compile(r"out (?P<out>\S*)\nerr (?P<err>\S*)\nstatus (?P<status>[0-9]{1,3})\n")
_GRACE_SECONDS = 10.0
_STDIN = "/dev/stdin"


class NotStarted(Exception):
    """The command certainly did not run: systemd would not take it, its folder could not be made, its input was cut."""


class Sent(Struct, frozen=True):
    """A command and where its outcome is kept: ``name`` is unique within ``run``; ``seconds`` is what it may take."""

    name: str
    run: str
    argv: Sequence[str]
    seconds: float
    how: How = "unit"
    """As a unit of its own, or in the request's own shell."""
    stdin: bytes | None = None
    """What it reads from /dev/stdin."""

    def request(self, again: int = 0) -> str:
        """The one exec request for it; ``again``: how often its connection was lost before."""
        folder = f"{RUN_ROOT}/{self.run}/{self.name}"
        received = f"{folder}.input-{again}"
        digest = hashlib.sha256(self.stdin).hexdigest() if self.stdin is not None else ""
        argv = [received if word == _STDIN and digest else word for word in self.argv]
        unit = f"pve-runbook-{self.name}-{self.run}"
        state = "yes" if again else "no"
        arguments = [folder, self.how, unit, str(round(self.seconds * 10)), digest, received, state, *argv]
        return shlex.join(["bash", "-c", RUNNER, "detached", *arguments])


def run_detached(wire: Wire, sent: Sent, again: int = 0) -> Output:
    """Run a command on the node, and wait for its end; with ``again``, for the end of what an earlier request began.

    Raises NotStarted, ConnectionLost, CommandTimeout (it may still run), and ParseError when the answer is none.
    """
    bound, label = sent.seconds + _GRACE_SECONDS, shlex.join(sent.argv)
    result = execute(wire, sent.request(again), timeout=bound, stdin=sent.stdin, label=label)
    text = result.stdout.decode("utf-8", "replace")
    match = _ANSWER.fullmatch(text)
    if match is not None:
        out, err = (base64.b64decode(match[g]).decode("utf-8", "replace") for g in ("out", "err"))
        return Output(out, err, int(match["status"]))
    if result.exit_status == 1:
        said = f"{text} {result.stderr.decode('utf-8', 'replace')}"
        raise NotStarted(" ".join(said.split()) or "no reason given")
    if result.exit_status == 2:
        goes_on = f"as pve-runbook-{sent.name}-{sent.run}" if sent.how == "unit" else "on the node"
        raise ParseError(f"it had not ended after {sent.seconds:g} s; it goes on {goes_on}")
    raise ParseError(f"its answer is not one we know: {' '.join(text.split())[:200]!r}")
