"""What only lists, or does not get as far as a run: no node is reached, and it says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

NOWHERE = "--hosts=pve1.invalid"


@pytest.mark.parametrize("option", ["--collect-only", "--fixtures", "--fixtures-per-test"])
@pytest.mark.parametrize("tree", ["checks/", "runbook/"])
def test_a_list_reaches_no_node(project: pytest.Pytester, tree: str, option: str) -> None:
    result = project.runpytest(tree, NOWHERE, option)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*Not reached*")
    assert not (project.path / "records").exists()


def test_a_module_that_does_not_import_says_why(project: pytest.Pytester, write: Callable[..., None]) -> None:
    write(project, "checks/test_mine.py", "import no_such_module_here\n")
    result = project.runpytest("checks/", NOWHERE)
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*ERROR collecting checks/test_mine.py*", "*No module named 'no_such_module_here'*"])
    result.stdout.no_fnmatch_line("*Not reached*")
