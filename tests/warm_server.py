"""pytest, loaded once and forked for each run: `python [-W error] tests/warm_server.py`, asked over its standard input.

A request is a line of JSON (argv, cwd, env) with three descriptors: its output, its errors, and what it waits for
before it begins. The answers are lines of JSON: the pid, and in the end its exit status. It ends when its standard
input closes.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import termios
from pathlib import Path

import installed
import pytest

PROJECT = Path(__file__).parents[1]
CONTENT = tuple(str(PROJECT / name) for name in ("conftest.py", "runbook/", "checks/"))


def load() -> None:
    """Import what a run imports; the project's own modules of tests are for the run to import."""
    installed.remember()
    path = list(sys.path)
    kept, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.chdir(PROJECT)
    pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "runbook/"])
    sys.stdout.flush()
    os.dup2(kept, 1)
    os.close(kept)
    os.close(null)
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(CONTENT):
            del sys.modules[name]
    gc.freeze()


def become(request: dict[str, object], output: int, errors: int, go: int) -> None:
    """Be the run, in a process of its own. Raises SystemExit."""
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.dup2(output if request["at_terminal"] else (null := os.open(os.devnull, os.O_RDONLY)), 0)
    if request["at_terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal
    else:
        os.close(null)
    for descriptor in (output, errors):
        os.close(descriptor)
    os.read(go, 1)
    os.close(go)
    argv, env = request["argv"], request["env"]
    assert isinstance(argv, list) and isinstance(env, dict)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(request["cwd"]))
    sys.path[0] = os.getcwd()
    sys.argv = ["pytest", *argv]
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


def serve(asked: socket.socket) -> None:
    """Answer until the other side is closed; in a run's own process until its end. Raises SystemExit there."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready, _, _ = select.select([asked, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            with contextlib.suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    said = {"ended": ended[0], "status": os.waitstatus_to_exitcode(ended[1])}
                    asked.sendall(json.dumps(said).encode() + b"\n")
        if asked in ready:
            data, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 3)
            if not data:
                return
            while not data.endswith(b"\n"):
                data += asked.recv(1 << 20)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (woken, wake):
                    os.close(descriptor)
                asked.close()
                become(json.loads(data), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            asked.sendall(json.dumps({"pid": pid}).encode() + b"\n")


if __name__ == "__main__":
    with socket.socket(fileno=os.dup(0)) as ours:
        load()
        serve(ours)
