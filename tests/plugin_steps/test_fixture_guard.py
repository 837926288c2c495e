"""Outside runbook/ a test that asks for an action fixture is refused at collection, in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from inner_project import said

HOSTS = "--hosts=pve1,pve2"
ACTIONS = """
    import pytest

    @pytest.fixture(scope="session")
    def corosync_stopped(cluster):
        raise AssertionError("it ran")

    @pytest.fixture
    def calm():
        return True
"""


@pytest.fixture
def acting(project: pytest.Pytester, write: Callable[..., None]) -> pytest.Pytester:
    """A project whose runbook has an action."""
    write(project, "runbook/conftest.py", ACTIONS)
    return project


def refused(result: pytest.RunResult, item: str) -> None:
    assert result.ret == 4
    assert (
        f"ERROR: {item} asks for 'corosync_stopped' of runbook/conftest.py: the fixtures there change nodes, "
        "and only runbook/ may; move the test there, or read what it needs from host.pve [PVE-R250]"
    ) in said(result)
    assert "it ran" not in result.stdout.str()


def test_a_check_that_asks_for_an_action(acting: pytest.Pytester, write: Callable[..., None]) -> None:
    write(acting, "checks/test_some.py", "def test_x(host, corosync_stopped):\n    pass\n")
    refused(acting.runpytest("checks/", HOSTS), "checks/test_some.py::test_x[pve1]")


def test_a_check_that_asks_for_it_by_a_fixture_or_a_mark(acting: pytest.Pytester, write: Callable[..., None]) -> None:
    write(
        acting,
        "checks/test_some.py",
        """
        import pytest

        @pytest.fixture
        def ready(corosync_stopped):
            pass

        def test_x(ready):
            pass
        """,
    )
    refused(acting.runpytest("checks/", HOSTS), "checks/test_some.py::test_x")
    write(
        acting,
        "checks/test_some.py",
        """
        import pytest

        @pytest.mark.usefixtures("corosync_stopped")
        def test_x():
            pass
        """,
    )
    refused(acting.runpytest("checks/", HOSTS), "checks/test_some.py::test_x")


def test_a_check_that_imports_it(acting: pytest.Pytester, write: Callable[..., None]) -> None:
    write(
        acting,
        "checks/test_some.py",
        """
        import runpy
        from pathlib import Path
        found = runpy.run_path(str(Path(__file__).parents[1] / "runbook" / "conftest.py"))
        corosync_stopped = found["corosync_stopped"]

        def test_x(corosync_stopped):
            pass
        """,
    )
    refused(acting.runpytest("checks/", HOSTS), "checks/test_some.py::test_x")


def test_any_other_test_that_asks_for_an_action(acting: pytest.Pytester, write: Callable[..., None]) -> None:
    write(acting, "tests/test_other.py", "def test_y(corosync_stopped):\n    pass\n")
    refused(acting.runpytest("tests/"), "tests/test_other.py::test_y")


def test_a_name_of_ones_own_is_ones_own(acting: pytest.Pytester, write: Callable[..., None]) -> None:
    write(
        acting,
        "tests/test_other.py",
        """
        import pytest

        @pytest.fixture
        def calm():
            return 1

        @pytest.mark.parametrize("corosync_stopped", [1])
        def test_y(calm, corosync_stopped):
            pass
        """,
    )
    acting.runpytest("tests/").assert_outcomes(passed=1)
