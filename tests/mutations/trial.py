"""A copy of the project in which one mutant after the other is tried; the project itself is never touched."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mutant import Mutant

KILLED, SURVIVED, ENDLESS, UNTESTED = "killed", "SURVIVED", "killed (no end)", "no tests"
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", re.MULTILINE)
GIT = ("git", "-c", "user.name=mutations", "-c", "user.email=mutations@localhost")


@dataclass(frozen=True)
class Verdict:
    """``by``: the test that saw it, as pytest names it; "" where none did."""

    mutant: Mutant
    outcome: str
    by: str
    seconds: float


NOTHING_COLLECTED = 5
"""pytest's exit status where no test was left to run: nothing noticed anything."""


class NotGreen(Exception):
    """The tests fail without any mutant: they can tell nothing."""


class Copy:
    """All files that git knows, with what is changed in them, in a folder and a repository of its own."""

    def __init__(self, root: Path, place: Path) -> None:
        self.place = place
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (root / name).is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, place / name)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as it is"]):
            subprocess.run([*GIT, *command], cwd=place, check=True, capture_output=True)
        self._writes = 0

    def _put(self, path: Path, data: bytes) -> None:
        """Python tells by time and size whether what it compiled is still what stands there."""
        path.write_bytes(data)
        self._writes += 1
        stamp = time.time() + 2 * self._writes
        os.utime(path, (stamp, stamp))

    def green(self, tests: tuple[str, ...], seconds: float) -> None:
        """Run tests without a mutant. Raises NotGreen."""
        status, said = self._run(tests, seconds)
        if status != 0:
            raise NotGreen(f"without a mutant, {' '.join(tests)}:\n{said[-3000:]}")

    def try_out(self, mutant: Mutant, seconds: float, *, whole: bool = False) -> Verdict:
        """Put the mutant in, run its tests, and where they stay green and ``whole`` is asked for the default suite."""
        began = time.monotonic()
        path = self.place / mutant.file
        source = path.read_bytes()
        self._put(path, mutant.applied_to(source))
        try:
            outcome, by = self._judged(mutant.tests, seconds) if mutant.tests else (UNTESTED, "")
            if whole and outcome in (SURVIVED, UNTESTED):
                outcome, by = self._judged(("tests", "-n", "2", "--dist", "worksteal"), 20 * 60)
        finally:
            self._put(path, source)
        return Verdict(mutant, outcome, by, time.monotonic() - began)

    def _judged(self, tests: tuple[str, ...], seconds: float) -> tuple[str, str]:
        status, said = self._run(tests, seconds)
        if status is None:
            return ENDLESS, f"not within {seconds:g} s"
        if status in (0, NOTHING_COLLECTED):
            return SURVIVED, ""
        found = _FAILED.search(said)
        return KILLED, found[
            1
        ] if found else f"exit status {status}: {said.strip().splitlines()[-1][:120] if said.strip() else ''}"

    def _run(self, tests: tuple[str, ...], seconds: float) -> tuple[int | None, str]:
        """Exit status (None: it did not end in time) and what was said."""
        dear = any(test.startswith("tests/gates/") for test in tests)  # states that take seconds are sweeps
        every = ["-m", "sweep or not sweep"] if dear else []
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", *every, *tests]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        environment["PYTHONPATH"] = str(self.place / "plugins")
        process = subprocess.Popen(
            command,
            cwd=self.place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # pytest, and the labs that it started
            process.communicate()
            return None, ""
        return process.returncode, said
