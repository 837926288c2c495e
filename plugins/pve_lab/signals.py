"""Ending a process of this machine, and knowing that it has ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

LONGEST_END = 10.0
"""Seconds that a process may take to end after SIGKILL."""


def terminate(pid: int) -> None:
    """Send SIGTERM and return at once; a process that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def kill_and_wait(pid: int) -> None:
    """Send SIGKILL and return when the process runs no more; one that is gone already is no error.

    Raises TimeoutError. Who started it has still to wait for it.
    """
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "linux":
            descriptor = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                ended = bool(poll.poll(LONGEST_END * 1000))
            finally:
                os.close(descriptor)
        else:
            queue = select.kqueue()
            try:
                event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
                queue.control([event], 0)
                os.kill(pid, signal.SIGKILL)
                ended = bool(queue.control(None, 1, LONGEST_END))
            finally:
                queue.close()
        if not ended:
            raise TimeoutError(f"process {pid} lives {LONGEST_END:g} s after SIGKILL")
