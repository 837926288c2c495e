"""What the distribution carries: the files of a copy, by the name that each has there."""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("runbook", "checks")
CONFTEST, SETTINGS = "conftest.py", "pytest.toml"

_HERE = Path(__file__).parent
_BUILT_IN = _HERE / "files"
"""Where setup.py puts them in a wheel."""
_REPOSITORY = _HERE.parents[2]
"""Where they lie for an editable install."""


def carried() -> dict[str, bytes]:
    """Name in the copy (``runbook/conftest.py``) → content. Raises OSError."""
    root = _BUILT_IN if _BUILT_IN.is_dir() else _REPOSITORY
    sources = {f"{folder}/{path.name}": path for folder in FOLDERS for path in sorted((root / folder).glob("*.py"))}
    sources |= {CONFTEST: root / CONFTEST, SETTINGS: _HERE / SETTINGS}
    return {name: path.read_bytes() for name, path in sources.items()}
