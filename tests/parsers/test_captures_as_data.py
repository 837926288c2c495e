"""Every file below tests/captures is read by the registered probes; a surprise names the file and the command."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from capture_expectations import disappointed
from capture_reading import argv_of, line_of, lists, probe_of, read
from captured_files import FOLDER, NOT_PROBES, READ_AS, Capture, capture_paths, facts_paths, load, strangers

PATHS = capture_paths(FOLDER)
SECRET = re.compile(
    r"PRIVATE KEY|ssh-(rsa|dss|ed25519) AAAA|ecdsa-sha2-\S+ AAAA|PVEAPIToken|PVE:[^:\s]+@\w+:[0-9A-F]{8}::|\$[156y]\$"
)
"""What no capture may hold: keys, tokens, tickets, password hashes."""


def nothing_of(lines: list[str]) -> None:
    """Fail with every line whole: pytest would cut a list short."""
    assert not lines, "\n".join(lines)


@cache
def whole(path: Path) -> Capture:
    return load(path, FOLDER)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_command_is_read(path: Path) -> None:
    """By its probe; or pmxcfs was down and the parser says so; or it stands in a list beside the captures."""
    capture = whole(path)
    outcomes = read(capture, FOLDER)
    nothing_of([line_of(capture, o) for o in outcomes if o.kind == "surprise"])
    record = json.loads(path.read_text())
    assert len(outcomes) == len(record["commands" if capture.is_state else "steps"])
    assert [o for o in outcomes if o.kind == "read"] != [] or not capture.is_state


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_was_the_case_is_found(path: Path) -> None:
    """What NAME.expect.json says."""
    capture = whole(path)
    nothing_of(disappointed(capture, read(capture, FOLDER)))


@pytest.mark.parametrize("path", [*PATHS, *facts_paths(FOLDER)], ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_secret_is_in_it(path: Path) -> None:
    found = SECRET.search(path.read_text())
    assert found is None, f"{path.relative_to(FOLDER)}: {found[0]!r}"


def test_no_file_is_skipped() -> None:
    nothing_of([f"{name}: nothing reads this file" for name in strangers(FOLDER)])


def test_nothing_stands_in_a_list_that_no_capture_holds() -> None:
    """Nor is anything listed whose probe is known."""
    captures = [whole(path) for path in PATHS]
    commands = {step.command for capture in captures for step in capture.steps}
    named = {f"{capture.name}: {step.command}" for capture in captures for step in capture.steps}
    known = lists(FOLDER)
    unheard = {*known.not_probes, *known.read_as} - commands | set(known.known) - named
    nothing_of([f"{entry}: it stands in a list, and no capture holds it" for entry in sorted(unheard)])
    asked = [command for command in known.read_as if command in known.not_probes or probe_of(command)]
    nothing_of([f"{command}: {READ_AS} names it, and so does {NOT_PROBES} or a probe" for command in asked])


@pytest.mark.parametrize(
    "sent",
    [
        "pvecm status",
        "LC_ALL=C pvecm status",
        "env LC_ALL=C LANG=C 'pvecm' status",
        "timeout 10 pvecm status",
        "LC_ALL=C timeout -k 2 10 pvecm status",
        "timeout --kill-after=2 10s pvecm status",
    ],
)
def test_a_command_is_recognised_however_it_was_sent(sent: str) -> None:
    assert argv_of(sent) == ("pvecm", "status")
    found = probe_of(sent)
    assert found is not None and found[0] == "pvecm"


@pytest.mark.parametrize("sent", ["pvecm status; reboot", "pvecm status | cat", "pvecm 'status", "pvecm expected 1"])
def test_what_is_more_than_the_question_is_none(sent: str) -> None:
    assert probe_of(sent) is None
