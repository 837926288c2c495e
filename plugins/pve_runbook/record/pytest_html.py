"""The change record as pytest-html's report: a plugin object made of its official hooks.

pytest-html builds its own table of results with a script and leaves much of it unescaped; so the record
stands in the static part of the page, whole, and the table below it is for sorting only.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import pytest
from pytest_metadata.plugin import metadata_key

from pve_runbook.record.html_markup import badge, clock, esc, tag

if TYPE_CHECKING:
    from pytest_html.report_data import ReportData

    from pve_runbook.record.model import Record

STYLE = Path(str(files("pve_runbook.record").joinpath("style.css")))
"""The style sheet of the record, for pytest-html's ``--css``."""


class StepRow(TypedDict):
    """What a test report carries as ``pve_step`` to get its row in the table."""

    phase: int | None
    title: str
    node: str | None
    outcome: str
    started: str
    message: NotRequired[str]


def page_title(mode: str) -> str:
    """Return the title of the page of a run in ``mode``."""
    titles = {"checks": "Verification record", "plan": "Plan of a change", "rehearsal": "Rehearsal of a change"}
    return titles.get(mode, "Change record")


HEADER = (
    ("phase", "Phase"),
    ("time", "Time UTC"),
    ("node", "Node"),
    ("step", "Step"),
    ("result", "Result"),
    ("duration", "Duration"),
)


class ChangeRecord:
    """Make pytest-html's report the change record.

    ``get_record`` and ``get_head`` (the SHA-256 of the journal's last line) are called at the end of the session, when
    the page is written: the journal's ``end`` must stand by then. ``title`` is the page's title.
    """

    def __init__(self, get_record: Callable[[], Record], get_head: Callable[[], str], title: str) -> None:
        self._get_record = get_record
        self._get_head = get_head
        self._title = title

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Take the list of plugin versions away: pytest-html shows it unescaped."""
        session.config.stash[metadata_key].clear()

    def pytest_html_report_title(self, report: ReportData) -> None:
        """Name the page (pytest-html escapes it), keep the steps in their order and their messages folded."""
        report.title = self._title
        report.set_data("initialSort", "original")
        report.set_data("renderCollapsed", ["all"])

    def pytest_html_results_summary(self, prefix: list[str], postfix: list[str], session: pytest.Session) -> None:
        """Put the whole record into the static part of the page, and the facts of the run where the versions stood."""
        from pve_runbook.record.html_summary import detail_html, summary_html

        record = self._get_record()
        header = record.header
        session.config.stash[metadata_key].update(
            Cluster=str(esc(header.cluster)),
            Operator=str(esc(header.operator)),
            Command=str(esc(header.command)),
            Code=str(esc(header.code)),
        )
        prefix.append(summary_html(record, self._get_head()))
        postfix.append(detail_html(record))
        postfix.append(tag("h2", "The steps as a table", css="pve-record pve-table-title"))

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Name the columns."""
        cells[:] = [f'<th class="sortable" data-column-type="{column}">{title}</th>' for column, title in HEADER]

    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Fill one row; a report that is no step, or a set-up that passed, gets none.

        The first ``col-`` class of a cell names its column to pytest-html, and its result must stay one of
        the outcomes pytest-html knows: where our own word for it differs, it stands beside the title.
        """
        row: StepRow | None = getattr(report, "pve_step", None)
        if row is None or (report.when in ("setup", "teardown") and report.outcome == "passed"):
            cells.clear()
            return
        result, _, duration, *_ = cells
        step = str(esc(row["title"]))
        if row["outcome"].capitalize() not in result:
            step += f" {badge(row['outcome'])}"
        phase = "" if row["phase"] is None else str(row["phase"])
        cells[:] = [
            _cell("phase", esc(phase)),
            _cell("time", esc(clock(row["started"]))),
            _cell("node", esc(row["node"] or "all")),
            _cell("step", step),
            result.replace('"', ""),
            duration.replace('"', ""),
        ]

    def pytest_html_results_table_html(self, report: pytest.TestReport, data: list[str]) -> None:
        """Replace traceback and captured output by the step's own message."""
        row: StepRow | None = getattr(report, "pve_step", None)
        data.clear()
        if row is not None and row.get("message"):
            data.append(str(esc(row["message"])))


def _cell(column: str, content: str) -> str:
    """Return a cell without a quote: pytest-html stores it as JSON in an attribute, where each takes six bytes."""
    return f"<td class=col-{column}>{content}</td>"
