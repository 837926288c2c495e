"""The system lab: real OpenSSH, systemd, corosync and QEMU, as root on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pve_system_lab.cluster import alone, missing
from system_lab_stage import Stage, Stages


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where this machine cannot have a system lab its tests are skipped, all in one line; with CI set they fail."""
    why_not = missing() if item.get_closest_marker("syslab") else None
    if why_not is not None:
        if os.environ.get("CI"):
            pytest.fail(why_not, pytrace=False)
        pytest.skip(why_not)


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Labs of any size, one at a time."""
    with alone():
        found = Stages(tmp_path_factory.mktemp("records"))
        try:
            yield found
        finally:
            found.end()


@pytest.fixture
def stage(stages: Stages) -> Stage:
    """A lab of three nodes."""
    return stages.of(3)
