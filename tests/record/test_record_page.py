"""The page that pytest-html writes with the record in it: a real run, a real file."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import record_journals
from record_html import check

EVIL = "<img src=x onerror=alert(1)>"

# What the runbook's own plugin does: register the record, set pytest-html's options, describe each step.
CONFTEST = """
import sys
sys.path.insert(0, {folder!r})
import pytest
import record_journals
from pve_runbook.record.pytest_html import STYLE, ChangeRecord
from pve_runbook.record.build import build

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.option.htmlpath = "report.html"
    config.option.self_contained_html = True
    config.option.css = [str(STYLE)]
    events = record_journals.whole_run({evil!r}).entries
    config.pluginmanager.register(ChangeRecord(lambda: build(events), lambda: "ab" * 32, "Change record " + {evil!r}))

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if "foreign" not in item.nodeid:
        report.pve_step = dict(phase=2, title=item.function.__doc__ + {evil!r}, node="pve1" + {evil!r},
                               outcome={{"skipped": "blocked"}}.get(report.outcome, report.outcome),
                               started="2026-01-08T02:10:00.000Z", message="told to a person " + {evil!r})
    return report
"""

STEPS = """
import pytest

@pytest.mark.parametrize("node", ["<img src=x onerror=alert(2)>"])
def test_passes(node):
    "The node answers."

def test_fails():
    "The node is quorate."
    print("a line that only the capture saw")
    assert False, "raw traceback"

@pytest.fixture
def broken():
    raise RuntimeError("an action failed")

def test_errors(broken):
    "Corosync is stopped."

@pytest.mark.skip(reason="a gate before it failed")
def test_blocked():
    "The peers are silent."

def test_foreign():
    "A report without a step."
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """report.html of a run in which steps passed, failed, broke in set-up and were blocked."""
    folder = tmp_path_factory.mktemp("project")
    helpers = str(Path(record_journals.__file__).parent)
    (folder / "conftest.py").write_text(CONFTEST.format(folder=helpers, evil=EVIL))
    (folder / "test_steps.py").write_text(STEPS)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-W", "error", "--rootdir", str(folder)]
    command += ["-p", "no:pve_runbook.plugin.plugin"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert "1 failed, 2 passed, 1 skipped, 1 error" in result.stdout, result.stdout + result.stderr
    return (folder / "report.html").read_text(encoding="utf-8")


def blob(page: str) -> dict[str, object]:
    """The data that pytest-html's script builds its table from."""
    found = re.search(r'data-jsonblob="(.*?)"', page, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(html.unescape(found[1]))
    return data


def rows(page: str) -> list[dict[str, object]]:
    tests = blob(page)["tests"]
    assert isinstance(tests, dict)
    return [row for of_one in tests.values() for row in of_one]


def test_page_is_balanced_and_has_no_element_from_planted_text(page: str) -> None:
    without_script = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert check(without_script).planted == []


def test_page_is_whole_without_scripts(page: str) -> None:
    static = re.sub(r"<script>.*?</script>|data-jsonblob=\".*?\"", "", page, flags=re.DOTALL)
    text = check(static).text
    for expected in (
        "EXECUTED",
        "All three nodes stand alone",
        "Phase 7",
        "systemctl stop pvescheduler.service",
        "A job that is overdue",
        "systemctl start pvescheduler",
        "14 of 14 guests",
    ):
        assert expected in text


def test_page_needs_no_other_file_and_no_network(page: str) -> None:
    static = re.sub(r"<script>.*?</script>|data-jsonblob=\".*?\"", "", page, flags=re.DOTALL)
    assert set(check(static).loaded) == {""}  # pytest-html's own empty picture and video, inside a template
    assert "url(" not in static and "@import" not in static


def test_style_sheet_is_inside_the_page(page: str) -> None:
    assert ".pve-banner" in page.split("</style>")[0]


def test_only_the_facts_of_the_run_are_left_of_the_environment(page: str) -> None:
    environment = blob(page)["environment"]
    assert isinstance(environment, dict)
    assert list(environment) == ["Cluster", "Operator", "Command", "Code"]
    assert environment["Cluster"] == html.escape("prod" + EVIL)


def test_each_step_has_one_row_with_a_result_pytest_html_knows(page: str) -> None:
    assert [row["result"] for row in rows(page)] == ["Passed", "Failed", "Error", "Skipped"]


def test_our_word_stands_beside_the_title_where_pytest_html_has_another(page: str) -> None:
    cells = [row["step"] for row in rows(page)]
    assert [">failed<" in str(cell) for cell in cells] == [False, False, True, False]
    assert [">blocked<" in str(cell) for cell in cells] == [False, False, False, True]


def test_rows_carry_the_columns_the_script_sorts_by(page: str) -> None:
    for row in rows(page):
        assert {"phase", "time", "node", "step", "result", "duration"} <= set(row)


def test_cells_and_messages_are_escaped(page: str) -> None:
    for row in rows(page):
        cells = row["resultsTableRow"]
        assert isinstance(cells, list)
        assert check("".join(cells)).planted == []
        assert check(str(row["log"])).planted == []
        assert "told to a person &lt;img" in str(row["log"])


def test_messages_stand_in_place_of_traceback_and_captured_output(page: str) -> None:
    assert "raw traceback" not in page
    assert "only the capture saw" not in page


def test_steps_stay_in_order_and_folded(page: str) -> None:
    data = blob(page)
    assert data["initialSort"] == "original"
    assert data["renderCollapsed"] == ["all"]
