"""What is installed is looked up once.

Each pytest asks every distribution for its entry points, files and metadata before it reads a command line: two fifths
of what a short run within a test's process costs.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from functools import cache, cached_property
from importlib.metadata import Distribution
from typing import Any

_found = importlib.metadata.distributions
KEPT = ("entry_points", "files", "metadata")


@cache
def _below(entry: str) -> tuple[Distribution, ...]:
    return tuple(_found(path=[entry]))


def _remembered(**context: Any) -> Iterator[Distribution]:
    if context:
        return iter(_found(**context))
    return (one for entry in sys.path for one in _below(entry))


def remember() -> None:
    """From now on, in this process and in what is forked from it."""
    if importlib.metadata.distributions is _remembered:
        return
    for name in KEPT:
        kept = cached_property(vars(Distribution)[name].fget)
        kept.__set_name__(Distribution, name)
        setattr(Distribution, name, kept)
    importlib.metadata.distributions = _remembered
