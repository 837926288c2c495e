"""``pytest --verify-record=DIR`` and ``pytest --record-from=DIR``: a record by itself, with no node and no test."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from pve_runbook.options.option_types import NO_FOLDER
from pve_runbook.plugin.run_result import FAILED, INCOMPLETE, PASSED
from pve_runbook.record import phrases
from pve_runbook.record.html_markup import count
from pve_runbook.record.verify import REPORT, Disagreement, NoRecord, Verified, rebuild, verify
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error
from pve_runbook.terminal.wrap import wrapped

ALONE = "{option} stands alone: it reads a record, and no node; leave out {other}"
UNREADABLE = "{folder}: cannot be read or written ({why}); nothing is known about this record"


def serve(config: pytest.Config) -> int:
    """Do what one of the two options asks, in place of a session; its exit status. Raises UsageError."""
    option = config.option
    given = {"--verify-record": option.verify_record, "--record-from": option.record_from}
    name = next(name for name, value in given.items() if value is not None)
    others = [*option.file_or_dir, *([f"--hosts={option.hosts}"] if option.hosts else [])]
    if all(value is not None for value in given.values()):
        others.append("--record-from")
    if others:
        raise usage_error(
            RefusalId.RECORD_OPTION_IS_NOT_ALONE, ALONE.format(option=name, other=" ".join(map(str, others)))
        )
    if not given[name]:
        raise usage_error(RefusalId.NO_FOLDER, NO_FOLDER.format(option=name))
    folder = config.invocation_params.dir / given[name]
    try:
        return _verify(folder) if name == "--verify-record" else _rebuild(folder)
    except NoRecord as error:
        raise usage_error(RefusalId.NO_RECORD, str(error)) from None
    except OSError as error:
        raise usage_error(RefusalId.RECORD_IS_NOT_READABLE, UNREADABLE.format(folder=folder, why=error)) from None
    except Disagreement as error:
        _say("verdict", f"The record does not agree with itself.\n{error}")
        return FAILED


def _verify(folder: Path) -> int:
    found = verify(folder)
    _say("run", _run(found))
    _say("journal", f"{count(len(found.chain.events), 'line')}, the chain is unbroken\nhead {found.chain.head}")
    for line in found.earlier:
        _say("took up", line)
    _say("backups", f"{count(found.backups, 'file')}, as they were pulled" if found.backups else "none was pulled")
    if found.compared:
        _say("record", f"{', '.join(found.compared)}: as the journal gives them")
    if REPORT in found.compared:
        _say("", "(what pytest-html adds to report.html, its table of the steps, is not compared)")
    if found.gaps:
        _say("verdict", f"Intact up to line {len(found.chain.events)}, but not whole.\n" + "\n".join(found.gaps))
        if found.missing:
            _say("next", shlex.join(["pytest", f"--record-from={folder}"]))
        return INCOMPLETE
    _say("verdict", "The record agrees with itself.")
    _say("next", "compare the head with the one in the ticket: a record rewritten as a whole agrees with itself too")
    return PASSED


def _rebuild(folder: Path) -> int:
    target, made = rebuild(folder)
    _say("run", _run(made))
    _say("journal", f"{count(len(made.chain.events), 'line')}, the chain is unbroken\nhead {made.chain.head}")
    if made.chain.half:
        _say("", f"the line after them is half a line ({made.chain.half} bytes) and left out")
    _say("written", "\n".join(str(target / name) for name in made.compared))
    return PASSED


def _run(found: Verified) -> str:
    record = found.record
    return f"{phrases.kind(record)}, {phrases.judgement(record)} ({phrases.ending(record)}): {phrases.verdict(record)}"


def _say(label: str, text: str) -> None:
    """Print lines under a label, wrapped at words; what a terminal would obey or cannot show is escaped."""
    encoding, lines = sys.stdout.encoding or "utf-8", text.split("\n")
    plain = ("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line) for line in lines)
    shown = [part for line in plain for part in wrapped(" " * 10, line)]
    for number, part in enumerate(shown):
        told = part if number else f"{label:<10}{part[10:]}"
        print(told.encode(encoding, "backslashreplace").decode(encoding))
