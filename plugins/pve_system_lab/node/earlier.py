"""A journal in the export format with all its times earlier: standard input to standard output, by the argument's
seconds.

The times are text, microseconds since the epoch (systemd, Journal Export Formats): that of the entry, and that of the
writer, which is what journalctl shows where it is there.
"""

from __future__ import annotations

import re
import sys

TIMES = re.compile(rb"^(__REALTIME_TIMESTAMP|_SOURCE_REALTIME_TIMESTAMP)=([0-9]+)$", re.MULTILINE)


def earlier(export: bytes, seconds: int) -> bytes:
    """The same entries, written so many seconds before."""
    return TIMES.sub(lambda m: m[1] + b"=%d" % (int(m[2]) - seconds * 1_000_000), export)


if __name__ == "__main__":
    sys.stdout.buffer.write(earlier(sys.stdin.buffer.read(), int(sys.argv[1])))
