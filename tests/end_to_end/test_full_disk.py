"""The control host has no room: what cannot be recorded is not done, and the same command line goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pve_runbook.record.verify import verify

StartLab = Callable[..., Any]
Run = Callable[..., Any]
Plugin = Callable[[str], str]

KEPT_SMALL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
"""
OF_A_WINDOW = {"pve-cluster.service", "corosync.service"}
"""What its script stops and starts; the journal has the script as one command."""
IN_THE_WAY = """
import pathlib, pytest
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    for folder in pathlib.Path({records!r}).iterdir():
        (folder / "report.html.new").mkdir()
"""
LITTLE_ROOM = """
import collections, shutil
usage = collections.namedtuple("usage", "total used free")
shutil.disk_usage = lambda path: usage(1 << 40, 1 << 40, 100 << 20)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Write a plugin for the run's process; the option that loads it."""

    def write(code: str) -> str:
        (tmp_path / "what_this_test_does.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        return "-pwhat_this_test_does"

    return write


def test_the_journal_takes_no_more(start_lab: StartLab, run: Run, plugin: Plugin) -> None:
    lab = start_lab()
    small = plugin(KEPT_SMALL.format(size=550_000))
    first = run("runbook/", *lab.options, "--approve=all", small)
    assert first.status == 3, first.text
    assert "this machine: the journal cannot be written any more: File too large" in first.text
    assert "next check the folder --records (free space, write permission), then: pytest runbook/" in first.text
    assert "Traceback" not in first.text
    events = first.journal()
    begun = [tuple(e["argv"]) for e in events if e["kind"] == "action-intent"]
    sent = {argv for _, argv in lab.mutating() if argv[0] == "systemctl" and not OF_A_WINDOW & {*argv}}
    assert begun and sent <= set(begun), "sent, not recorded"
    found = verify(first.record).chain
    assert len(found.events) == len(events) and not found.half, "half a line is in the journal"

    second = run("runbook/", *lab.options, "--approve=all")
    assert second.status == 0, second.text
    assert lab.changed_guests() == {}


def test_the_page_cannot_be_written(start_lab: StartLab, run: Run, plugin: Plugin, tmp_path: Path) -> None:
    lab = start_lab("standalone", nodes=1)
    ran = run("checks/", *lab.options, plugin(IN_THE_WAY.format(records=str(tmp_path / "records"))))
    assert ran.status == 3, ran.text
    assert "Every check that applies passed. But its record could not be written (Is a directory: " in ran.text
    assert f"then: pytest --record-from={ran.record}; then: nothing" in ran.text
    assert f"record {ran.record}/journal.jsonl" in ran.text
    assert "Traceback" not in ran.text


def test_a_run_begins_with_room_for_its_backups(start_lab: StartLab, run: Run, plugin: Plugin) -> None:
    lab = start_lab(nodes=1)
    little = plugin(LITTLE_ROOM)
    refused = run("runbook/", *lab.options, "--approve=all", little)
    assert refused.status == 4 and refused.record is None
    assert "100 MiB are free there; 256 MiB have to stay free beside the nodes' backups" in refused.text
    assert lab.mutating() == []
    assert run("checks/", *lab.options, little).record is not None, "checks/ make no backup"
    roomy = run("runbook/", *lab.options, "--approve=all")
    assert roomy.status == 0, roomy.text
