"""The system lab: real OpenSSH, systemd, corosync and QEMU, as root on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pve_runbook.syslab.cluster import alone, missing
from syslab_stage import Stage, Stages

REQUIRED = "PVE_RUNBOOK_SYSLAB_REQUIRED"
"""Set where the lab must work: a machine that cannot have one is a failure then, not a skip."""


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Labs of any size, one at a time."""
    why_not = missing()
    if why_not is not None:
        if os.environ.get(REQUIRED):
            pytest.fail(why_not)
        pytest.skip(why_not)
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
