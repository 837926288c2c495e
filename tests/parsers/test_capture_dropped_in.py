"""A file dropped into the folder of captures is collected and read; each kind of surprise names file and command."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import captured_files
import pytest
from captured_files import EXPECTED, FOLDER, KNOWN_SURPRISES, LISTS, NOT_PROBES, READ_AS

HERE = Path(__file__).parent
TESTS = ("capture_reading.py", "capture_expectations.py", "test_captures_as_data.py")
STAT = {"command": "stat -c %a /etc/pve/local", "exit_status": 0, "stdout": "555\n", "stderr": ""}
GOOD = {"state": "no quorum", "node": "a1", "commands": [STAT]}


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Path:
    """A folder of captures of its own, with the tests that read it."""
    folder = pytester.mkdir("captures")
    shutil.copy(captured_files.__file__, pytester.path)
    tests = pytester.mkdir("parsers")
    for name in TESTS:
        shutil.copy(HERE / name, tests)
    for name in LISTS:
        (folder / name).touch()
    return folder


def drop(folder: Path, name: str, capture: dict[str, Any], expect: dict[str, Any] | None = None) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(capture))
    if expect is not None:
        (folder / f"{name}{EXPECTED}").write_text(json.dumps(expect))


def with_steps(*steps: dict[str, Any], **others: Any) -> dict[str, Any]:
    return GOOD | {"commands": [STAT, *steps]} | others


def said(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, failed: int) -> str:
    """Run the tests over the folder, in a process of their own."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), str(pytester.path / "parsers")]))
    result = pytester.runpytest_subprocess("-q", "--tb=short", "-p", "no:cacheprovider", "parsers", timeout=60)
    found = result.parseoutcomes()
    assert (found.get("failed", 0), found.get("errors", 0)) == (failed, 0)
    assert found["passed"] > 0
    return "\n".join(line for line in result.outlines if line.startswith("E  "))


def test_a_good_one_passes(folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """As README.md shows it, and in a folder below as well."""
    capture, expected = re.findall(r"```json\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    drop(folder, "good.pve1", json.loads(capture), json.loads(expected))
    drop(folder, "site/also.a1", with_steps({**STAT, "command": "LC_ALL=C timeout 9 stat -c '%a' /etc/pve/local"}))
    assert said(pytester, monkeypatch, failed=0) == ""


def test_each_surprise_names_file_and_command(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "good.a1", GOOD)
    drop(folder, "unknown.a1", with_steps({**STAT, "command": "pveperf"}))
    drop(folder, "site/garbled.a1", with_steps({**STAT, "command": "pvecm status", "stdout": "\x00Quorate: perhaps"}))
    drop(folder, "silent.a1", with_steps(_mounted(), _refused("qm list --full")))
    drop(folder, "wrong.a1", GOOD, {"is_writable": True, "state": "standalone", "no_such_fact": 1, "pvecm": {}})
    drop(folder, "leaky.a1", with_steps(note="-----BEGIN RSA PRIVATE KEY-----"))
    text = said(pytester, monkeypatch, failed=5)
    for line in (
        f"unknown.a1.json: pveperf: no probe asks this, and it does not stand in {NOT_PROBES}",
        "site/garbled.a1.json: pvecm status: ",
        "silent.a1.json: qm list --full: qm list could not be answered: pmxcfs does not answer.",
        "wrong.a1.json: is_writable: False was found, True was expected",
        "wrong.a1.json: state: 'unknown' was found, 'standalone' was expected",
        "wrong.a1.json: no_such_fact: this is no probe that was read here, no recorded command and no fact of a node",
        "wrong.a1.json: pvecm: it is unknown: a1: pvecm status: it was not asked",
        "leaky.a1.json: 'PRIVATE KEY'",
    ):
        assert line in text


def test_a_broken_file_is_named(folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(folder, "good.a1", GOOD)
    (folder / "cut.json").write_text(json.dumps(GOOD)[:40])
    drop(folder, "keyless.a1", with_steps({"command": "hostname", "stdout": "a1\n", "stderr": ""}))
    drop(folder, "nodeless", {"commands": [STAT]})
    drop(folder, "empty.a1", GOOD | {"commands": []})
    drop(folder, "odd.a1", GOOD | {"expects": {}})
    (folder / "notes.txt").write_text("mine")
    (folder / f"gone.a1{EXPECTED}").write_text("{}")
    text = said(pytester, monkeypatch, failed=2 * 5 + 2)
    for line in (
        "cut.json: this is no JSON: ",
        "keyless.a1.json: command 2 (hostname): 'exit_status' is missing, or no int",
        "nodeless.json: it does not say which node it is ('node')",
        "empty.a1.json: it holds no command",
        "odd.a1.json: nothing is known of the key 'expects'",
        f"gone.a1{EXPECTED}: nothing reads this file",
        "notes.txt: nothing reads this file",
    ):
        assert line in text


def test_the_lists_excuse_what_they_name_and_nothing_else(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an entry that is not needed is red itself."""
    garbled = {**STAT, "command": "hostname", "stdout": "?!\n"}
    drop(folder, "excused.a1", with_steps({**STAT, "command": "pveperf"}, {**STAT, "command": "stat /x"}, garbled))
    (folder / NOT_PROBES).write_text("## It only measures\npveperf\n\n## Gone\npveproxy status\n")
    (folder / READ_AS).write_text("## pve_mode\nstat /x\n")
    (folder / KNOWN_SURPRISES).write_text("## It had no name\nexcused.a1.json: hostname\n\n## Gone\nx.json: id -u\n")
    text = said(pytester, monkeypatch, failed=1)
    assert "pveproxy status: it stands in a list, and no capture holds it" in text
    assert "x.json: id -u: it stands in a list, and no capture holds it" in text
    assert "excused" not in text


def _mounted() -> dict[str, Any]:
    command = "findmnt -n -o FSTYPE,SOURCE,OPTIONS /etc/pve"
    return {"command": command, "exit_status": 0, "stdout": "fuse /dev/fuse rw\n", "stderr": ""}


def _refused(command: str) -> dict[str, Any]:
    stderr = "ipcc_send_rec[1] failed: Connection refused\n"
    return {"command": command, "exit_status": 111, "stdout": "", "stderr": stderr}


def test_the_folder_that_is_read_is_the_one_beside_this() -> None:
    assert HERE.parent / "captures" == FOLDER
