"""Write record.json and summary.md beside the report."""

from __future__ import annotations

import json
from pathlib import Path

from pve_runbook.record.parts import Record
from pve_runbook.record.summary import record_json, summary_md


def write_record(folder: Path, record: Record, journal_head: str) -> None:
    """Write ``record.json``, a line for each part, and ``summary.md``, replacing earlier ones in one move each.

    Raises OSError when the folder cannot be written.
    """
    data = record_json(record, journal_head)
    lines = (f"{json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}" for name, part in data.items())
    _replace(folder / "record.json", "{" + ",\n ".join(lines) + "}\n")
    _replace(folder / "summary.md", summary_md(record, journal_head))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
