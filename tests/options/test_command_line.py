"""Bad input gets one clear line and exit status 4, and nothing is touched."""

from __future__ import annotations

import subprocess
import sys

import pytest
from inner_project import said
from pve_runbook.options.options import OPTIONS

HOSTS = "--hosts=pve1,pve2"


def refused(result: pytest.RunResult, words: str) -> None:
    """One line that says it, exit status 4, no traceback, no record."""
    assert result.ret == 4
    text = said(result)
    assert words in text
    assert "Traceback" not in text


def test_every_option_of_ours_is_in_one_group_of_the_help_and_says_its_default() -> None:
    ran = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, timeout=60)
    group = " ".join(ran.stdout.partition("\nProxmox VE runbook (")[2].partition("\n\n")[0].split())
    names = {option.name for option in OPTIONS} | {"--lab-nodes", "--verify-record", "--record-from"}
    assert {name for name in names if f" {name}" not in group} == set() and "names no default is off" in group
    for default in ("default: records/", "default: 24h", "default: broken", "default: 3", "default: a free one"):
        assert default in group


@pytest.mark.parametrize("mode", ["runbook", "checks"])
def test_no_hosts_never_means_this_machine(project: pytest.Pytester, mode: str) -> None:
    refused(project.runpytest(f"{mode}/"), f"pytest {mode}/ --hosts=pve1,pve2,pve3")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((HOSTS, "--connection=ssh"), "--connection=ssh would go around"),
        ((HOSTS, "--ansible-inventory=x"), "--ansible-inventory would go around"),
        ((HOSTS, "--force-ansible"), "--force-ansible would go around"),
        ((HOSTS, "--nagios"), "--nagios would go around"),
        ((HOSTS, "--sudo-user=me"), "--sudo-user would go around"),
        ((HOSTS, "--ignore-unknown-dependency"), "lets a phase run without its gates"),
        ((HOSTS, "--setup-only"), "--setup-only runs fixtures or tests by halves"),
        ((HOSTS, "--setup-plan"), "--setup-plan runs fixtures or tests by halves"),
        ((HOSTS, "--assert=plain"), "assertions are the gates"),
        ((HOSTS, "-n2"), "xdist runs steps side by side"),
        ((HOSTS, "-o", "pve_timeout_scale=0"), "pve_timeout_scale=0: a number"),
        (("--hosts=lab", "--lab-scenario=nowhere"), "the lab did not start: unknown scenario 'nowhere'?"),
        ((HOSTS, "-p", "no:dependency"), "pytest-dependency is not loaded"),
        ((HOSTS, "-p", "no:html"), "pytest-html is not loaded"),
        (("--hosts=docker://pve1",), "docker"),
        (("--hosts=local://",), "local"),
        (("--hosts=pve1,,pve2",), "--hosts=pve1,,pve2"),
        (("--hosts=pve1,pve1",), "pve1"),
        (("--hosts=pve1:99999",), "99999"),
        (("--hosts=lab,pve1",), "the lab names its own nodes"),
        (("--hosts=lab", "--lab-nodes=0"), "--lab-nodes=0"),
        ((HOSTS, "--lab-nodes=3"), "--lab-nodes is for --hosts=lab only"),
        ((HOSTS, "--lab-scenario=broken"), "--lab-scenario is for --hosts=lab only"),
        ((HOSTS, "--ticket=a/b"), "--ticket='a/b'"),
        ((HOSTS, "--ticket=.."), "--ticket='..'"),
        ((HOSTS, "--absent=pve2"), "--absent=pve2: it is among --hosts too"),
        ((HOSTS, "--absent=pve3,pve3"), "--absent='pve3,pve3'"),
        ((HOSTS, "--absent="), "--absent=''"),
        (("--hosts=lab", "--absent=pve3"), "--absent=pve3: it is among --hosts too"),
        ((HOSTS, "--records="), "--records= names no folder"),
        ((HOSTS, "--ssh-config="), "--ssh-config= names no file"),
        ((HOSTS, "--ssh-identity-file="), "--ssh-identity-file= names no file"),
        (("--hosts=lab", "--ssh-config="), "--ssh-config is for real nodes"),
        (("--hosts=lab", "--ssh-identity-file=key"), "--ssh-identity-file is for real nodes"),
        (("--hosts=lab", "-m", "sweep"), "is left by the selection on the command line"),
        (("--hosts=lab", "-k", "no_such_step"), "is left by the selection on the command line"),
        ((HOSTS, "--records=/proc/nowhere"), "--records=/proc/nowhere: cannot be written"),
    ],
)
@pytest.mark.parametrize("mode", ["runbook", "checks"])
def test_a_bad_option_is_refused(project: pytest.Pytester, mode: str, options: tuple[str, ...], words: str) -> None:
    refused(project.runpytest(f"{mode}/", *options), words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((HOSTS, "--approve=3"), "--approve='3'"),
        ((HOSTS, "--approve=yes"), "--approve='yes'"),
        ((HOSTS, "--approve=all@"), "--approve='all@': behind the @ stands the hash of a plan"),
        ((HOSTS, "--approve=all@0123456789AB"), "--approve='all@0123456789AB': behind the @ stands the hash"),
        ((HOSTS, "--approve=x@0123456789ab"), "--approve='x@0123456789ab': write"),
        ((HOSTS, "--authority=pve9"), "--authority=pve9: not among --hosts (pve1, pve2)"),
        ((HOSTS, "--authority=pve9@4"), "--authority=pve9: not among --hosts (pve1, pve2)"),
        ((HOSTS, "--authority=pve1@x"), "--authority=pve1@x: behind the @ stands the version"),
        ((HOSTS, "--authority=pve1@"), "--authority=pve1@: behind the @ stands the version"),
        ((HOSTS, "--rollback="), "--rollback= names no folder"),
        ((HOSTS, "--accept-changed=vm"), "--accept-changed='vm'"),
        ((HOSTS, "--canary=99"), "--canary='99'"),
        ((HOSTS, "--accept=zfs"), "--accept='zfs': write words out of shared-storage, ceph, locks, volumes"),
        ((HOSTS, "--accept="), "--accept=''"),
    ],
)
def test_a_bad_option_of_the_runbook_is_refused(project: pytest.Pytester, options: tuple[str, ...], words: str) -> None:
    refused(project.runpytest("runbook/", *options), words)


