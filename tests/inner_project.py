"""A project in a temporary folder, with a runbook of its own to be collected or refused."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import hypothesis  # noqa: F401  (its plugin imports it at the end of every inner run: once is enough)
import pytest

RUNBOOK = {
    "runbook/test_phase0_first.py": '''
        """Phase 0: the first."""

        def test_one(host):
            """One on every node."""

        def test_two(cluster):
            """Two for all."""
    ''',
    "runbook/test_phase1_second.py": '''
        """Phase 1: the second."""

        def test_three(host):
            """Three on every node."""
    ''',
    "checks/test_some.py": '''
        """Some checks."""

        def test_four(host):
            """Four."""
    ''',
    "tests/test_other.py": """
        def test_five():
            pass
    """,
}


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with two phases, one check and one test."""
    pytester.makeini("[pytest]\nconsole_output_style = classic\n")
    for name, text in RUNBOOK.items():
        _write(pytester, name, text)
    return pytester


Write = Callable[[pytest.Pytester, str, str], None]


@pytest.fixture
def write() -> Write:
    """Write a file of the project, its text without the indentation."""
    return _write


def _write(pytester: pytest.Pytester, name: str, text: str) -> None:
    path = pytester.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(dedent(text).lstrip("\n"))


def said(result: pytest.RunResult) -> str:
    """All that an inner run said, on one line: where it was wrapped does not matter."""
    return " ".join(" ".join((*result.outlines, *result.errlines)).split())
