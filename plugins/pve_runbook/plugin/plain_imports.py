"""What we import from here on is read as Python compiled it, not as pytest rewrites it.

pytest rewrites the asserts in every module of a plugin's distribution. No test is among ours: `checks/` and `runbook/`
lie outside of it. To read 160 rewritten modules took a run of checks/ 0.06 s of CPU more; to rewrite them first, where
Python may not write its caches (an installation by root, PYTHONDONTWRITEBYTECODE), 3 s, every time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OURS = ("pve_runbook.", "pve_lab.")


class PlainImports(MetaPathFinder):
    """Finds the modules of our packages where they lie, before pytest's own finder is asked."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module as :class:`PathFinder` finds it, or None for all that is not ours."""
        return PathFinder.find_spec(fullname, path, target) if fullname.startswith(OURS) else None


sys.meta_path.insert(0, PlainImports())
