"""Fixtures for the tests of the lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from lab_bench import Bench, MakeBench
from lab_process import Lab, running_lab
from lab_verdict import Started, started
from pve_lab.inventory import Inventory


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """Build benches; each ends with the test, and none may have been asked what it does not simulate."""
    benches: list[Bench] = []

    def make(scenario: str = "quorate", number: int = 3, inventory: Inventory | None = None) -> Bench:
        directory = tmp_path / f"lab{len(benches)}"
        directory.mkdir()
        bench = Bench(directory, scenario, number, inventory)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.close()
    assert "".join(bench.unsimulated() for bench in benches) == ""


@pytest.fixture(scope="session")
def as_started() -> Callable[[str], Started]:
    """What a starting state says and comes to, read once for all tests that only look: nobody may change it."""

    @cache
    def found(scenario: str) -> Started:
        with TemporaryDirectory() as directory:
            bench = Bench(Path(directory), scenario)
            try:
                return started(bench)
            finally:
                bench.close()
                assert bench.unsimulated() == ""

    return found


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    """One lab for many tests."""
    with running_lab() as running:
        yield running


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    """The shared lab, broken anew; for tests that leave none of its nodes busy."""
    shared_lab.control.reset("broken")
    return shared_lab
