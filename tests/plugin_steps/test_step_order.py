"""Every step stands behind all steps before it, lock-step over the nodes, in the order of --hosts."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch

import pytest
from inner_project import said

HOSTS = "--hosts=pve2,pve1"

IN_ORDER = [
    "runbook/test_phase0_first.py::test_one[pve2]",
    "runbook/test_phase0_first.py::test_one[pve1]",
    "runbook/test_phase0_first.py::test_two",
    "runbook/test_phase1_second.py::test_three[pve2]",
    "runbook/test_phase1_second.py::test_three[pve1]",
]


def collected(project: pytest.Pytester, *args: str) -> list[str]:
    result = project.runpytest("--collect-only", "-q", *args)
    return [line for line in result.outlines if "::" in line]


def test_steps_go_over_all_nodes_before_the_next_step(project: pytest.Pytester) -> None:
    assert collected(project, "runbook/", HOSTS) == IN_ORDER


def test_order_does_not_depend_on_the_command_line(project: pytest.Pytester) -> None:
    files = ("runbook/test_phase1_second.py", "runbook/test_phase0_first.py")
    assert collected(project, *files, HOSTS) == IN_ORDER


def test_the_modules_of_one_phase_come_one_after_the_other(
    project: pytest.Pytester, write: Callable[..., None]
) -> None:
    write(
        project,
        "runbook/test_phase0_before.py",
        '''
        """Phase 0: the first."""

        # lines that make its step a later one
        #
        #
        #
        def test_last_line(host):
            """After all lines of the other module."""
        ''',
    )
    names = [line.partition("::")[2] for line in collected(project, "runbook/", HOSTS)]
    assert names == ["test_last_line[pve2]", "test_last_line[pve1]", *(line.partition("::")[2] for line in IN_ORDER)]


def test_collect_only_lists_the_procedure_without_hosts(project: pytest.Pytester) -> None:
    assert collected(project, "runbook/")[0] == "runbook/test_phase0_first.py::test_one[pve1]"


def test_nodes_leave_one_after_the_other(project: pytest.Pytester, write: Callable[..., None]) -> None:
    write(
        project,
        "runbook/test_phase1_second.py",
        """
        def test_ready(leaver):
            pass

        def test_gone(leaver):
            pass
        """,
    )
    names = [line.partition("::")[2] for line in collected(project, "runbook/", HOSTS)]
    assert names[3:] == ["test_ready[1of2]", "test_gone[1of2]", "test_ready[2of2]", "test_gone[2of2]"]


def test_every_step_depends_on_the_one_before_it(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        def pytest_collection_finish(session):
            before = []
            for item in session.items:
                marker = item.get_closest_marker("dependency")
                assert marker.kwargs == {"depends": before, "scope": "session"}, item.nodeid
                before = [item.nodeid]
            print("gated:", len(session.items))
        """
    )
    result = project.runpytest("runbook/", HOSTS, "--collect-only", "-q", "-s")
    result.stdout.fnmatch_lines(["gated: 5"])
    assert result.ret == 0


@pytest.mark.parametrize(
    "selection",
    [
        ("runbook/test_phase1_second.py",),
        ("runbook/", "-k", "three"),
        ("runbook/", "-k", "pve1"),
        ("runbook/test_phase0_first.py::test_two",),
        ("runbook/", "--deselect", "runbook/test_phase0_first.py::test_one[pve1]"),
    ],
)
def test_a_selection_without_its_earlier_steps_is_refused(project: pytest.Pytester, selection: tuple[str, ...]) -> None:
    result = project.runpytest(*selection, HOSTS)
    assert result.ret == 4
    assert fnmatch(said(result), "*leaves out earlier steps*type `* runbook/ --hosts=pve2,pve1*")


def test_an_authors_own_marker_is_refused(project: pytest.Pytester, write: Callable[..., None]) -> None:
    write(
        project,
        "runbook/test_phase1_second.py",
        """
        import pytest

        @pytest.mark.dependency(name="mine")
        def test_three(host):
            pass
        """,
    )
    result = project.runpytest("runbook/", HOSTS)
    assert result.ret == 4
    assert fnmatch(said(result), "*test_three*has no dependency marker of its own*")


def test_a_module_without_a_place_in_the_order_is_refused(project: pytest.Pytester, write: Callable[..., None]) -> None:
    write(project, "runbook/test_extra.py", "def test_x():\n    pass\n")
    result = project.runpytest("runbook/", HOSTS)
    assert result.ret == 4
    assert fnmatch(said(result), "*test_extra.py*is named test_phaseN_name.py*")


def test_a_plugin_that_drops_our_markers_is_found_out(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            for item in items:
                item.own_markers = [m for m in item.own_markers if m.name != "dependency"]
        """
    )
    result = project.runpytest("runbook/", HOSTS)
    assert result.ret == 4
    assert fnmatch(said(result), "*is not behind the steps before it*")
