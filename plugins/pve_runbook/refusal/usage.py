"""Refusals of a command line, or of what stands in the way of a run: nothing was touched yet."""

from __future__ import annotations

import textwrap

import pytest

from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.text import with_id

_WIDTH = 80
_HEAD = "ERROR: "
"""What pytest writes before it."""


class _Refusal(str):
    """The text in one piece. Where pytest puts it into its own line it is wrapped at words for 80 columns; what is
    indented stays so."""

    def __format__(self, spec: str) -> str:
        shown: list[str] = []
        for line in super().__format__(spec).splitlines():
            indent = line[: len(line) - len(line.lstrip())]
            shown += textwrap.wrap(
                line.strip(),
                _WIDTH,
                initial_indent=indent if shown else " " * len(_HEAD),
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [""]
        return "\n".join(shown).removeprefix(" " * len(_HEAD))


def usage_error(of: RefusalId, text: object) -> pytest.UsageError:
    """What pytest ends with status 4 for."""
    return pytest.UsageError(_Refusal(with_id(of, str(text))))
