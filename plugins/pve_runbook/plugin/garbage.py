"""When Python looks for garbage: modules, tests and the record stay to the end, and searching them took a fifth of a
run of checks/."""

from __future__ import annotations

import gc

import pytest


def pause(config: pytest.Config) -> None:
    """Look for none while the run is set up; at the latest its end turns everything back."""
    gc.disable()
    config.add_cleanup(_as_before)


def settle() -> None:
    """Take what is there now for needed, and look for garbage in what comes."""
    gc.freeze()
    gc.enable()


def _as_before() -> None:
    gc.unfreeze()
    gc.enable()
