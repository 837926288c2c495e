"""What is logged while a step runs is kept for nobody here: pytest's capture of it is left out.

Our steps log nothing and no record shows it, and pytest sets up two handlers thrice for every step, a tenth of what a
step costs.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

_PLUGIN = "logging-plugin"
_OPTIONS = ("log_level", "log_cli_level", "log_file", "log_file_level")


def leave_out(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Take pytest's capture away, unless somebody asks for it: by an option, in a configuration, by ``caplog``."""
    asked = config.getini("log_cli") or any(config.getoption(n) or config.getini(n) for n in _OPTIONS)
    plugin = config.pluginmanager.get_plugin(_PLUGIN)
    if plugin is None or asked or any("caplog" in getattr(item, "fixturenames", ()) for item in items):
        return
    config.pluginmanager.unregister(plugin)
    plugin.pytest_unconfigure()  # nobody else will close its file
