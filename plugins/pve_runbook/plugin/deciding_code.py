"""The code that decides what is sent to a node: an approved plan holds for it, and for no other part of the tool."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOMS = (
    *("actions", "cluster", "diagnosis", "facts", "journal", "options", "parsers"),
    *("plan", "plugin", "probes", "procedure", "ssh"),
)
"""The rooms that decide. The others (record, terminal, facts_file) tell what was done, or keep it."""
ALSO = ("record/verify.py",)
"""What decides in the others: an unfinished run is taken up by its journal, read there."""
ONLY_TELLS = frozenset(
    {
        "plan/markdown.py",
        "plugin/steps/outcome.py",
        *(
            f"plugin/{name}.py"
            for name in ("closing", "gc_tuning", "lab_process", "plain_imports", "plan_mode", "provenance")
        ),
        *(f"plugin/{name}.py" for name in ("record_cli", "rehearsal", "rerun_command", "run_result")),
    }
)
"""What in those rooms only tells, starts a lab or reads a record."""


def sources(runbook: Path) -> dict[str, str]:
    """Source file → its SHA-256: of the package and of the runbook in the folder ``runbook``. Raises OSError."""
    package = [p for room in ROOMS for kind in ("*.py", "*.sh") for p in (PACKAGE / room).rglob(kind)]
    package += [PACKAGE / name for name in ALSO]
    named = {p.relative_to(PACKAGE).as_posix(): p for p in package}
    files = {f"pve_runbook/{name}": path for name, path in named.items() if name not in ONLY_TELLS}
    files |= {f"runbook/{p.name}": p for p in runbook.glob("*.py")}
    return {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in sorted(files)}
