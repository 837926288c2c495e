"""What pytest loads, and when: the time until the first byte is sent to a node is mostly imports."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = """
import json, sys
import pytest
status = pytest.main([*sys.argv[1:], "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest"])
specs = {name: getattr(module, "__spec__", None) for name, module in sys.modules.items()}
loaders = {name: type(spec.loader).__name__ for name, spec in specs.items() if spec is not None}
print("\\n" + json.dumps([status, loaders]))
"""
NOT_FOR_CHECKS = (
    "pve_runbook.facts_file.model",
    "pve_lab",
    "pve_runbook.plan",
    "pve_runbook.plugin.approval",
    "pve_runbook.plugin.plan_mode",
    "pve_runbook.procedure.planning",
    "pve_runbook.plugin.record_cli",
    "pve_runbook.plugin.rehearsal",
    "pve_runbook.procedure.rollback",
    "pve_runbook.procedure.unfinished",
    "pve_runbook.record.html_summary",
    "pve_runbook.record.build",
    "pve_runbook.record.model",
    "pve_runbook.record.verify",
    "pve_runbook.actions.registry",
    "pve_runbook.procedure.backup",
    "pve_runbook.procedure.stages",
    "pve_runbook.procedure.window",
    "asyncssh",
    "bashkit",
)


def loaded(*arguments: str) -> dict[str, str]:
    """The modules that a pytest with these arguments has loaded at its end, and the class that loaded each."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    status, loaders = json.loads(done.stdout.rpartition("\n")[0].rpartition("\n")[2])
    assert status == 0
    return dict(loaders)


def test_checks_load_what_they_ask_the_nodes_with_and_no_more() -> None:
    modules = loaded("checks/", "--hosts=pve1", "--collect-only")
    assert "pve_runbook.ssh.connection" in modules
    assert [name for name in NOT_FOR_CHECKS if name in modules] == []


def test_a_lab_that_is_no_twin_needs_nothing_of_facts_files() -> None:
    loads = "import sys, pve_runbook.plugin.lab_process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, timeout=60, check=True)
    assert {"pve_runbook.facts_file.model", "pve_lab.control"}.isdisjoint(done.stdout.split())


def test_pytest_rewrites_none_of_our_modules_but_the_one_it_begins_with() -> None:
    ours = {n: by for n, by in loaded("checks/", "--hosts=lab", "--collect-only").items() if n.startswith("pve_")}
    assert len(ours) > 100
    assert {name for name, by in ours.items() if by == "AssertionRewritingHook"} == {
        "pve_runbook",
        "pve_runbook.plugin",
        "pve_runbook.plugin.plain_imports",
        "pve_runbook.plugin.plugin",
    }


def test_other_tests_do_not_pay_for_the_plugin() -> None:
    modules = loaded("tests/plugin_steps/test_step_order.py", "--collect-only")
    assert "pve_runbook.plugin.plugin" in modules
    assert [name for name in modules if name.split(".")[0] in ("paramiko", "fabric", "invoke")] == []


def test_python_looks_for_garbage_again_once_the_session_is_over(project: pytest.Pytester) -> None:
    gc.freeze()  # as an earlier run leaves it
    threshold = gc.get_threshold()
    assert project.runpytest("checks/", "--hosts=pve1", "--collect-only").ret == 0
    assert gc.isenabled() and gc.get_freeze_count() == 0 and gc.get_threshold() == threshold
