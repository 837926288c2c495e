"""Fixtures for the tests of the procedure: a run on the lab's model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_run import MakeRun, runs


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[MakeRun]:
    """Build runs: ``make_run("broken")`` with a cluster of its own, ``make_run(bench)`` on one that is there."""
    yield from runs(tmp_path)
