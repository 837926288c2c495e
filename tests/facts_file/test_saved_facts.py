"""Every file of ``--save-facts`` below tests/captures is loaded, and its twin is read without a surprise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from captured_files import FOLDER, facts_paths
from pve_runbook.facts_file.model import NoPortrait, dump, load
from pve_runbook.probes.answers import Missing


@pytest.mark.parametrize("path", facts_paths(FOLDER), ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_kept_file_is_loaded_and_its_twin_is_read(make: Callable[..., Any], path: Path) -> None:
    """Each probe on each node of the twin gets an answer, unless the file says that the node gave none."""
    name = str(path.relative_to(FOLDER))
    try:
        portrait = load(path.read_text())
    except NoPortrait as error:
        pytest.fail(f"{name}: {error}")
    assert load(dump(portrait)) == portrait, name
    twin = make(portrait)
    silent = {(node.hostname, key) for node in portrait.nodes for key in node.unknown}
    read = 0
    for node in (n.hostname for n in portrait.nodes):
        answers = twin.facts(node).readings
        missing = {key: value.why for key, value in answers.items() if isinstance(value, Missing)}
        surprises = [f"{name}: {node}: {key}: {why}" for key, why in missing.items() if (node, key) not in silent]
        assert not surprises, "\n".join(surprises)
        read += len(answers) - len(missing)
    assert read >= 40 * len(portrait.nodes)


def test_files_are_kept() -> None:
    """None of the above is run over nothing."""
    assert facts_paths(FOLDER)
