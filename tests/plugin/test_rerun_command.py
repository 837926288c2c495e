"""What to type next: nothing that would be refused, and never a part where the whole is meant."""

from __future__ import annotations

import shlex

import pytest
from pve_runbook.options.option_types import Mode
from pve_runbook.plugin import rerun_command

NODES = "--hosts=pve1,pve2"


def options(line: str) -> list[str]:
    """Without the program, and without what pytester adds."""
    return [a for a in shlex.split(line)[1:] if not a.startswith("--basetemp=")]


@pytest.mark.parametrize(
    ("arguments", "mode", "expected"),
    [
        (["checks", NODES, "--since=2h", "--watch=60", "--ticket=A"], "runbook", ["runbook/", NODES, "--ticket=A"]),
        (["runbook/", "--hosts", "a", "--plan", "--absent=b"], "checks", ["checks/", "--hosts", "a", "--absent=b"]),
        (["runbook/", NODES, "--approve", "0,2", "--plan"], "checks", ["checks/", NODES]),
        (["runbook/test_phase0_freeze.py", NODES, "-v"], "runbook", ["runbook/", NODES, "-v"]),
        (["checks/", "-k", "clock or name", NODES], "checks", ["checks/", NODES]),
        (["checks/test_ha.py::test_x", "-kclock", "-m=a", NODES, "--lf"], "checks", ["checks/", NODES]),
        ([NODES, "checks"], "checks", ["checks/", NODES]),
    ],
)  # fmt: skip
def test_the_whole_of_it(pytester: pytest.Pytester, arguments: list[str], mode: Mode, expected: list[str]) -> None:
    for folder in ("checks", "runbook"):
        (pytester.path / folder).mkdir()
    config = pytester.parseconfig(*arguments)
    assert options(rerun_command.whole(config, mode)) == expected


def test_from_within_a_folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyprojecttoml("[tool.pytest]\n")
    (pytester.path / "checks").mkdir()
    monkeypatch.chdir(pytester.path / "checks")
    config = pytester.parseconfig(NODES)
    assert options(rerun_command.whole(config, "runbook")) == ["../runbook/", NODES]
    assert options(rerun_command.whole(config, "checks")) == ["./", NODES]


def test_the_same_again_without_some(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("runbook/", NODES, "--plan", "--save-facts", "f", "--ticket=A B")
    assert options(rerun_command.again(config)) == ["runbook/", NODES, "--plan", "--save-facts", "f", "--ticket=A B"]
    assert options(rerun_command.again(config, without=("--plan", "--save-facts="))) == [
        "runbook/",
        NODES,
        "--ticket=A B",
    ]


@pytest.mark.parametrize(
    ("last_line", "asks"),
    [
        ("Give --approve=0, or --approve=all, once you have read what it will do.", True),
        ("Add it: --hosts=pve1,pve2; or, if it is powered off, say so: --absent=pve2.", True),
        ("Log in as root (root@NODE in --hosts), or give --sudo.", True),
        ("Look at it on pve1; undo: systemctl unmask --runtime corosync && systemctl enable --now corosync", False),
        ("Free some space there, then run the same command line again.", False),
        ("apt-get install --plan-b", False),
    ],
)
def test_what_asks_for_another_command_line(last_line: str, asks: bool) -> None:
    assert rerun_command.names_an_option(last_line) is asks
