"""--rehearse, --save-facts and --lab-facts where they make no sense: one clear line, and nothing is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inner_project import said
from pve_runbook.facts_file.model import Portrait
from pve_runbook.plugin.rehearsal import save

HOSTS = "--hosts=pve1,pve2"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("checks/", HOSTS, "--rehearse"), "--rehearse lives the runbook through on a twin"),
        (("runbook/", HOSTS, "--rehearse", "--rollback=x"), "leave out --rollback"),
        (("runbook/", HOSTS, "--rehearse", "--break-lock=x"), "leave out --break-lock"),
        (("runbook/", HOSTS, "--rehearse", "--plan"), "leave out --plan"),
        (("runbook/", HOSTS, "--save-facts=x"), "--save-facts goes with checks/, or with runbook/ --rehearse"),
        (("checks/", HOSTS, "--save-facts=there"), "--save-facts=there: it is there already"),
        (("checks/", HOSTS, "--save-facts=no/x"), "--save-facts=no/x: its folder is not there"),
        (("checks/", HOSTS, "--lab-facts=x"), "--lab-facts is for --hosts=lab only"),
        (("checks/", "--hosts=lab", "--lab-facts=no"), "--lab-facts=no: No such file or directory"),
        (("checks/", "--hosts=lab", "--lab-facts=there"), "--lab-facts=there: this is no JSON"),
        (
            ("checks/", "--hosts=lab", "--lab-facts=empty"),
            "--lab-facts=empty: it holds no node's configuration database",
        ),
        (("checks/", "--hosts=lab", "--lab-facts=old"), "--lab-facts=old: its format has version 0"),
        (("checks/", "--hosts=lab", "--lab-facts=old", "--lab-nodes=3"), "--lab-facts=old: leave out --lab-nodes"),
        (("checks/", "--hosts=lab", "--lab-facts=old", "--lab-scenario=broken"), "leave out --lab-scenario"),
    ],
)
def test_is_refused(project: pytest.Pytester, arguments: tuple[str, ...], words: str) -> None:
    (project.path / "there").write_text("something\n")
    (project.path / "old").write_text(json.dumps({"format": "pve-runbook facts", "version": 0}))
    node = {"name": "a", "hostname": "a", "version": "", "clock": 0, "names": {}, "units": {}, "database": None}
    node["pmxcfs"] = {"commands": [], "mounts": 0, "answers": "unmounted"}
    empty = {"format": "pve-runbook facts", "version": 1, "taken": 0, "files": {}, "nodes": [node]}
    (project.path / "empty").write_text(json.dumps(empty))
    result = project.runpytest(*arguments)
    text = said(result)
    assert result.ret == 4
    assert words in text and "Traceback" not in text
    assert (project.path / "there").read_text() == "something\n"


def test_facts_never_take_the_place_of_another_file(tmp_path: Path) -> None:
    """One that came to be there while the nodes were read."""
    there = tmp_path / "facts.json"
    there.write_text("something\n")
    with pytest.raises(pytest.UsageError, match=r"facts\.json: cannot be written \(File exists\).*\[PVE-R248\]"):
        save(Portrait(0.0, (), {}), there)
    assert there.read_text() == "something\n"
    save(Portrait(0.0, (), {}), tmp_path / "another.json")
    assert (tmp_path / "another.json").stat().st_size > 0
