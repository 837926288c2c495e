"""Memory: when Python looks for garbage, and in how many pools it is.

Modules, tests and the record stay to the end, and searching them took a fourth of a run of checks/.
"""

from __future__ import annotations

import gc
from functools import partial

import pytest

OBJECTS = 20_000
"""So many more than were let go since the last look are one to look again; Python's 700 are for smaller programs."""

_M_ARENA_MAX = -8
"""glibc, malloc.h."""


def pause(config: pytest.Config) -> None:
    """Look for none while the run is set up, and at the latest from its end on again.

    What an earlier run in this process took for needed is garbage now.
    """
    gc.unfreeze()
    gc.disable()
    config.add_cleanup(partial(gc.set_threshold, *gc.get_threshold()))
    config.add_cleanup(gc.enable)


def settle() -> None:
    """Take what is there now for needed, and look for garbage in what comes.

    It stays so when the run is over: Python would search all of it once more before it exits, for 0.3 s.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS)
    gc.enable()


def pool() -> None:
    """Have the threads share their memory, where the C library knows how (mallopt(3)).

    glibc gives each a pool of its own, and keeps in it what was let go: a run has threads for every node, and each in
    turn holds a database with all guests for a moment.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
