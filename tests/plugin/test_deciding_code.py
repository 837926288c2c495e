"""An approved plan holds for the code that decides what is sent, and for nothing else."""

from __future__ import annotations

from pathlib import Path

from pve_runbook.plugin.deciding_code import ALSO, ONLY_TELLS, PACKAGE, ROOMS, sources

RUNBOOK = Path(__file__).parents[2] / "runbook"
TELLS = {"cli", "facts_file", "project_copy", "record", "refusal", "terminal"}
"""Rooms that say what was done, keep it, or carry the project: a change in them changes no command."""


def test_every_room_is_on_one_side() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ROOMS) | TELLS and not set(ROOMS) & TELLS
    assert [name for name in ONLY_TELLS if not (PACKAGE / name).exists()] == []


def test_what_decides_is_covered_and_what_tells_is_not() -> None:
    covered = sources(RUNBOOK)
    for name in (
        "pve_runbook/actions/registry.py",
        "pve_runbook/procedure/decisions.py",
        "pve_runbook/procedure/window.sh",
        "pve_runbook/plugin/approval.py",
        "pve_runbook/plugin/steps/order.py",
        "runbook/test_phase4_corosync.py",
    ):
        assert name in covered
    others = {f"pve_runbook/{name}" for name in ALSO}
    told = [n for n in covered if n.split("/")[1] in TELLS or n.startswith(("pve_lab", "pve_system_lab"))]
    assert set(told) == others


def test_one_byte_of_the_runbook_is_another_hash(tmp_path: Path) -> None:
    (tmp_path / "test_phase0_freeze.py").write_text("one")
    before = sources(tmp_path)
    (tmp_path / "test_phase0_freeze.py").write_text("two")
    assert before["runbook/test_phase0_freeze.py"] != sources(tmp_path)["runbook/test_phase0_freeze.py"]
