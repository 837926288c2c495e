"""Break the code in one place, and see which test notices: `.venv/bin/python tests/mutations --help`.

docs/mutations.md says what this is for, what is known to survive and why.
"""

from __future__ import annotations

import argparse
import queue
import random
import re
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from known_survivors import known
from mutant import Mutant
from parts import PARTS
from trial import KILLED, SURVIVED, UNTESTED, Copy, NotGreen, Verdict

ROOT = Path(__file__).parents[2]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/mutations", description="Break the code; see which test notices.")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given again")
    parser.add_argument("--only", metavar="REGEX", default="", help="only mutants whose id has this in it")
    parser.add_argument("--sample", type=int, metavar="N", help="N of them, chosen by --seed (default: all)")
    parser.add_argument("--seed", help="what chooses the sample; without it another one every time")
    parser.add_argument("--seconds", type=float, default=240.0, help="bound for one mutant's tests (default: 240)")
    parser.add_argument("--until", type=float, metavar="SECONDS", help="begin no other mutant after so long")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried side by side (default: 2)")
    parser.add_argument("--suite", action="store_true", help="the default suite too, for what its own tests do not see")
    parser.add_argument("--list", action="store_true", help="name the mutants, and try none")
    return parser


def _chosen(given: argparse.Namespace) -> list[Mutant]:
    every = [m for part in given.part or PARTS for m in PARTS[part](ROOT) if re.search(given.only, m.id)]
    if given.sample is None:
        return every
    seed = given.seed or secrets.token_hex(4)
    print(f"a sample of {given.sample} of {len(every)} mutants, --seed={seed}", flush=True)
    return random.Random(seed).sample(every, min(given.sample, len(every)))


def _tried(mutants: Sequence[Mutant], given: argparse.Namespace, folder: Path) -> Iterator[Verdict]:
    """Each with how it ended, as soon as it has; what comes too late is left out."""
    copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for number in range(given.jobs):
        copies.put(Copy(ROOT, folder / str(number)))
    began = time.monotonic()

    def attempt(mutant: Mutant) -> Verdict | None:
        if given.until is not None and time.monotonic() - began > given.until:
            return None
        copy = copies.get()
        try:
            return copy.try_out(mutant, given.seconds, whole=given.suite)
        finally:
            copies.put(copy)

    executor = ThreadPoolExecutor(given.jobs)
    try:
        yield from filter(None, executor.map(attempt, mutants))
    finally:  # what is under way comes to its end, what is not begun stays so
        executor.shutdown(cancel_futures=True)


def main() -> int:
    """0: all were killed, or are known to survive. 1: some survived. 2: nothing can be told."""
    given = _arguments().parse_args()
    # A shell has what it starts in the background ignore Ctrl-C, and so would the tests that press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mutants = _chosen(given)
    if given.list:
        print("".join(f"{m.id}\n    {m.in_words(ROOT)}\n" for m in mutants), end="")
        return 0
    expected, counts, unknown = known(), Counter[str](), []
    with tempfile.TemporaryDirectory(prefix="pve-runbook-mutations-") as folder:
        tests = tuple(dict.fromkeys(t for m in mutants for t in m.tests))
        try:
            Copy(ROOT, Path(folder) / "green").green(tests, 20 * 60)
        except NotGreen as error:
            print(error)
            return 2
        for verdict in _tried(mutants, given, Path(folder)):
            mutant = verdict.mutant
            survived = verdict.outcome in (SURVIVED, UNTESTED)
            counts[KILLED if not survived else SURVIVED] += 1
            note = " (known, see docs/mutations.md)" if survived and mutant.id in expected else ""
            print(f"{verdict.outcome:<15} {verdict.seconds:5.1f} s  {mutant.id}{note}", flush=True)
            print(f"    {mutant.in_words(ROOT)}" + (f"; {verdict.by}" if verdict.by else ""), flush=True)
            if survived and not note:
                unknown.append(mutant)
    print(f"{counts[KILLED]} killed, {counts[SURVIVED]} survived, {len(mutants) - counts.total()} not tried")
    for mutant in unknown:
        print(f"{mutant.file}:{mutant.line(ROOT)}: survived: {mutant.in_words(ROOT)} ({mutant.id})")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
