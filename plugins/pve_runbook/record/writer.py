"""Write record.json and summary.md beside the report."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pve_runbook.record.document import record_json
from pve_runbook.record.markdown import summary_md
from pve_runbook.record.model import Record


def write_record(folder: Path, record: Record, journal_head: str) -> None:
    """Write ``record.json``, a line for each part, and ``summary.md``, replacing earlier ones in one move each.

    Raises OSError when the folder cannot be written.
    """
    data = record_json(record, journal_head)
    _replace(folder / "record.json", _lines(data))
    _replace(folder / "summary.md", [summary_md(record, journal_head)])


def _lines(data: Mapping[str, object]) -> Iterator[str]:
    """Yield the parts one by one: the whole text is never in memory."""
    before = "{"
    for name, part in data.items():
        yield f"{before}{json.dumps(name)}: "
        yield json.dumps(part, ensure_ascii=False)
        before = ",\n "
    yield "}\n"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what replaces ``path`` in one move; on an error nothing of it stays. Raises OSError."""
    new = path.with_name(path.name + ".new")
    try:
        yield new
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _replace(path: Path, text: Iterable[str]) -> None:
    with replacing(path) as new, new.open("w", encoding="utf-8") as file:
        file.writelines(text)
