"""Our part of the page is valid HTML by a strict parser of the standard, with planted markup in it and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import record_journals
from pve_runbook.journal.events import Unknown
from pve_runbook.journal.journal import Journal as Written
from pve_runbook.record.verify import rebuild
from record_journals import Journal
from tinyhtml5.parser import HTMLParser

EVIL = "<img src=x onerror=alert(1)>\"'</pre></details></td></svg>&amp;"


@pytest.mark.parametrize("text", ["", EVIL])
@pytest.mark.parametrize("make", [record_journals.whole_run, record_journals.failed_run])
def test_the_page_parses_without_an_error(make: Callable[[str], Journal], text: str, tmp_path: Path) -> None:
    journal = Written()
    journal.attach(tmp_path / "journal.jsonl")
    for entry in make(text).entries:
        assert not isinstance(entry.event, Unknown)
        journal.step = entry.step
        journal.write(entry.event)
    journal.close()
    folder, _ = rebuild(tmp_path)
    page = (folder / "report.html").read_text("utf-8")
    parser = HTMLParser()
    found = parser.parse(page)
    assert parser.errors == []
    names = {str(element.tag).rpartition("}")[2] for element in found.iter()}
    assert {"svg", "details", "table"} <= names
    assert not names & {"img", "script"}


def test_the_parser_sees_an_error() -> None:
    parser = HTMLParser()
    parser.parse("<!doctype html><title>x</title><p><ul></ul></p>")
    assert parser.errors != []
