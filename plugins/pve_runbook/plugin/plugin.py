"""The pytest plugin as pytest finds it: the options, and what no test outside runbook/ may do.

All else is in :mod:`pve_runbook.plugin.hooks`, loaded where the command line names runbook/ or checks/: other runs of
pytest do not pay for it.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

import pve_runbook.plugin.plain_imports  # noqa: F401  (first: it is about the imports that follow)

# isort: split
from pve_runbook.options.command_line import mode_of
from pve_runbook.options.option_types import only_lists
from pve_runbook.options.options import add_options, read_options
from pve_runbook.plugin import gc_tuning
from pve_runbook.plugin.steps import fixture_guard, which_part
from pve_runbook.project_copy.compare import half_written
from pve_runbook.refusal.ids import RefusalId
from pve_runbook.refusal.usage import usage_error

SESSION = "pve_runbook.plugin.hooks"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register our options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Verify or rebuild a record, where that is asked for, in place of a session. Raises UsageError."""
    if config.option.verify_record is None and config.option.record_from is None:
        return None
    from pve_runbook.plugin import record_cli

    return record_cli.serve(config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the command line before anything else is set up, and load what a run needs."""
    if config.option.lab_scenario == "list":
        from pve_runbook.plugin import lab_process

        pytest.exit(lab_process.scenario_list(), returncode=0)
    for marker in which_part.MARKERS:
        config.addinivalue_line("markers", marker)
    mode = mode_of(config)
    if mode is None:
        return
    if why := half_written(config.rootpath):
        raise usage_error(RefusalId.PROJECT_IS_HALF_WRITTEN, why)
    gc_tuning.pause(config)
    if mode == "runbook" and config.option.hosts is None and only_lists(config):
        config.option.hosts = "lab"
    options = read_options(config, mode)
    from pve_runbook.plugin import early_connections

    connections = early_connections.begin(config, options)
    from pve_runbook.plugin import hooks

    hooks.begin(config, options, connections)
    config.pluginmanager.register(hooks, SESSION)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Refuse tests that ask for an action of runbook/ in other runs of pytest too."""
    if not config.pluginmanager.hasplugin(SESSION):
        fixture_guard.refuse_actions(items, config.rootpath)
    yield
