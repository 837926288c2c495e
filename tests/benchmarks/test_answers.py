"""A benchmark does not wait for ever for what a process of its own says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from answers import answer


def process(code: str) -> subprocess.Popen[bytes]:
    """One that runs some Python, and reads what it is told."""
    argv = [sys.executable, "-u", "-c", code]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_each_line_is_an_answer() -> None:
    with process("print('[1]'); input(); print('{\"a\": 2}')") as talker:
        assert answer(talker) == [1]
        assert talker.stdin is not None
        talker.stdin.write(b"\n")
        talker.stdin.flush()
        assert answer(talker) == {"a": 2}


@pytest.mark.parametrize(("code", "seconds"), [("input()", 0.2), ("", 240.0)], ids=["silent", "ended"])
def test_one_that_says_nothing_is_ended(code: str, seconds: float) -> None:
    with process(code) as silent:
        with pytest.raises(RuntimeError, match="said nothing within"):
            answer(silent, seconds)
        silent.wait(30)
