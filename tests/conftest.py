"""The project's own tests."""

import contextlib
import gc
import os
import shutil
from pathlib import Path

import installed
import pytest
from sampling import EVERYTHING

installed.remember()

# The tests start hundreds of interpreters: without this each of them compiles all that it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What whoever runs the tests likes to see is not what they compare.
for name in ("FORCE_COLOR", "PY_COLORS", "NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(name, None)

# The runs that tests start sync their records after every step, as an operator's do: in memory nobody waits for a disk.
SHARED_MEMORY, ENOUGH = Path("/dev/shm"), 2 * 2**30
if os.access(SHARED_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(SHARED_MEMORY).free > ENOUGH:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(SHARED_MEMORY))

# Without the tests' own packages `pytest --verify-record=...` still comes by here.
with contextlib.suppress(ImportError):
    from hypothesis import HealthCheck, settings

    # How long an example takes says nothing on a busy machine.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")

pytest_plugins = ["pytester"]


LONG = ("sweep", "syslab", "distribution")
"""Markers of tests that take minutes: they run only when ``-m`` names them."""
SECONDS = 300
"""What a test may take, its fixtures included; the slowest of the default suite takes a minute on a busy machine."""
SECONDS_OF_LONG = 6 * 3600 if EVERYTHING else 1500


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes runs only where it is asked for: ``-m sweep``, ``-m syslab``, ``-m distribution``.

    No test lasts for ever: each bounds its own waits, and this is the last net.
    """
    unwanted = [marker for marker in LONG if marker not in config.option.markexpr]
    left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in unwanted)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    # Here, and not in pyproject.toml: whoever runs runbook/ from a clone has no pytest-timeout to know the option.
    for item in items if config.pluginmanager.hasplugin("timeout") else ():
        is_long = any(item.get_closest_marker(marker) for marker in LONG)
        item.add_marker(pytest.mark.timeout(SECONDS_OF_LONG if is_long else SECONDS, method="signal"))


def pytest_collection_finish() -> None:
    """What was collected stays to the end: Python looks for no garbage in it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, *gc.get_threshold()[1:])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: one more than there are processors, as some tests wait: for a node, a timeout, a process."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ or not hasattr(os, "sched_getaffinity"):
        return None  # pytest-xdist's own answer
    return len(os.sched_getaffinity(0)) + 1
