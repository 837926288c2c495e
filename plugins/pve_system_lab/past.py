"""A node's journal, moved into the past, in the place of waiting: real journalctl reads real lines with earlier times.

Only the times that lines were written at change; what the node is at this moment does not.
"""

from __future__ import annotations

from pve_system_lab.container import Container
from pve_system_lab.errors import SystemLabError
from pve_system_lab.units import LIBRARY

SETTLED = 2 * 3600
"""Seconds since a cluster that is not just starting was started."""
_EARLIER = f"""\
set -eu -o pipefail
cd "/var/log/journal/$(cat /etc/machine-id)"
journalctl --rotate
old=(system@*.journal)
export PYTHONPATH={LIBRARY}
lines=(journalctl --quiet --all --output=export)
for file in "${{old[@]}}"; do lines+=("--file=$PWD/$file"); done
"${{lines[@]}}" | python3 -B -m pve_system_lab.node.earlier "$1" |
  /lib/systemd/systemd-journal-remote --output="$PWD/earlier-$$.journal" -
rm -- "${{old[@]}}"
shopt -s nullglob
for file in earlier-*.journal; do mv -- "$file" "system@${{file#earlier-}}"; done
"""


def move(container: Container, seconds: int) -> None:
    """All that the node's journal has was written so many seconds earlier. Raises SystemLabError."""
    done = container.run("bash", "-c", _EARLIER, "bash", str(seconds))
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise SystemLabError(f"{container.node.name}: its journal keeps its times: {said[0]}")