@pytest.mark.parametrize(
    "option",
    ["--accept=ceph", "--accept-changed=101", "--approve=all", "--authority=pve1", "--break-lock=x", "--canary=off"],
)
def test_checks_take_nothing_that_says_how_to_change_nodes(project: pytest.Pytester, option: str) -> None:
    refused(project.runpytest("checks/", HOSTS, option), f"{option.partition('=')[0]} is for runbook/ only")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        *((f"--since={v}", f"--since='{v}'") for v in ("", "1", "24", "h", "9m", "31d", "1w", "-1h", "1.5h", "1h 5m")),
        *((f"--watch={v}", f"--watch='{v}'") for v in ("", "9", "3601", "1m", "-20", "99999")),
    ],
)
def test_a_bad_window_is_refused(project: pytest.Pytester, option: str, words: str) -> None:
    refused(project.runpytest("checks/", HOSTS, option), words)


@pytest.mark.parametrize("option", ["--since=1h", "--watch=60", "--activate-storage"])
def test_the_past_is_read_by_checks_only(project: pytest.Pytester, option: str) -> None:
    refused(project.runpytest("runbook/", HOSTS, option), f"{option.partition('=')[0]} is for checks/ only")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--anyway= ",), "--anyway=' ': give a reason in words"),
        (("--anyway=two\nlines",), "one line of at most 200 characters"),
        (("--anyway=" + "x" * 201,), "one line of at most 200 characters"),
        (("--anyway=x", "--rollback=records"), "--anyway means nothing with --rollback"),
    ],
)
def test_a_bad_reason_is_refused(project: pytest.Pytester, options: tuple[str, ...], words: str) -> None:
    refused(project.runpytest("runbook/", HOSTS, *options), words)


def test_a_plan_is_of_the_runbook(project: pytest.Pytester) -> None:
    refused(project.runpytest("checks/", HOSTS, "--plan"), "--plan names what runbook/ would send")


def test_checks_need_no_reason(project: pytest.Pytester) -> None:
    refused(project.runpytest("checks/", HOSTS, "--anyway=two words"), "--anyway is for runbook/ only")


@pytest.mark.parametrize("paths", [("runbook/", "checks/"), ("runbook/", "tests/"), ("checks/", "tests/"), (".",)])
def test_kinds_of_runs_are_never_mixed(project: pytest.Pytester, paths: tuple[str, ...]) -> None:
    refused(project.runpytest(*paths, HOSTS), "runs alone")


def test_other_projects_are_left_alone(project: pytest.Pytester) -> None:
    result = project.runpytest("tests/")
    result.assert_outcomes(passed=1)


def test_unreachable_nodes_are_named_and_nothing_runs(project: pytest.Pytester) -> None:
    result = project.runpytest("runbook/", "--hosts=127.0.0.1:1,no-such-host.invalid")
    refused(result, "not every node was reached; nothing was changed on any")
    text = said(result)
    assert "127.0.0.1:1: " in text and "no-such-host.invalid: " in text
    assert not list((project.path / "records").iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--leave=pve9",),
            "--leave=pve9: not among --hosts (pve1, pve2); a node that is dead for good",
        ),
        (("--leave=",), "--leave='': write the names of nodes"),
        (("--leave=pve2,pve2",), "--leave='pve2,pve2': write the names of nodes"),
        (("--leave=pve1,pve2",), "--leave=pve1,pve2: nobody would stay"),
        (("--leave=pve2", "--absent=pve3"), "--absent=pve3: with --leave every member that stays has to be up"),
        (("--leave=pve2", "--anyway=so"), "--anyway means nothing with --leave"),
        (("--leave=pve2", "--authority=pve2"), "--authority=pve2: it leaves"),
        (("--leave=pve2", "--rollback=records"), "--leave means nothing with --rollback"),
        (
            ("--accept=forced-quorum",),
            "--accept='forced-quorum': write words out of shared-storage, ceph, locks, volumes, with",
        ),
        (("--approve=6",), "--approve='6'"),
    ],
)
def test_a_bad_leave_is_refused(project: pytest.Pytester, options: tuple[str, ...], words: str) -> None:
    refused(project.runpytest("runbook/", HOSTS, *options), words)


def test_leave_is_for_the_runbook(project: pytest.Pytester) -> None:
    refused(project.runpytest("checks/", HOSTS, "--leave=pve2"), "--leave is for runbook/ only")
