"""What a record says of the code that ran."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from pve_runbook.plugin.provenance import code_revision
from pve_runbook.project_copy import compare, write
from pve_runbook.project_copy.manifest import MANIFEST

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    write.write_new(tmp_path, "0.1.0", "")
    return tmp_path


def of_the_copy(root: Path) -> str:
    """Without what it says of the plugin, which is a working tree's where the tests run in one."""
    return code_revision(root).removesuffix(compare.WORKING_TREE)


def test_an_untouched_copy_is_as_distributed(copy: Path) -> None:
    assert of_the_copy(copy) == "pve-runbook 0.1.0, as distributed"


def test_in_a_users_own_git_too(copy: Path) -> None:
    subprocess.run(["git", "init", "-q", str(copy)], check=True, timeout=20)
    assert of_the_copy(copy) == "pve-runbook 0.1.0, as distributed"


def test_what_was_changed_added_and_removed_is_named(copy: Path) -> None:
    (copy / "runbook/test_phase0_freeze.py").write_text("")
    (copy / "pytest.toml").unlink()
    (copy / "pytest.toml").mkdir()
    (copy / "checks/test_mine.py").write_text("")
    (copy / "checks/test_ha.py").unlink()
    assert of_the_copy(copy) == (
        "pve-runbook 0.1.0, changed: pytest.toml, runbook/test_phase0_freeze.py; added: checks/test_mine.py; "
        "removed: checks/test_ha.py"
    )


def test_a_manifest_that_cannot_be_read_leaves_a_hash(copy: Path) -> None:
    (copy / MANIFEST).write_text("{")
    assert code_revision(copy).startswith("tree sha256 ")


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="not in a git checkout")
def test_a_checkout_has_its_git_revision() -> None:
    assert code_revision(PROJECT).startswith("git ")


def test_a_half_written_copy_says_how_it_is_ended(copy: Path) -> None:
    assert compare.half_written(copy) == ""
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(manifest | {"complete": False}))
    assert f"pve-runbook init --update {copy}" in compare.half_written(copy)
