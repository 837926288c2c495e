"""The pytest plugin as pytest finds it: the options, and what no test outside runbook/ may do.

All else is in :mod:`pve_runbook.plugin.session`, loaded where the command line names runbook/ or checks/: other runs of
pytest do not pay for it.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pve_runbook.plugin import garbage, outside
from pve_runbook.plugin.command_line import add_options
from pve_runbook.plugin.options import mode_of, read_options
from pve_runbook.plugin.values import only_lists

SESSION = "pve_runbook.plugin.session"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register our options."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Verify or rebuild a record, where that is asked for, in place of a session. Raises UsageError."""
    if config.option.verify_record is None and config.option.record_from is None:
        return None
    from pve_runbook.plugin import records

    return records.serve(config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the command line before anything else is set up, and load what a run needs."""
    if config.option.lab_scenario == "list":
        from pve_runbook.plugin import labs

        pytest.exit(labs.scenario_list(), returncode=0)
    mode = mode_of(config)
    if mode is None:
        return
    garbage.pause(config)
    if mode == "runbook" and config.option.hosts is None and only_lists(config):
        config.option.hosts = "lab"
    options = read_options(config, mode)
    from pve_runbook.plugin import ahead

    connections = ahead.begin(config, options)
    from pve_runbook.plugin import session

    session.begin(config, options, connections)
    config.pluginmanager.register(session, SESSION)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Refuse tests that ask for an action of runbook/ in other runs of pytest too."""
    if not config.pluginmanager.hasplugin(SESSION):
        outside.refuse_actions(items, config.rootpath)
    yield
