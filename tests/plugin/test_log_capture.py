"""pytest's capture of what is logged: gone from a run, and there for whoever asks for it."""

from __future__ import annotations

import pytest
from inner_project import Write

CHECK = '''
    """Some checks."""

    def test_four({fixtures}):
        """Four."""
        assert pytestconfig.pluginmanager.has_plugin("logging-plugin") is {kept}
'''


@pytest.mark.parametrize(
    ("options", "fixtures", "kept"),
    [
        ((), "pytestconfig", False),
        ((), "pytestconfig, caplog", True),
        (("--log-file=steps.log",), "pytestconfig", True),
        (("-o", "log_cli=true"), "pytestconfig", True),
    ],
)
def test_what_is_logged_is_kept_where_somebody_asks_for_it(
    project: pytest.Pytester, write: Write, options: tuple[str, ...], fixtures: str, kept: bool
) -> None:
    write(project, "checks/test_some.py", CHECK.format(fixtures=fixtures, kept=kept))
    result = project.runpytest("checks/", "--hosts=lab", "--lab-nodes=1", *options)
    assert result.ret == 0, result.stdout.str()
