"""A run that is refused before any node is reached, and the same one put right as the refusal says: it is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from inner_project import said

pytestmark = pytest.mark.sweep

Write = Callable[[pytest.Pytester, str, str], None]
NOWHERE = "--hosts=127.0.0.1:1"
"""Nobody listens there: a run that is taken ends with that."""
LAB = ("--hosts=lab", "--lab-nodes=1")
DROPS = """
    import pytest

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(items):
        for item in items:
            item.own_markers = [m for m in item.own_markers if m.name != "dependency"]
"""
MARKED = """
    import pytest

    @pytest.mark.dependency(name="mine")
    def test_three(host):
        pass
"""
ACTIONS = """
    import pytest

    @pytest.fixture(scope="session")
    def corosync_stopped(cluster):
        pass
"""
STEP = "def test_x(host):\n    pass\n"
ASKS = "def test_x(host, corosync_stopped):\n    pass\n"


@dataclass(frozen=True)
class PutRight:
    """Arguments of two runs, and the files that each has; those of the first that the second has not are removed."""

    wrong: tuple[str, ...]
    right: tuple[str, ...]
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)


def files(before: Mapping[str, str], after: Mapping[str, str], suite: str = "runbook/") -> PutRight:
    """The same run, with other files."""
    return PutRight((suite, NOWHERE), (suite, NOWHERE), before, after)


BACK = {"runbook/test_phase8_back.py": STEP}
CHECKS = ("checks/", NOWHERE)
PUT_RIGHT: dict[str, PutRight] = {
    "PVE-R201": PutRight(("runbook/", *CHECKS), CHECKS),
    "PVE-R202": PutRight((*CHECKS, "-p", "no:dependency"), CHECKS),
    "PVE-R203": PutRight((*CHECKS, "-p", "no:html"), CHECKS),
    "PVE-R204": PutRight((*CHECKS, "-n2"), CHECKS),
    "PVE-R206": PutRight((*CHECKS, "--assert=plain"), CHECKS),
    "PVE-R241": PutRight(("checks/", *LAB, "--lab-scenario=nowhere"), ("checks/", *LAB, "--lab-scenario=standalone")),
    "PVE-R250": files(
        {"runbook/conftest.py": ACTIONS, "checks/test_more.py": ASKS},
        {"runbook/conftest.py": ACTIONS, "checks/test_more.py": STEP},
        "checks/",
    ),
    "PVE-R251": files({"conftest.py": DROPS}, {}),
    "PVE-R253": files({"runbook/test_extra.py": STEP}, {"runbook/test_phase1_extra.py": STEP}),
    "PVE-R254": PutRight(("runbook/test_phase8_back.py", NOWHERE), ("runbook/", NOWHERE), BACK, BACK),
    "PVE-R255": files({"runbook/test_phase1_second.py": MARKED}, {"runbook/test_phase1_second.py": STEP}),
    "PVE-R262": PutRight(("checks/", *LAB, "-k", "no_such_check"), ("checks/", *LAB)),
}


@pytest.mark.parametrize("id_", PUT_RIGHT)
def test_put_right_it_is_taken(project: pytest.Pytester, write: Write, id_: str) -> None:
    case = PUT_RIGHT[id_]
    for name, text in case.before.items():
        write(project, name, text)
    refused = project.runpytest_subprocess(*case.wrong)
    assert refused.ret == 4 and f"[{id_}]" in said(refused), said(refused)
    for name in case.before.keys() - case.after.keys():
        (project.path / name).unlink()
    for name, text in case.after.items():
        write(project, name, text)
    taken = project.runpytest_subprocess(*case.right)
    if case.right[1] == NOWHERE:
        assert "not every node was reached" in said(taken) and "[PVE-R242]" in said(taken), said(taken)
    else:
        taken.assert_outcomes(passed=1)
